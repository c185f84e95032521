"""Entry point of every program of the appliance: tsadmin, ts-backup, the work of ts-update, and package managers."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from . import backup, devices, network, restore
from .base import Machine, Options, ProgramExit, parse_options

PACKAGE_MANAGERS = ("apt-get", "dnf", "yum")
_UPGRADES = {"upgrade", "dist-upgrade", "full-upgrade", "update"}


def manage_packages(machine: Machine) -> int:
    """Simulate apt-get, dnf and yum for an upgrade: they need root, and ask without -y."""
    words = [word for word in machine.argv if not word.startswith("-") and "=" not in word and "::" not in word]
    if not machine.is_root():
        machine.write("E: Could not open lock file - are you root?\n")
        return 100
    if not words or words[0] not in _UPGRADES:
        return 0
    if (machine.program, words[0]) == ("apt-get", "update"):
        machine.write("Reading package lists... Done\n")
        return 0
    newer = machine.profile["upgrade_to"]
    machine.note("upgrade", manager=machine.program, noninteractive=os.environ.get("DEBIAN_FRONTEND", ""), to=newer)
    if not newer:
        machine.write("0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n")
        return 0
    return _upgrade(machine, newer)


def _upgrade(machine: Machine, newer: str) -> int:
    if "-y" not in machine.argv:
        machine.write("Do you want to continue? [Y/n] ")
        if not sys.stdin.readline().strip().lower().startswith("y"):
            machine.write("Abort.\n")
            return 1
    machine.remember(core_version=newer)
    entry = machine.path("cron_d") / "multidevice-core"
    if not entry.exists():  # a package installs its own file again
        entry.write_text(f"* * * * * {machine.user} ts-update --all >/dev/null 2>&1\n", "utf-8")
    if machine.profile["upgrade_wants_reboot"] and machine.privileged:  # else /var/run is that of the workstation
        Path("/var/run/reboot-required").touch()
    machine.write(f"Setting up tscm-core ({newer}) ...\n")
    return 0


def version(machine: Machine, _options: Options) -> int:
    """`tsadmin version --all`, as the vendor's page shows it."""
    machine.write(f"[INFO ] : ThreatSTOP Versions:\n{'Module':<20} Version\n{'-' * 20} {'-' * 10}\n")
    core = machine.state().get("core_version", machine.profile["core_version"])
    for module, number in (("TSCM-Core", core), ("ts-keyring", machine.profile["keyring_version"])):
        machine.write(f"  {module:<18} {number}\n")
    return int(machine.profile["exit_ok"])


COMMANDS = {
    "version": version,
    "backup": backup.run,
    "restore": restore.run,
    "update": devices.update,
    "list": devices.show,
    "add": devices.add,
    "configure": devices.add,
    "network": network.run,
}


def dispatch(machine: Machine) -> int:
    """Find and run the requested function."""
    if machine.program == "ts-update-work":
        return devices.ts_update(machine)
    if machine.program in PACKAGE_MANAGERS:
        return manage_packages(machine)
    asked = parse_options(machine, machine.argv)
    command = asked.action
    if machine.program == "tsadmin":
        command = asked.words.pop(0) if asked.words else ""
    known = sorted(COMMANDS if machine.profile["list_command"] else COMMANDS.keys() - {"list"})
    if command not in known:
        machine.fail(f"Unknown command: {command or '(none)'}. Commands: {', '.join(known)}", 2)
    status = COMMANDS[command](machine, asked)
    for line in machine.faults.get("prints", {}).get(command, ()):
        machine.write(f"{line}\n")
    return status


def main(config: str, program: str, argv: list[str]) -> int:
    """Run one program; return its exit status."""
    machine = Machine(json.loads(Path(config).read_text("utf-8")), program, argv)
    if program != "ts-update-work":
        machine.note("call", argv=argv, root=machine.is_root())
    try:
        status = dispatch(machine)
    except ProgramExit as stop:
        status = stop.status
    except KeyboardInterrupt:
        machine.write("\n")
        status = 130
    machine.note("exit", status=status)
    sys.stdout.flush()
    return status
