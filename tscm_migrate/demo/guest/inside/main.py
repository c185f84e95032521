"""Entry point of every program of the appliance: tsadmin, ts-backup, and the work of ts-update."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import devices
from .backup import Backup
from .base import Machine, Options, ProgramExit, parse_options
from .restore import Restore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def version(machine: Machine, _options: Options) -> int:
    """`tsadmin version --all`, as the vendor's page shows it."""
    machine.write(f"[INFO ] : ThreatSTOP Versions:\n{'Module':<20} Version\n{'-' * 20} {'-' * 10}\n")
    for module, number in (("TSCM-Core", machine.profile["core_version"]), ("ts-keyring", "")):
        machine.write(f"  {module:<18} {number}\n")
    return 0


COMMANDS: Mapping[str, Callable[[Machine, Options], int]] = {
    "version": version,
    "backup": lambda machine, options: Backup(machine, options).run(),
    "restore": lambda machine, options: Restore(machine, options).run(),
    "update": devices.update,
    "list": devices.show,
    "add": devices.add,
    "configure": devices.add,
}


def dispatch(machine: Machine, commands: Mapping[str, Callable[[Machine, Options], int]]) -> int:
    """Find and run the requested function."""
    if machine.program == "ts-update-work":
        return devices.ts_update(machine)
    options = parse_options(machine, machine.argv)
    command = options.action
    if machine.program == "tsadmin":
        command = options.words.pop(0) if options.words else ""
    if command not in commands:
        machine.fail(f"Unknown command: {command or '(none)'}. Commands: {', '.join(sorted(commands))}", 2)
    return commands[command](machine, options)


def run(machine: Machine, work: Callable[[], int]) -> int:
    """Run one program and record its call and its end; return its exit status."""
    if machine.program != "ts-update-work":
        machine.note("call", argv=machine.argv, root=machine.is_root())
    try:
        status = work()
    except ProgramExit as stop:
        status = stop.status
    except KeyboardInterrupt:
        machine.write("\n")
        status = 130
    machine.note("exit", status=status)
    sys.stdout.flush()
    return status


def main(config: str, program: str, argv: list[str]) -> int:
    """Run one program of an appliance that is as documented."""
    machine = Machine(json.loads(Path(config).read_text("utf-8")), program, argv)
    return run(machine, lambda: dispatch(machine, COMMANDS))
