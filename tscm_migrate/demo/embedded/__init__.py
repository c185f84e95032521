"""The embedded lab: an asyncssh server per appliance on loopback, real processes, no root."""

from tscm_migrate.demo.embedded.lab import EmbeddedLab, available

__all__ = ["EmbeddedLab", "available"]
