"""`tsadmin backup`, `ts-backup`: makes an archive of this appliance's configuration and logs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from . import archive, ask
from .base import address_of, updates_running

if TYPE_CHECKING:
    from .base import Machine, Options


def run(machine: Machine, options: Options) -> int:
    """Make a backup; ask about encryption if it is not configured yet."""
    machine.want_root()
    machine.info(machine.wording.message("backup"))
    machine.detail(f"interface {options.interface}, debug {options.debug}")
    address_of(machine, options.interface)
    machine.hang("hangs_backup")
    machine.drip()
    if machine.profile["extra_prompt"] and machine.profile["extra_prompt_in"] == "backup":
        ask.yes(machine, machine.profile["extra_prompt"])
    passphrase = _passphrase(machine, options)
    if why := machine.faults.get("backup_fails"):
        machine.fail(f"Backup failed: {why}")
    running = updates_running(machine)
    machine.busy("Collecting configuration files")
    machine.note("backup-start", updates_running=running)
    if machine.faults.get("lies_exit0_without_archive"):
        machine.info("Backup complete")
        return int(machine.profile["exit_ok"])
    made = archive.make(machine, passphrase, options.interface, running)
    if machine.faults.get("truncates_archive"):
        data = made.read_bytes()
        made.write_bytes(data[: len(data) // 2])
    if options.leave_tmp_files:
        machine.path("tmp").mkdir(exist_ok=True)
        machine.path("tmp").joinpath(f"ts-backup.{made.name}.log").write_text("collected\n")
    machine.note("backup-end", archive=made.name, encrypted=passphrase is not None)
    machine.info(f"Backup complete: {made}")
    return int(machine.profile["exit_error" if machine.faults.get("lies_exit1_with_archive") else "exit_ok"])


def given(machine: Machine, options: Options) -> str | None:
    """Return the passphrase from the options, if this appliance supports them."""
    if options.gpg_passphrase:
        return options.gpg_passphrase
    if options.gpg_passphrase_file and machine.profile["honours_passphrase_file"]:
        try:
            text = Path(options.gpg_passphrase_file).read_text("utf-8")
        except OSError as error:
            machine.fail(f"{options.gpg_passphrase_file}: {error.strerror}")
        return text.splitlines()[0] if text else ""
    return None


def _passphrase(machine: Machine, options: Options) -> str | None:
    """Return the passphrase for encryption; None: a plain archive."""
    state = machine.state()
    handed = given(machine, options)
    encrypt = state.get("encrypt")
    if encrypt is None:
        encrypt = True if handed is not None else ask.yes(machine, "encrypt")
        machine.remember(encrypt=encrypt)
    if not encrypt:
        return None
    stored: str = state.get("passphrase", "")
    if handed is None and (not stored or machine.profile["asks_passphrase_always"]):
        handed = _new_passphrase(machine)
    if handed is not None and not machine.profile["asks_passphrase_always"]:
        machine.remember(passphrase=handed)
    return stored if handed is None else handed


def _new_passphrase(machine: Machine) -> str:
    for _ in range(ask.TRIES):
        first = ask.secret(machine, "new_passphrase")
        if first and first == ask.secret(machine, "again"):
            return first
        machine.error(machine.wording.message("no_match"))
    machine.fail("No passphrase, giving up.")
