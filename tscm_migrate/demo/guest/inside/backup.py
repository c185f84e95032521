"""`tsadmin backup`, `ts-backup`: makes an archive of this appliance's configuration and logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import archive
from .base import TRIES, address_of, updates_running

if TYPE_CHECKING:
    from pathlib import Path

    from .base import Machine, Options


class Backup:
    """One backup; it asks about encryption if that is not configured yet."""

    def __init__(self, machine: Machine, options: Options) -> None:
        self.machine = machine
        self.options = options

    def run(self) -> int:
        """Make a backup; return the exit status."""
        machine = self.machine
        self.begin()
        passphrase = self.passphrase()
        running = updates_running(machine)
        machine.note("backup-start", updates_running=running)
        made = self.make(passphrase, running)
        machine.note("backup-end", archive=made.name, encrypted=passphrase is not None)
        machine.info(f"Backup complete: {made}")
        return 0

    def begin(self) -> None:
        """Write the first lines, as root."""
        self.machine.want_root()
        self.machine.info(self.machine.text("backup"))
        self.machine.detail(f"interface {self.options.interface}, debug {self.options.debug}")
        address_of(self.machine, self.options.interface)

    def make(self, passphrase: str | None, running: int) -> Path:
        """Make the archive."""
        return archive.make(self.machine, passphrase, self.options.interface, running)

    def passphrase(self) -> str | None:
        """Return the passphrase for encryption; None: a plain archive."""
        machine, state = self.machine, self.machine.state()
        passphrase = machine.given_passphrase(self.options)
        encrypt = state.get("encrypt")
        if encrypt is None:
            encrypt = passphrase is not None or machine.ask_yes("encrypt")
            machine.remember(encrypt=encrypt)
        if not encrypt:
            return None
        passphrase = passphrase or state.get("passphrase") or self.new_passphrase()
        machine.remember(passphrase=passphrase)
        return passphrase

    def new_passphrase(self) -> str:
        """Ask for a passphrase twice."""
        for _ in range(TRIES):
            first = self.machine.ask_secret("new_passphrase")
            if first and first == self.machine.ask_secret("again"):
                return first
            self.machine.error(self.machine.text("no_match"))
        self.machine.fail("No passphrase, giving up.")
