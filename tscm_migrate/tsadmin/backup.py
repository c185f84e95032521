"""Runs `tsadmin backup`; success is judged by the new archive, not by the exit status."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from tscm_migrate.appliance import archives
from tscm_migrate.appliance.appliance import Appliance, quote
from tscm_migrate.archive import select
from tscm_migrate.errors import BackupFailed, ConnectionLost, Unreachable
from tscm_migrate.tsadmin import output
from tscm_migrate.tsadmin.intent import Intent
from tscm_migrate.tsadmin.reader import QuestionReader, dialects
from tscm_migrate.tsadmin.session import Limits, OperatorPort, converse

if TYPE_CHECKING:
    from tscm_migrate.model import Archive, Secret


@dataclass(frozen=True)
class BackupRequest:
    """Options of a backup.

    Attributes:
        interface: for --interface; "" for none.
        passphrase: None: do not encrypt.
        debug: 1 to 7, or None.
        leave_tmp_files: keep the temporary files.
        limits: timeouts.
    """

    interface: str = ""
    passphrase: Secret | None = None
    debug: int | None = None
    leave_tmp_files: bool = False
    limits: Limits = field(default_factory=Limits)


def options(request: BackupRequest, passphrase_file: str = "") -> list[str]:
    """Return the documented options that have a value."""
    given = []
    if request.interface:
        given.append(f"--interface={request.interface}")
    if passphrase_file:
        given.append(f"--gpg_passphrase_file={passphrase_file}")
    if request.debug is not None:
        given.append(f"--debug={request.debug}")
    if request.leave_tmp_files:
        given.append("--leave_tmp_files=1")
    return given


def command(appliance: Appliance, request: BackupRequest) -> str:
    """Return the command as a person would type it, without the path of the passphrase file."""
    shown = "(a 0600 file in memory)" if request.passphrase else ""
    return " ".join([appliance.paths.tsadmin, "backup", *options(request, shown)])


def create(appliance: Appliance, request: BackupRequest, operator: OperatorPort) -> Archive:
    """Make a backup, and return the new archive.

    Args:
        appliance: where.
        request: the passphrase is passed in a 0600 file on a memory file system, which the remote shell removes on
            every exit path, and in the dialogue if tsadmin asks for it; never in argv.
        operator: answers unknown questions.

    Raises:
        BackupFailed: no new archive exists, it is empty, it is plain although encryption was requested, or tsadmin
            printed a line that means failure. Warnings that it printed are emitted.
        UnknownPrompt: a question was not answered. DialogueSilent: a timeout. SshError: the connection failed.
    """
    before = {archive.path for archive in archives.listed(appliance)}
    intent = Intent(
        address=appliance.host.address, here=appliance.host.address, interface=request.interface or None,
        passphrase=request.passphrase, sudo=sudo_answer(appliance), encrypt=request.passphrase is not None,
    )  # fmt: skip
    reader = QuestionReader(intent, dialects(appliance.host.dialect), "backup")
    with PassphraseFile(appliance, request.passphrase) as file:
        words = [appliance.paths.tsadmin, "backup", *(quote(word) for word in options(request, file.path))]
        script = file.guarded(" ".join(words))
        shown = command(appliance, request)
        talked = converse(appliance, script, reader, operator, display=shown, limits=request.limits)
    made = select.newest(a for a in archives.listed(appliance) if a.path not in before)
    printed = output.read(talked.text, questions=[exchange.prompt for exchange in talked.exchanges])
    printed.tell(appliance.emit, appliance.name)
    problem = _problem(made, printed, talked.status, encrypt=request.passphrase is not None)
    if made is None or problem:
        raise BackupFailed(appliance.name, problem)
    return made


def _problem(made: Archive | None, printed: output.Output, status: int | None, *, encrypt: bool) -> str:
    """Return why a backup cannot be used, or ""."""
    last_lines = "; ".join(printed.troubles[-2:]) or printed.last
    if made is None:
        return f"exit status {status}, but no new archive; it printed: {last_lines}"
    if made.size == 0:
        return f"{made.path} is empty; it printed: {last_lines}"
    if printed.failures:
        return f"{made.name} was made, but tsadmin printed: {printed.gist} (to use that archive: --archive {made.name})"
    if encrypt and not made.encrypted:
        return (
            f"{made.name} is not encrypted although a passphrase was given: the appliance is set up for plain backups "
            "(to continue with plain archives: --no-encrypt)"
        )
    return ""


def sudo_answer(appliance: Appliance) -> Secret | None:
    """Return the sudo password for a tsadmin that calls sudo itself; None if sudo needs none or was not used."""
    return appliance.shell.sudo_secret()


class PassphraseFile:
    """A 0600 file with the passphrase on the appliance's memory file system, for the time of a `with` block."""

    def __init__(self, appliance: Appliance, passphrase: Secret | None) -> None:
        self._appliance = appliance
        self._passphrase = passphrase
        self.path = ""

    def __enter__(self) -> Self:
        if self._passphrase is not None:
            script = (
                f"umask 077; d=$(mktemp -d {quote(self._appliance.paths.tmpfs)}/.tscm-migrate.XXXXXXXX) && "
                'cat >"$d/passphrase" && echo "$d/passphrase"'
            )
            made = self._appliance.run(
                script,
                stdin=self._passphrase.reveal().encode() + b"\n",
                display="write the passphrase to a 0600 file in memory",
            )
            self.path = made.stdout.strip()
        return self

    def guarded(self, words: str) -> str:
        """Return the command, wrapped so that the file is deleted on every exit path, also when the connection is lost.

        The command replaces the shell (exec), so that a hang-up ends the command itself. If a shell waited for it, the
        hang-up would end the shell, and the command would read the end of its input, which many scripts take for an
        answer. A background process deletes the file as soon as the pipe to it is closed.
        """
        if not self.path:
            return f"exec {words}"
        folder = quote(self.path.rsplit("/", 1)[0])
        return (
            f"if mkfifo -m 600 {folder}/end; then (trap '' HUP INT TERM; cat {folder}/end; rm -rf {folder}) "
            f"</dev/null >/dev/null 2>&1 & exec 9>{folder}/end; fi; exec {words}"
        )

    def __exit__(self, *_: object) -> None:
        if self.path and self._appliance.connected:
            # A restore may restart the appliance at its end, which empties the memory file system.
            with contextlib.suppress(ConnectionLost, Unreachable):
                remove_leftovers(self._appliance, self.path.rsplit("/", 1)[0])


def remove_leftovers(appliance: Appliance, folder: str = "") -> None:
    """Remove one of our folders in the memory file system, or all that a killed run has left."""
    which = quote(folder) if folder else f"{quote(appliance.paths.tmpfs)}/.tscm-migrate.????????"
    appliance.run(f"rm -rf {which}", display="remove the passphrase file")
