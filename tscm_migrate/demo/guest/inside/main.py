"""Entry point of every program of the appliance: tsadmin, ts-backup and the work of ts-update."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from . import backup, devices, network, options, packages, restore, updates
from .base import Machine, ProgramExit


def version(machine: Machine, _options: options.Options) -> int:
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
        return updates.work(machine)
    if machine.program in packages.MANAGERS:
        return packages.run(machine)
    asked = options.parse(machine, machine.argv)
    command = asked.action
    if machine.program == "tsadmin":
        command = asked.words.pop(0) if asked.words else ""
    if command not in COMMANDS or (command == "list" and not machine.profile["list_command"]):
        known = ", ".join(sorted(name for name in COMMANDS if name != "list" or machine.profile["list_command"]))
        machine.fail(f"Unknown command: {command or '(none)'}. Commands: {known}", 2)
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
