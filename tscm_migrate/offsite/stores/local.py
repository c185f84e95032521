"""A folder, or a share that the system has mounted (NFS, SMB).

obstore has a store for folders too, but this one is safe after a crash: data is synced to the disk before it gets its
name, a hard link gives the name and refuses an existing one (as a rename does on Windows), and unfinished uploads are
in one folder.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat as modes
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tscm_migrate.errors import ObjectExists, ObjectMissing, StoreDenied, StoreError, StoreUnavailable
from tscm_migrate.offsite.stores.base import (
    CHUNK,
    FULL,
    Caps,
    Odd,
    Stat,
    Unfinished,
    check_key,
    check_room,
    is_key,
    moment,
    shown,
)
from tscm_migrate.util import private
from tscm_migrate.util.operator_command import quoted

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

_DEPTH = 8  # folders below the root; ours go three deep
_KINDS = ((modes.S_ISFIFO, "a FIFO"), (modes.S_ISSOCK, "a socket"), (modes.S_ISLNK, "a link that leads nowhere"))
_PARTS = ".unfinished"  # starts with a dot, as no key does, so it is not listed


class LocalStore:
    """Copies below one folder; files 0600, folders 0700 if the system has modes."""

    caps = Caps(sweeps=True)

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = root.as_uri()

    def upload(self, key: str, chunks: Iterable[bytes], *, size_hint: int = 0) -> int:
        """See `Store.upload`."""
        final = self._path(key)
        if final.exists():
            raise ObjectExists(detail="already there", url=self.url, key=key)
        part = self.root / _PARTS / f"{secrets.token_hex(8)}.part"
        with self._translated(key):
            self._check_root()
            private.folder(part.parent)
            check_room(self.url, key, size_hint, shutil.disk_usage(part.parent).free)
        try:
            size = self._write(part, chunks, key)
            with self._translated(key):
                private.folder(final.parent)
                private.give_name(part, final)
                _sync_folders(final.parent.parent, self.root)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        return size

    def _write(self, part: Path, chunks: Iterable[bytes], key: str) -> int:
        size = 0
        with self._translated(key):
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(handle, "wb", buffering=0) as file:
            for chunk in chunks:  # its own errors come out as they are
                with self._translated(key):
                    view = memoryview(chunk)
                    while view:
                        view = view[file.write(view) :]
                size += len(chunk)
            with self._translated(key):
                os.fsync(file.fileno())
        return size

    def create(self, key: str, body: bytes) -> None:
        """See `Store.create`."""
        self.upload(key, [body])

    def read(self, key: str) -> Generator[bytes, None, None]:
        """See `Store.read`."""
        with self._translated(key):
            flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # a FIFO would wait
            with os.fdopen(os.open(self._path(key), flags), "rb", buffering=0) as file:
                if not modes.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise StoreError(detail="it is not a regular file", url=self.url, key=key)
                while chunk := file.read(CHUNK):
                    yield chunk

    def stat(self, key: str) -> Stat:
        """See `Store.stat`."""
        with self._translated(key):
            return _stat(key, self._path(key))

    def entries(self, prefix: str = "", *, odd: Odd | None = None) -> Iterator[Stat]:
        """See `Store.entries`."""
        with self._translated(prefix):
            self._check_root()
        tell = odd or (lambda _key, _why: None)
        yield from self._walk(self._path(prefix) if prefix else self.root, prefix, _DEPTH, tell)

    def _walk(self, folder: Path, prefix: str, depth: int, odd: Odd) -> Iterator[Stat]:
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        except OSError as error:
            if folder == self.root:
                with self._translated(""):
                    raise
            odd(shown(prefix), error.strerror or "it cannot be opened")
            return
        for entry in entries:
            key = f"{prefix}/{entry.name}".lstrip("/")
            if entry.is_dir(follow_symlinks=False):
                if entry.name.startswith("."):
                    continue
                if not is_key(key) or not depth:
                    odd(shown(key), "a folder that this tool did not create")
                    continue
                yield from self._walk(Path(entry.path), key, depth - 1, odd)
            elif (found_ := _looked(key, entry.path, odd)) is not None:
                yield found_

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        path = self._path(key)
        with self._translated(key):
            self._check_root()
            path.unlink(missing_ok=True)

    def unfinished(self) -> list[Unfinished]:
        """See `Store.unfinished`."""
        with self._translated(""):
            self._check_root()
            found = list((self.root / _PARTS).glob("*.part"))
        return [Unfinished(path.name, path.name, _stat("", path).modified) for path in found if path.exists()]

    def abandon(self, item: Unfinished) -> None:
        """See `Store.abandon`."""
        with self._translated(item.key):
            (self.root / _PARTS / Path(item.handle).name).unlink(missing_ok=True)

    def close(self) -> None:
        """See `Store.close`: nothing is open."""

    def _path(self, key: str) -> Path:
        return self.root.joinpath(*check_key(key).split("/"))

    def _check_root(self) -> None:
        if not self.root.is_dir():
            raise StoreUnavailable(
                detail="the folder is not there",
                fix=f"create it: mkdir -p {quoted(self.root)}; or mount its share",
                url=self.url,
            )

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except FileNotFoundError as error:
            raise ObjectMissing(detail="not there", url=self.url, key=key) from error
        except FileExistsError as error:
            raise ObjectExists(detail="already there", url=self.url, key=key) from error
        except PermissionError as error:
            raise StoreDenied(detail=error.strerror or "permission denied", url=self.url, key=key) from error
        except OSError as error:
            full = error.errno in {errno.ENOSPC, errno.EDQUOT if hasattr(errno, "EDQUOT") else errno.ENOSPC}
            fix = FULL if full else ""
            raise StoreError(detail=error.strerror or str(error), fix=fix, url=self.url, key=key) from error


def _stat(key: str, path: Path) -> Stat:
    info = path.stat()
    return Stat(key, info.st_size, moment(info.st_mtime))


def _looked(key: str, path: str, odd: Odd) -> Stat | None:
    """Return what a directory entry is; None, after a call of `odd`, if it cannot be an object of this tool."""
    try:
        info = os.lstat(path)
    except OSError:  # deleted since: not there
        return None
    if modes.S_ISLNK(info.st_mode):
        with suppress(OSError):
            info = Path(path).stat()
    if not modes.S_ISREG(info.st_mode):
        why = next((words for test, words in _KINDS if test(info.st_mode)), "")
        odd(shown(key), why or ("a link to a folder" if modes.S_ISDIR(info.st_mode) else "a device"))
    elif not is_key(key):
        odd(shown(key), "its name is unknown to this tool")
    else:
        return Stat(key, info.st_size, moment(info.st_mtime))
    return None


def _sync_folders(folder: Path, root: Path) -> None:
    """Sync the folders up to the root, which may be new."""
    while folder != root.parent:
        private.sync(folder)
        folder = folder.parent
