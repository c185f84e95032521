"""`tsadmin restore` with the variations and faults of a profile."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, NoReturn

from tests.harness.guest import network
from tscm_migrate.demo.guest.inside.restore import TsadminRestore, names_in, restore_device

if TYPE_CHECKING:
    import tarfile
    from pathlib import Path

    from tests.harness.guest.machine import VariedMachine
    from tscm_migrate.demo.guest.inside.base import Options

LATEST = re.compile(r"threatstop_latest\.tsbak(\.gpg)?")


class VariedRestore(TsadminRestore):
    """One restore."""

    def __init__(self, machine: VariedMachine, options: Options) -> None:
        super().__init__(machine, options)
        self.varied = machine
        self.failed: list[str] = []
        if machine.profile["extra_prompt_in"] != "restore":
            machine.profile["extra_prompt"] = None

    def run(self) -> int:
        """Restore; return the exit status."""
        status = super().run()
        return 1 if self.varied.faults.get("restore_exit1") else status

    def begin(self) -> None:
        """Write the first line; then hang or flood."""
        super().begin()
        machine = self.varied
        machine.hang("hangs_restore")
        machine.drip()
        for _ in range(int(machine.faults.get("floods", 0)) // 80):
            machine.write("." * 79 + "\n")

    def order(self) -> tuple[str, ...]:
        """Return the questions in this appliance's order."""
        return tuple(self.varied.profile["order"])

    def index(self) -> list[Path]:
        """Return the archives that this restore finds, in its order."""
        if self.varied.faults.get("hides_archives"):
            return []
        profile = self.varied.profile
        paths = super().index()
        if not profile["list_doubles"]:
            paths = list({path.name: path for path in reversed(paths)}.values())
        keys: dict[str, Any] = {
            "newest": lambda p: p.name,
            "oldest": lambda p: p.name,
            "name": str,
            "shuffled": lambda p: hashlib.sha256(str(p.name).encode()).digest(),
        }
        return sorted(paths, key=keys[profile["list_sort"]], reverse=profile["list_sort"] == "newest")

    def is_listed(self, path: Path) -> bool:
        """Return whether it is an archive with the right owner and mode, or a link to one that is shown."""
        machine = self.varied
        if LATEST.fullmatch(path.name):
            return bool(machine.profile["list_shows_links"]) and path.exists()
        owner = machine.owner[0] if machine.owner is not None and machine.privileged else None
        return super().is_listed(path) and owner in (None, path.stat().st_uid)

    def save_network(self, saved: dict[str, Any]) -> None:
        """Save the backup's settings, or ask for each."""
        if self.varied.profile["network_dialogue"]:
            network.dialogue(self.varied, self.options.interface, self.own)
        else:
            super().save_network(saved)

    def reboot(self) -> NoReturn:
        """End the first phase as this appliance does."""
        style = self.varied.profile["reboot_style"]
        if style == "itself":
            self.varied.warn("The system is going to reboot. Run the restore again afterwards.")
            self.restart()
        if style == "tells":
            self.end_without_reboot()
        super().reboot()

    def restore_devices(self, tar: tarfile.TarFile) -> None:
        """Restore the devices, with the faults of the profile."""
        machine, names = self.varied, names_in(tar)
        for number, name in enumerate(names):
            if machine.faults.get("restore_fails") and number >= len(names) // 2:
                machine.fail(f"Restoring device {name}: unexpected end of data")
            if name in machine.faults.get("restore_skips_devices", ()):
                machine.warn(f"Restoring device {name}: failed")
                self.failed.append(name)
            else:
                restore_device(machine, tar, name)

    def end(self) -> None:
        """Write the last lines."""
        if self.failed:
            self.varied.warn(f"There were issues during the restore: {', '.join(self.failed)}")
        super().end()
