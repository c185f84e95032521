"""Entry point of the appliance's programs: tsadmin with its smaller commands, ts-backup, the work of ts-update."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .archive import TsadminBackup
from .base import Machine, Options, ProgramExit, device_names, device_settings, parse_options
from .restore import TsadminRestore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType


def create(machine: Machine, device: dict[str, Any]) -> None:
    """Write a device's files: its settings with a generated credential, and its policy."""
    folder = machine.path("devices") / device["name"]
    folder.mkdir(parents=True, exist_ok=True)
    machine.own(folder, 0o750)
    secret = {"user": "tsadmin", "password": os.urandom(9).hex()}
    for name, data in (
        ("device.json", json.dumps({**device, "login": secret}, indent=1).encode()),
        ("policy.dat", os.urandom(int(device["size_bytes"]))),
    ):
        (folder / name).write_bytes(data)
        machine.own(folder / name, 0o640)


def show(machine: Machine, _options: Options) -> int:
    """`tsadmin list`."""
    machine.info("ThreatSTOP Devices:")
    machine.write(f"{'Nickname':<20} {'Type':<10}\n{'-' * 20} {'-' * 10}\n")
    for name in device_names(machine):
        machine.write(f"  {name:<18} {device_settings(machine, name)['kind']}\n")
    return 0


def add(machine: Machine, options: Options) -> int:
    """`tsadmin add --type=KIND NAME` and `tsadmin configure NAME`, without their dialogues."""
    name = options.words[0] if options.words else ""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        machine.fail("a device name is needed", 2)
    known = (
        device_settings(machine, name) if name in device_names(machine) else {"size_bytes": 4096, "update_seconds": 0.1}
    )
    create(machine, {**known, "name": name, "kind": options.type or known.get("kind", "asa")})
    machine.info(f"Device {name} configured")
    return 0


def update(machine: Machine, options: Options) -> int:
    """`tsadmin update NAME`."""
    name = options.words[0] if options.words else ""
    if name not in device_names(machine):
        machine.fail(f"Unknown device: {name or '(none given)'}")
    device = device_settings(machine, name)
    machine.info(f"Updating device {name} ({device['kind']})")
    machine.note("update-start", device=name)
    time.sleep(float(device["update_seconds"]))
    machine.note("update-end", device=name, ok=True)
    machine.info(f"Device {name} updated successfully")
    return 0


def ts_update(machine: Machine) -> int:
    """Simulate fetching policies and pushing them to the"""

    def ended(number: int, _frame: FrameType | None) -> None:
        machine.note("ts-update-end", killed=number)
        raise ProgramExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, ended)
    machine.note("ts-update-start", argv=machine.argv)
    time.sleep(float(machine.profile["ts_update_seconds"]))
    with machine.path("log").joinpath("ts-update.log").open("a", encoding="utf-8") as log:
        log.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} [INFO ] : update done\n")
    machine.note("ts-update-end", killed=0)
    return 0


def version(machine: Machine, _options: Options) -> int:
    """`tsadmin version --all`, as the vendor's page shows it."""
    machine.write(f"[INFO ] : ThreatSTOP Versions:\n{'Module':<20} Version\n{'-' * 20} {'-' * 10}\n")
    for module, number in (("TSCM-Core", machine.profile["core_version"]), ("ts-keyring", "")):
        machine.write(f"  {module:<18} {number}\n")
    return 0


COMMANDS: Mapping[str, Callable[[Machine, Options], int]] = {
    "version": version,
    "backup": lambda machine, options: TsadminBackup(machine, options).run(),
    "restore": lambda machine, options: TsadminRestore(machine, options).run(),
    "update": update,
    "list": show,
    "add": add,
    "configure": add,
}


def dispatch(machine: Machine, commands: Mapping[str, Callable[[Machine, Options], int]]) -> int:
    """Find and run the requested function."""
    if machine.program == "ts-update-work":
        return ts_update(machine)
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
