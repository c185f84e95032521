"""An appliance with a shell as source and target; its bytes go over an exec channel, or over SFTP."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tscm_migrate.appliance import archives
from tscm_migrate.appliance.appliance import quote
from tscm_migrate.archive import hashing
from tscm_migrate.errors import ApplianceError, TransferError
from tscm_migrate.transfer import scripts
from tscm_migrate.transfer.base import TargetState
from tscm_migrate.util.rates import number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.model import Archive
    from tscm_migrate.ssh.shell import CommandResult
    from tscm_migrate.ssh.stream import StreamReader, StreamWriter
    from tscm_migrate.transfer.base import ByteSink, ByteStream

_HASHING = 4 * 3600.0  # seconds for reading an archive from a slow disk
_PATIENCE = 120.0  # seconds of silence until a stream is given up


class _CheckedReader:
    """A reader whose end is checked."""

    def __init__(self, reader: StreamReader) -> None:
        self._reader = reader

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._reader)

    def finish(self) -> None:
        self._reader.finish()


class _CheckedWriter:
    """A writer whose end is checked; the disk may take its time."""

    def __init__(self, writer: StreamWriter) -> None:
        self._writer = writer

    def write(self, data: bytes) -> int:
        return self._writer.write(data)

    def finish(self) -> None:
        self._writer.finish(timeout=600.0)


class ShellEnd:
    """An appliance that is spoken to with `sh`.

    Args:
        appliance: connected to when it is needed; a dead connection is made anew by the next call.
        sftp: let the bytes go over SFTP.
    """

    def __init__(self, appliance: Appliance, *, sftp: bool = False) -> None:
        self.appliance = appliance
        self.sftp = sftp
        self._readable: dict[str, bool] = {}  # by path, without sudo

    @property
    def name(self) -> str:
        """The inventory's."""
        return self.appliance.name

    def part(self, archive: Archive) -> str:
        """Path of the unfinished copy: beside the final name, and with an ending that the restore does not index."""
        return f"{self.appliance.paths.backup_dir}/.{archive.name}.part"

    def final(self, archive: Archive) -> str:
        """Path of the finished copy."""
        return f"{self.appliance.paths.backup_dir}/{archive.name}"

    # ------------------------------------------------------------------ as a source

    def root_reads(self, archive: Archive) -> bool:
        """Whether it takes root to read it."""
        if archive.path not in self._readable:
            test = f"[ -r {quote(archive.path)} ]"
            found = self.appliance.run(test, check=False, display=f"test -r {archive.path}")
            self._readable[archive.path] = found.status == 0
        return not self._readable[archive.path]

    def identify(self, archive: Archive) -> Archive:
        """See Source.

        Raises:
            ApplianceError: it is no regular file, cannot be read, or changes.
        """
        return archives.hashed(self.appliance, archive, sudo=self.root_reads(archive))

    def prefix(self, archive: Archive, size: int) -> str:
        """See Source."""
        return self._digest(archive.path, size, sudo=self.root_reads(archive))

    def stamp(self, archive: Archive) -> str:
        """See Source."""
        path = quote(archive.path)
        script = f"stat -c '%s %y %i' {path} && {{ [ ! -r {path} ] || echo readable; }}"
        for sudo in (False, True):
            result = self._run(script, f"stat {archive.path}", sudo=sudo)
            if result.status == 0:
                self._readable[archive.path] = not sudo and "readable" in result.stdout
                return result.stdout.splitlines()[0]
        raise ApplianceError(self.name, f"{archive.path} cannot be seen: {result.said}")

    @contextlib.contextmanager
    def reading(self, archive: Archive, offset: int) -> Iterator[ByteStream]:
        """See Source."""
        if self.sftp:
            from tscm_migrate.ssh.sftp import reading

            kind = self._run(f"{scripts.only_regular(archive.path)}true", f"look at {archive.name}")
            if kind.status == archives.NOT_REGULAR:
                raise ApplianceError(self.name, f"{archive.path} is not a regular file")
            with (
                contextlib.closing(self.appliance.shell.sftp()) as client,
                reading(client, archive.path, offset, self.name) as s,
            ):
                yield s
            return
        path = quote(archive.path)
        script = scripts.only_regular(archive.path)
        script += f"exec tail -c +{offset + 1} {path}" if offset else f"exec cat {path}"
        sudo = self.root_reads(archive)
        with self.appliance.shell.reader(script, sudo=sudo, idle=_PATIENCE, display=f"read {archive.name}") as reader:
            yield _CheckedReader(reader)

    # ------------------------------------------------------------------ as a target

    def look(self, archive: Archive) -> TargetState:
        """See Target."""
        paths, user = self.appliance.paths, self.appliance.host.user
        script = scripts.look(paths.backup_dir, self.final(archive), self.part(archive), user)
        result = self._run(script, f"look for {archive.name}", sudo=True, long=True)
        if result.status != 0:
            said = result.said
            raise TransferError(f"{paths.backup_dir} on {self.name} cannot be used: {said}")
        told = dict(line.split(" ", 1) for line in result.stdout.splitlines() if " " in line)
        final, part, df = told.get("final", "none"), told.get("part", "0"), told.get("free", "").split()
        blocks = number(df[3].removeprefix("-")) if len(df) > 3 else None
        free = None if blocks is None else 0 if df[3].startswith("-") else blocks * 1024
        if final == "none":
            return TargetState("none", number(part) or 0, free)
        return TargetState("same" if final == archive.sha256 else "other", 0, free)

    def part_digest(self, archive: Archive, size: int) -> str:
        """See Target."""
        return self._digest(self.part(archive), size, sudo=True)

    def begin(self, archive: Archive, offset: int) -> None:
        """See Target; the copy is the login user's, so that the bytes need no sudo."""
        if self.sftp:
            self.appliance.shell.sftp().close()  # where there is none, nothing is left behind
        script = scripts.begin(self.part(archive), self.appliance.host.user, offset)
        result = self._run(script, f"make room for {archive.name}", sudo=True)
        if result.status != 0:
            raise TransferError(f"{self.name}: the copy cannot be begun: {result.said}")

    @contextlib.contextmanager
    def writing(self, archive: Archive, offset: int) -> Iterator[ByteSink]:
        """See Target."""
        part = self.part(archive)
        if self.sftp:
            from tscm_migrate.ssh.sftp import writing

            with (
                contextlib.closing(self.appliance.shell.sftp()) as client,
                writing(client, part, offset, self.name) as out,
            ):
                yield out
            return
        script = scripts.append(part, offset)
        display = f"write {archive.name}"
        sudo = self.appliance.run(f"[ -w {quote(part)} ]", check=False, display=f"test -w {part}").status != 0
        with self.appliance.shell.writer(script, sudo=sudo, idle=_PATIENCE, display=display) as writer:
            yield _CheckedWriter(writer)

    def finish(self, archive: Archive) -> None:
        """See Target."""
        script = scripts.finish(self.part(archive), self.final(archive), archive.sha256, self.appliance.host.user)
        result = self._run(script, f"check and name {archive.name}", sudo=True, long=True)
        if result.status == scripts.WRONG_HASH:
            raise TransferError(
                f"the copy of {archive.name} on {self.name} has SHA-256 {result.stdout.strip()[:64]}, "
                f"not {archive.sha256}; it was removed",
                "run again; if it happens twice, look at that disk and at the memory of the machine",
            )
        if result.status == scripts.TAKEN:
            raise TransferError(f"{archive.name} has appeared on {self.name} meanwhile; it was not overwritten")
        if result.status != 0:
            said = result.said
            raise TransferError(f"{archive.name} could not be put in place on {self.name}: {said}")

    def drop(self, archive: Archive) -> None:
        """See Target."""
        self._run(f"rm -f {quote(self.part(archive))}", "remove the bad part", sudo=True)

    # ------------------------------------------------------------------ both

    def _run(self, script: str, display: str, *, sudo: bool = False, long: bool = False) -> CommandResult:
        timeout = _HASHING if long else 60.0
        return self.appliance.run(script, sudo=sudo, timeout=timeout, check=False, display=display)

    def _digest(self, path: str, size: int, *, sudo: bool) -> str:
        """SHA-256 of the first `size` bytes; "" where it cannot be had (then nothing is like it)."""
        script = hashing.of_prefix(quote(path), size)
        result = self._run(script, f"sha256sum of {size} bytes", sudo=sudo, long=True)
        return hashing.digest_in(result.stdout) if result.status == 0 else ""
