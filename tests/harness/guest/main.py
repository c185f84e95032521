"""Entry point of every program of an appliance with variations: tsadmin, ts-backup, ts-update, package managers."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness.guest import network
from tests.harness.guest.backup import VariedBackup
from tests.harness.guest.machine import VariedMachine
from tests.harness.guest.restore import VariedRestore
from tscm_migrate.demo.guest.inside import main as plain
from tscm_migrate.demo.guest.inside.base import device_names, device_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from tscm_migrate.demo.guest.inside.base import Machine, Options

PACKAGE_MANAGERS = ("apt-get", "dnf", "yum")
_UPGRADES = {"upgrade", "dist-upgrade", "full-upgrade", "update"}


def manage_packages(machine: VariedMachine) -> int:
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


def _upgrade(machine: VariedMachine, newer: str) -> int:
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


def _update(machine: VariedMachine, options: Options) -> int:
    """`tsadmin update NAME`: may ask a question at the first login, may fail."""
    name = options.words[0] if options.words else ""
    if name not in device_names(machine):
        return plain.COMMANDS["update"](machine, options)
    device = device_settings(machine, name)
    counter = machine.path("state").with_name(f"updates.{name}")
    count = int(counter.read_text()) if counter.exists() else 0
    if device.get("asks") and count == 0 and not machine.ask_yes(device["asks"]):
        machine.fail(f"{name}: not updated")
    machine.busy(f"Pushing policy to {name}")
    counter.write_text(str(count + 1))
    fails = device.get("fails", 0)
    if fails < 0 or count < fails or name in machine.faults.get("update_fails", ()):
        machine.info(f"Updating device {name} ({device['kind']})")
        machine.note("update-start", device=name)
        time.sleep(float(device["update_seconds"]))
        machine.note("update-end", device=name, ok=False)
        machine.fail(f"{name}: connection to the device timed out")
    return plain.COMMANDS["update"](machine, options)


def _dispatch(machine: VariedMachine) -> int:
    if machine.program in PACKAGE_MANAGERS:
        return manage_packages(machine)
    machine.profile["core_version"] = machine.state().get("core_version", machine.profile["core_version"])
    commands: dict[str, Callable[[Machine, Options], int]] = {
        **plain.COMMANDS,
        "backup": lambda _, options: VariedBackup(machine, options).run(),
        "restore": lambda _, options: VariedRestore(machine, options).run(),
        "update": lambda _, options: _update(machine, options),
        "network": lambda _, options: network.run(machine, options),
    }
    if not machine.profile["list_command"]:
        del commands["list"]
    status = plain.dispatch(machine, commands)
    command = machine.argv[0] if machine.program == "tsadmin" and machine.argv else "backup"
    for line in machine.faults.get("prints", {}).get(command, ()):
        machine.write(f"{line}\n")
    return status


def main(config: str, program: str, argv: list[str]) -> int:
    """Run one program; return its exit status."""
    machine = VariedMachine(json.loads(Path(config).read_text("utf-8")), program, argv)
    return plain.run(machine, lambda: _dispatch(machine))
