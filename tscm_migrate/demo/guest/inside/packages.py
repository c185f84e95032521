"""apt-get, dnf and yum as far as an upgrade of a TSCM goes: they want root, ask without -y, and may want a restart."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import Machine

MANAGERS = ("apt-get", "dnf", "yum")
_UPGRADES = {"upgrade", "dist-upgrade", "full-upgrade", "update"}


def run(machine: Machine) -> int:
    """One call; apt-get's `update` only reads the lists."""
    words = [word for word in machine.argv if not word.startswith("-") and "=" not in word and "::" not in word]
    action = words[0] if words else ""
    if not machine.is_root():
        machine.write("E: Could not open lock file - are you root?\n")
        return 100
    if action not in _UPGRADES:
        return 0
    if machine.program == "apt-get" and action == "update":
        machine.write("Reading package lists... Done\n")
        return 0
    newer = machine.profile["upgrade_to"]
    machine.note("upgrade", manager=machine.program, noninteractive=os.environ.get("DEBIAN_FRONTEND", ""), to=newer)
    if not newer:
        machine.write("0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n")
        return 0
    if "-y" not in machine.argv:
        machine.write("Do you want to continue? [Y/n] ")
        if not sys.stdin.readline().strip().lower().startswith("y"):
            machine.write("Abort.\n")
            return 1
    machine.remember(core_version=newer)
    entry = machine.path("cron_d") / "multidevice-core"
    if not entry.exists():  # a package lays its own file back
        entry.write_text(f"* * * * * {machine.user} ts-update --all >/dev/null 2>&1\n", "utf-8")
    if machine.profile["upgrade_wants_reboot"]:
        Path("/var/run/reboot-required").touch()
    machine.write(f"Setting up tscm-core ({newer}) ...\n")
    return 0
