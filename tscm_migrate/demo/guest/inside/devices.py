"""Devices: `tsadmin list`, `update`, `add`, `configure`, what restore does to them, and the work of `ts-update`."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from . import archive, ask
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
    return int(machine.profile["exit_ok"])


def add(machine: Machine, options: Options) -> int:
    """`tsadmin add --type=KIND NAME` and `tsadmin configure NAME`, without their dialogues."""
    name = options.words[0] if options.words else ""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        machine.fail("a device name is needed", 2)
    known = (
        device_settings(machine, name)
        if name in device_names(machine)
        else {"size_bytes": 4096, "update_seconds": 0.1, "fails": 0}
    )
    create(machine, {"asks": None, **known, "name": name, "kind": options.type or known.get("kind", "asa")})
    machine.info(f"Device {name} configured")
    return int(machine.profile["exit_ok"])


def update(machine: Machine, options: Options) -> int:
    """`tsadmin update NAME`: needs time, may ask a question at the first login, may fail."""
    name = options.words[0] if options.words else ""
    if name not in device_names(machine):
        machine.fail(f"Unknown device: {name or '(none given)'}")
    device = device_settings(machine, name)
    counter = machine.path("state").with_name(f"updates.{name}")
    count = int(counter.read_text()) if counter.exists() else 0
    machine.info(f"Updating device {name} ({device['kind']})")
    machine.note("update-start", device=name)
    if device.get("asks") and count == 0 and not ask.yes(machine, device["asks"]):
        machine.fail(f"{name}: not updated")
    machine.busy(f"Pushing policy to {name}")
    time.sleep(float(device["update_seconds"]))
    counter.write_text(str(count + 1))
    failing = device["fails"] < 0 or count < device["fails"] or name in machine.faults.get("update_fails", ())
    machine.note("update-end", device=name, ok=not failing)
    if failing:
        machine.fail(f"{name}: connection to the device timed out")
    machine.info(f"Device {name} updated successfully")
    return int(machine.profile["exit_ok"])


def restore(machine: Machine, tar: tarfile.TarFile) -> list[str]:
    """Overwrite this appliance's devices with the archive's; return those with an error."""
    prefix = archive.FOLDERS["devices"] + "/"
    inside = sorted({m.name[len(prefix) :].split("/")[0] for m in tar.getmembers() if m.name.startswith(prefix)})
    failed = []
    for number, name in enumerate(inside):
        if machine.faults.get("restore_fails") and number >= len(inside) // 2:
            machine.fail(f"Restoring device {name}: unexpected end of data")
        if name in machine.faults.get("restore_skips_devices", ()):
            machine.warn(f"Restoring device {name}: failed")
            failed.append(name)
            continue
        for path in archive.extract(tar, prefix, machine.path("devices"), only=name):
            machine.own(path, 0o640)
        folder = machine.path("devices") / name
        if folder.is_dir():
            machine.own(folder, 0o750)
        # an archive of another kind of appliance may lack this file
        kind = device_settings(machine, name)["kind"] if (folder / "device.json").is_file() else ""
        machine.info(machine.wording.message("restoring", name=name, label=device_label(kind)))
    return failed


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
