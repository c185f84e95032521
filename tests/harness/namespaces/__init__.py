"""A lab of real OpenSSH hosts in Linux namespaces (needs root); see `lab.NamespaceLab`."""

from __future__ import annotations

from tests.harness.namespaces.controller import available
from tests.harness.namespaces.lab import NamespaceLab

__all__ = ["NamespaceLab", "available"]
