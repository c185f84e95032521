"""A folder of this workstation as source and target of transfers; the workstation may be Windows."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tscm_migrate.errors import TransferError
from tscm_migrate.model import Archive
from tscm_migrate.transfer.base import ByteSink, ByteStream, TargetState
from tscm_migrate.util import private

if TYPE_CHECKING:
    from hashlib import _Hash


_CHUNK = 1 << 20


def digest(path: Path, size: int | None = None) -> str:
    """Return the SHA-256 of a file or of its first `size` bytes; "" if it is shorter."""
    sha = _hashed(path, size)
    return sha.hexdigest() if sha is not None else ""


def _hashed(path: Path, size: int | None = None) -> _Hash | None:
    sha, left = hashlib.sha256(), path.stat().st_size if size is None else size
    with path.open("rb", buffering=0) as file:
        while left and (data := file.read(min(left, _CHUNK))):
            sha.update(data)
            left -= len(data)
    return None if left else sha


class _FileReader:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        while data := self._file.read(_CHUNK):
            yield data

    def finish(self) -> None:
        """See ByteStream; the end of a file is always its end."""


class _FileWriter:
    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file, self._name = file, name

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:  # a raw file may take less
                view = view[self._file.write(view) :]
        except OSError as error:
            raise TransferError(f"{self._name} cannot be written: {error.strerror}", "check the disk") from error

    def finish(self) -> None:
        os.fsync(self._file.fileno())


class FolderEnd:
    """Archives in `folder`; files have mode 0600 where the system supports modes."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    @property
    def name(self) -> str:
        """The path of the folder."""
        return str(self.folder)

    def part(self, archive: Archive) -> Path:
        """Return the path of the partial file."""
        return self.folder / f".{archive.name}.part"

    def final(self, archive: Archive) -> Path:
        """Return the path of the complete copy."""
        return self.folder / archive.name

    # ------------------------------------------------------------------ as a source

    def identify(self, archive: Archive) -> Archive:
        """See Source."""
        path = self.final(archive)
        try:
            _only_regular(path)
            size = path.stat().st_size
            found = digest(path, size)
        except OSError as error:
            raise TransferError(f"{path} cannot be read: {error.strerror}") from error
        if not found or path.stat().st_size != size:
            raise TransferError(f"{path} changed while it was read", "wait until it is complete, and run again")
        return replace(archive, size=size, sha256=found)

    def prefix(self, archive: Archive, size: int) -> str:
        """See Source."""
        return digest(self.final(archive), size)

    def stamp(self, archive: Archive) -> str:
        """See Source."""
        found = self.final(archive).lstat()
        return f"{found.st_size} {found.st_mtime_ns}"

    @contextlib.contextmanager
    def reading(self, archive: Archive, offset: int) -> Iterator[ByteStream]:
        """See Source."""
        _only_regular(self.final(archive))
        with self.final(archive).open("rb", buffering=0) as file:
            file.seek(offset)
            yield _FileReader(file)

    # ------------------------------------------------------------------ as a target

    def look(self, archive: Archive) -> TargetState:
        """See Target; creates the folder."""
        final, part = self.final(archive), self.part(archive)
        try:
            private.folder(self.folder)
            free = shutil.disk_usage(self.folder).free
            if final.is_symlink() or (final.exists() and not final.is_file()):
                return TargetState("other", 0, free)
            if final.exists():
                known = archive.sha256 and final.stat().st_size == archive.size
                same = bool(known) and digest(final) == archive.sha256
                return TargetState("same" if same else "other", 0, free)
            if part.is_symlink():
                part.unlink()
            return TargetState("none", part.stat().st_size if part.exists() else 0, free)
        except OSError as error:
            raise TransferError(f"{self.folder} cannot be used: {error.strerror}", "name another folder") from error

    def part_digest(self, archive: Archive, size: int) -> str:
        """See Target."""
        return digest(self.part(archive), size)

    def part_hash(self, archive: Archive, size: int) -> _Hash | None:
        """Return the running hash of the first `size` bytes of the partial file; None if it is shorter."""
        return _hashed(self.part(archive), size)

    def begin(self, archive: Archive, offset: int) -> None:
        """See Target."""
        part = self.part(archive)
        try:
            if offset == 0:
                part.unlink(missing_ok=True)
                os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            elif part.stat().st_size != offset:
                os.truncate(part, offset)
        except OSError as error:
            raise TransferError(f"{part} cannot be created: {error.strerror}", "name another folder") from error

    @contextlib.contextmanager
    def writing(self, archive: Archive, offset: int) -> Iterator[ByteSink]:
        """See Target."""
        with self.part(archive).open("r+b", buffering=0) as file:
            file.seek(offset)
            yield _FileWriter(file, str(self.part(archive)))

    def finish(self, archive: Archive) -> None:
        """See Target."""
        part, final = self.part(archive), self.final(archive)
        found = digest(part)
        if found != archive.sha256:
            part.unlink()
            text = f"the copy of {archive.name} in {self.folder} has SHA-256 {found}, not {archive.sha256}"
            raise TransferError(f"{text}; it was removed", "run again; if it happens twice, check this disk")
        try:
            private.give_name(part, final)
        except FileExistsError as error:
            raise TransferError(f"{final} has appeared meanwhile; it was not overwritten") from error
        except OSError as error:
            raise TransferError(f"{part} could not be renamed to {final}: {error.strerror}") from error

    def discard_partial(self, archive: Archive) -> None:
        """See Target."""
        self.part(archive).unlink(missing_ok=True)


def _only_regular(path: Path) -> None:
    if path.is_symlink() or not path.is_file():
        raise TransferError(f"{path} is not a regular file", "name the archive file itself")
