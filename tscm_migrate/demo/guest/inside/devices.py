"""Devices: `tsadmin list`, `update`, `add`, `configure`, what restore does to them, and the work of `ts-update`."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from . import archive
from .base import ProgramExit, device_label, device_names, device_settings

if TYPE_CHECKING:
    import tarfile
    from types import FrameType

    from .base import Machine, Options


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


def names_in(tar: tarfile.TarFile) -> list[str]:
    """Return the devices in an archive."""
    prefix = archive.FOLDERS["devices"] + "/"
    return sorted({m.name[len(prefix) :].split("/")[0] for m in tar.getmembers() if m.name.startswith(prefix)})


def restore(machine: Machine, tar: tarfile.TarFile, name: str) -> None:
    """Overwrite one device of this appliance with the archive's."""
    for path in archive.extract(tar, archive.FOLDERS["devices"] + "/", machine.path("devices"), only=name):
        machine.own(path, 0o640)
    folder = machine.path("devices") / name
    if folder.is_dir():
        machine.own(folder, 0o750)
    # an archive of another kind of appliance may lack this file
    kind = device_settings(machine, name)["kind"] if (folder / "device.json").is_file() else ""
    machine.info(machine.text("restoring", name=name, label=device_label(kind)))


def ts_update(machine: Machine) -> int:
    """Simulate fetching policies and pushing them to the devices."""

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
