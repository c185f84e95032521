"""The embedded lab: an asyncssh server on loopback for each appliance, real processes, no root."""

from tscm_migrate.demo.embedded.lab import EmbeddedLab, available

__all__ = ["EmbeddedLab", "available"]
