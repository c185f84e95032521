"""A lab of real OpenSSH hosts in Linux name spaces (needs root); see `lab.NamespaceLab`."""

from __future__ import annotations

from tscm_migrate.lab.namespaces.lab import NamespaceLab
from tscm_migrate.lab.namespaces.room import available

__all__ = ["NamespaceLab", "available"]
