"""`tsadmin backup` with the variations and faults of a profile."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tscm_migrate.demo.guest.inside.archive import TsadminBackup
from tscm_migrate.demo.guest.inside.base import ProgramExit

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.guest.machine import VariedMachine
    from tscm_migrate.demo.guest.inside.base import Options


class VariedBackup(TsadminBackup):
    """One backup."""

    def __init__(self, machine: VariedMachine, options: Options) -> None:
        super().__init__(machine, options)
        self.varied = machine

    def run(self) -> int:
        """Make a backup; return the exit status."""
        status = super().run()
        return 1 if self.varied.faults.get("lies_exit1_with_archive") else status

    def begin(self) -> None:
        """Write the first lines; then hang, or ask an undocumented question."""
        super().begin()
        machine = self.varied
        machine.hang("hangs_backup")
        machine.drip()
        if machine.profile["extra_prompt"] and machine.profile["extra_prompt_in"] == "backup":
            machine.ask_yes(machine.profile["extra_prompt"])

    def passphrase(self) -> str | None:
        """Return the passphrase, asked for each time if the profile says so."""
        machine = self.varied
        if machine.profile["asks_passphrase_always"] and machine.state().get("encrypt"):
            passphrase = machine.given_passphrase(self.options)
            passphrase = self.new_passphrase() if passphrase is None else passphrase
        else:
            passphrase = super().passphrase()
        if why := machine.faults.get("backup_fails"):
            machine.fail(f"Backup failed: {why}")
        machine.busy("Collecting configuration files")
        return passphrase

    def make(self, passphrase: str | None, running: int) -> Path:
        """Make the archive, a truncated one, or none."""
        machine = self.varied
        if machine.faults.get("lies_exit0_without_archive"):
            machine.info("Backup complete")
            raise ProgramExit(0)
        made = super().make(passphrase, running)
        if machine.owner is not None and os.geteuid() == 0:
            latest = made.with_name(f"threatstop_latest{''.join(made.suffixes)}")
            os.chown(latest, *machine.owner, follow_symlinks=False)
        if machine.faults.get("truncates_archive"):
            data = made.read_bytes()
            made.write_bytes(data[: len(data) // 2])
        return made
