"""An appliance that offers SFTP and no shell as source and target of transfers; also hashing reads by SFTP."""

from __future__ import annotations

import contextlib
import hashlib
import stat
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import paramiko

from tscm_migrate import errors
from tscm_migrate.appliance.appliance import Appliance
from tscm_migrate.archive import names
from tscm_migrate.model import Archive
from tscm_migrate.ssh import sftp as fast
from tscm_migrate.transfer.base import ByteSink, ByteStream, TargetState
from tscm_migrate.transfer.pump import Checkpoint

if TYPE_CHECKING:
    from hashlib import _Hash


_MODE = 0o664


class ApplianceEnd:
    """An appliance whose archives are read and written by SFTP; connected when it is needed."""

    def __init__(self, appliance: Appliance) -> None:
        self.appliance = appliance

    @property
    def name(self) -> str:
        """Its name in the inventory."""
        return self.appliance.name

    def part(self, archive: Archive) -> str:
        """Return the path of the partial file: in the same folder, with an ending that the restore does not list."""
        return f"{self.appliance.paths.backup_dir}/.{archive.name}.part"

    def final(self, archive: Archive) -> str:
        """Return the path of the complete copy."""
        return f"{self.appliance.paths.backup_dir}/{archive.name}"

    @contextlib.contextmanager
    def reading(self, archive: Archive, offset: int) -> Iterator[ByteStream]:
        """See Source."""
        with (
            contextlib.closing(self.appliance.shell.sftp()) as client,
            fast.reading(client, archive.path, offset, self.name) as chunks,
        ):
            yield chunks

    @contextlib.contextmanager
    def writing(self, archive: Archive, offset: int) -> Iterator[ByteSink]:
        """See Target."""
        with (
            contextlib.closing(self.appliance.shell.sftp()) as client,
            fast.writing(client, self.part(archive), offset, self.name) as out,
        ):
            yield out


class SftpEnd(ApplianceEnd):
    """An appliance with SFTP only: sudo cannot be used, so the login user needs write access to the backup folder.

    A copy is verified by reading it back.
    """

    @contextlib.contextmanager
    def _client(self) -> Iterator[paramiko.SFTPClient]:
        with contextlib.closing(self.appliance.shell.sftp()) as client, fast.answered(client, self.name):
            yield client

    def listed(self) -> tuple[Archive, ...]:
        """Return the archives with documented names in the backup folder.

        Raises:
            ListingFailed: the folder is missing or cannot be read.
        """
        found = self._entries(self.appliance.paths.backup_dir)
        regular = [a for a in found if stat.S_ISREG(a.st_mode or stat.S_IFREG)]
        times = names.corrected([(a.filename, float(a.st_mtime or 0)) for a in regular])
        folder = self.appliance.paths.backup_dir
        each = zip(regular, times.taken, strict=True)
        return tuple(names.with_time(Archive(a.filename, folder, int(a.st_size or 0)), when) for a, when in each)

    def _entries(self, folder: str) -> list[paramiko.SFTPAttributes]:
        host = self.appliance.host
        try:
            with self._client() as client:
                named = [a for a in fast.entries(client, folder, self.name) if names.acceptable(a.filename)]
                # A server may leave the file type out of a listing.
                return [a if a.st_mode else _with_type(client, folder, a) for a in named]
        except (errors.CommandTimeout, errors.ConnectionLost, errors.TooMuchOutput):
            raise
        except errors.SshError as error:
            missing = "No such file" in error.detail
            raise errors.ListingFailed(
                host.name, error.detail, folder, f"{host.user}@{host.address}", missing=missing
            ) from error

    def _digest(self, client: paramiko.SFTPClient, path: str, size: int | None = None) -> tuple[str, int]:
        sha, seen = self._hash(client, path, size)
        return sha.hexdigest(), seen

    def _hash(self, client: paramiko.SFTPClient, path: str, size: int | None = None) -> tuple[_Hash, int]:
        sha, seen = hashlib.sha256(), 0
        with fast.reading(client, path, 0, self.name) as chunks:
            for chunk in chunks:
                piece = chunk if size is None else chunk[: size - seen]
                sha.update(piece)
                seen += len(piece)
                if size is not None and seen >= size:
                    break
        return sha, seen

    # ------------------------------------------------------------------ as a source

    def checkpoint(self, archive: Archive) -> tuple[Archive, Checkpoint]:
        """Return the archive with its size, and its checkpoint, without reading the archive.

        Raises:
            ApplianceError: it is not a regular file.
            ArchiveChanged: its size is not the one in the listing.
        """
        with self._client() as client:
            now = client.lstat(archive.path)
        if not stat.S_ISREG(now.st_mode or 0):
            raise errors.ApplianceError(self.name, f"{archive.path} is not a regular file")
        if archive.size and now.st_size != archive.size:
            text = f"{archive.path} on {self.name} has {now.st_size} bytes, and had {archive.size} in the listing"
            raise errors.ArchiveChanged(text)
        host = self.appliance.host
        return replace(archive, size=int(now.st_size or 0)), Checkpoint(
            host.name, host.address, archive.path, now.st_size, now.st_mtime
        )

    def identify(self, archive: Archive) -> Archive:
        """See Source; reads the complete archive."""
        with self._client() as client:
            before = client.lstat(archive.path)
            if not stat.S_ISREG(before.st_mode or 0):
                raise errors.ApplianceError(self.name, f"{archive.path} is not a regular file")
            found, size = self._digest(client, archive.path, int(before.st_size or 0))
            if size != before.st_size or client.lstat(archive.path).st_size != size:
                raise errors.ApplianceError(self.name, f"{archive.path} changed while it was read")
        return replace(archive, size=size, sha256=found)

    def prefix(self, archive: Archive, size: int) -> str:
        """See Source."""
        with self._client() as client:
            return self._digest(client, archive.path, size)[0]

    def stamp(self, archive: Archive) -> str:
        """See Source."""
        with self._client() as client:
            now = client.lstat(archive.path)
        return f"{now.st_size} {now.st_mtime}"

    # ------------------------------------------------------------------ as a target

    def look(self, archive: Archive) -> TargetState:
        """See Target."""
        final, part = self.final(archive), self.part(archive)
        with self._client() as client:
            folder = self.appliance.paths.backup_dir
            if _stat(client, folder) is None:
                client.mkdir(folder, 0o775)
            free = fast.free_at(client, folder)
            if (there := _stat(client, final)) is not None:
                same = stat.S_ISREG(there.st_mode or 0) and there.st_size == archive.size
                same = same and self._digest(client, final)[0] == archive.sha256
                return TargetState("same" if same else "other", 0, free)
            begun = _stat(client, part)
            if begun is not None and not stat.S_ISREG(begun.st_mode or 0):
                client.remove(part)
                begun = None
            return TargetState("none", int(begun.st_size or 0) if begun is not None else 0, free)

    def part_digest(self, archive: Archive, size: int) -> str:
        """See Target."""
        with self._client() as client:
            return self._digest(client, self.part(archive), size)[0]

    def part_hash(self, archive: Archive, size: int) -> _Hash | None:
        """Return the running hash of the first `size` bytes of the partial file; None if it is shorter."""
        with self._client() as client:
            sha, seen = self._hash(client, self.part(archive), size)
        return sha if seen == size else None

    def begin(self, archive: Archive, offset: int) -> None:
        """See Target."""
        part = self.part(archive)
        with self._client() as client:
            if offset:
                if client.lstat(part).st_size != offset:
                    client.truncate(part, offset)
                return
            if _stat(client, part) is not None:
                client.remove(part)
            with contextlib.closing(client.open(part, "wxb")) as file:
                file.chmod(0o600)

    def finish(self, archive: Archive) -> None:
        """See Target; the rename of OpenSSH makes a hard link, so it does not overwrite."""
        part, final = self.part(archive), self.final(archive)
        with self._client() as client:
            found, _size = self._digest(client, part)
            if found != archive.sha256:
                client.remove(part)
                text = f"the copy of {archive.name} on {self.name} has SHA-256 {found}, not {archive.sha256}"
                raise errors.TransferError(f"{text}; it was removed", "run again; if it happens twice, check that disk")
            client.chmod(part, _MODE)
            if _stat(client, final) is not None:
                raise errors.TransferError(
                    f"{archive.name} has appeared on {self.name} meanwhile; it was not overwritten"
                )
            client.rename(part, final)

    def discard_partial(self, archive: Archive) -> None:
        """See Target."""
        with contextlib.suppress(errors.SshError), self._client() as client:
            client.remove(self.part(archive))


def _stat(client: paramiko.SFTPClient, path: str) -> paramiko.SFTPAttributes | None:
    try:
        return client.lstat(path)
    except FileNotFoundError:
        return None


def _with_type(client: paramiko.SFTPClient, folder: str, entry: paramiko.SFTPAttributes) -> paramiko.SFTPAttributes:
    found = client.lstat(f"{folder}/{entry.filename}")
    entry.st_mode, entry.st_size, entry.st_mtime = found.st_mode, found.st_size, found.st_mtime
    return entry
