"""A folder as a store: what the folders of this workstation and of SFTP servers have in common.

An upload is written to a temporary name, and gets its final name, which never replaces an object, when it is complete.
"""

from __future__ import annotations

import secrets
import stat as modes
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from tscm_migrate.errors import ObjectExists, ObjectMissing, StoreDenied, StoreError, StoreUnavailable
from tscm_migrate.offsite.stores.base import Odd, Stat, Unfinished, check_key, check_room, is_key, shown

_DEPTH = 8  # folders below the root; ours go three deep
_PARTS = ".unfinished"  # the folder of uploads under way; names that begin with a dot are not listed
_KINDS = {modes.S_IFIFO: "a FIFO", modes.S_IFSOCK: "a socket", modes.S_IFLNK: "a link that leads to no file",
          modes.S_IFDIR: "a folder too deep below the others", 0: "the server does not say what it is"}  # fmt: skip


@dataclass(frozen=True)
class FileEntry:
    """A name in a folder; `mode`: as in stat(2), 0 if it is not known."""

    name: str
    mode: int
    size: int
    modified: datetime


class FolderStore(ABC):
    """Copies below one folder. Paths are relative to it; subclasses raise OSError where they have no StoreError."""

    sweeps = True
    url: str
    how_to_create: str
    _lock: AbstractContextManager[object]  # locked during each call

    @abstractmethod
    def _stat(self, path: str) -> FileEntry:
        """Inspect what is at a path; links are followed."""

    @abstractmethod
    def _listed(self, folder: str) -> list[FileEntry]:
        """List a folder; links to files are followed."""

    @abstractmethod
    def _make_folder(self, path: str) -> None:
        """Create a folder and those above it."""

    @abstractmethod
    def _free(self) -> int | None:
        """Return the free bytes; None if they are not known."""

    @abstractmethod
    def _write(self, path: str, chunks: Iterable[bytes], key: str) -> int:
        """Write a new file to the disk; return its size. Errors of `chunks` are not translated."""

    @abstractmethod
    def _give_name(self, part: str, key: str) -> None:
        """Rename a file; never replace one."""

    @abstractmethod
    def _remove(self, path: str) -> None:
        """Remove a file."""

    def upload(self, key: str, chunks: Iterable[bytes], *, size_hint: int = 0) -> int:
        """See `Store.upload`."""
        part = f"{_PARTS}/{secrets.token_hex(8)}.part"
        with self._lock:
            with self._translated(check_key(key)):
                self._check_root()
                self._refuse_taken(key)
                self._make_folder(_PARTS)
                check_room(self.url, key, size_hint, self._free())
            try:
                size = self._write(part, chunks, key)
                with self._translated(key):
                    self._make_folder(key.rpartition("/")[0])
                    self._give_name(part, key)
            except BaseException:
                with suppress(Exception):
                    self._remove(part)
                raise
        return size

    def create(self, key: str, body: bytes) -> None:
        """See `Store.create`."""
        self.upload(key, [body])

    @abstractmethod
    def read(self, key: str) -> Generator[bytes, None, None]:
        """See `Store.read`."""

    def stat(self, key: str) -> Stat:
        """See `Store.stat`."""
        with self._lock, self._translated(check_key(key)):
            entry = self._stat(key)
        return Stat(key, entry.size, entry.modified)

    def entries(self, prefix: str = "", *, odd: Odd | None = None) -> Iterator[Stat]:
        """See `Store.entries`."""
        with self._lock, self._translated(prefix):
            self._check_root()
            return iter(list(self._walk(check_key(prefix) if prefix else "", _DEPTH, odd or (lambda _key, _why: None))))

    def _walk(self, folder: str, depth: int, odd: Odd) -> Iterator[Stat]:
        for entry in self._visible(folder, odd):
            key = f"{folder}/{entry.name}".lstrip("/")
            if not is_key(key):
                odd(shown(key), "its name is unknown to this tool")
            elif modes.S_ISDIR(entry.mode) and depth:
                yield from self._walk(key, depth - 1, odd)
            elif modes.S_ISREG(entry.mode):
                yield Stat(key, entry.size, entry.modified)
            else:
                odd(shown(key), _KINDS.get(modes.S_IFMT(entry.mode), "a device"))

    def _visible(self, folder: str, odd: Odd) -> list[FileEntry]:
        """List a folder without hidden names; nothing if it is not there or cannot be read."""
        try:
            return [entry for entry in self._listed(folder) if not entry.name.startswith(".")]
        except FileNotFoundError:
            return []
        except OSError as error:
            if not folder or error.errno is None or isinstance(error, (TimeoutError, ConnectionError)):
                raise
            odd(shown(folder), error.strerror or "it cannot be opened")
            return []

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        with self._lock, self._translated(check_key(key)):
            try:
                self._remove(key)
            except FileNotFoundError:
                self._check_root()

    def unfinished(self) -> list[Unfinished]:
        """See `Store.unfinished`."""
        with self._lock, self._translated(""):
            self._check_root()
            with suppress(FileNotFoundError):
                parts = [part for part in self._listed(_PARTS) if is_key(part.name) and part.name.endswith(".part")]
                return [Unfinished(part.name, part.name, part.modified) for part in parts]
        return []

    def abandon(self, item: Unfinished) -> None:
        """See `Store.abandon`."""
        with self._lock, self._translated(item.key), suppress(FileNotFoundError):
            self._remove(f"{_PARTS}/{check_key(item.handle)}")

    def _check_root(self) -> None:
        try:
            self._stat("")
        except FileNotFoundError:
            raise StoreUnavailable(detail="the folder is not there", fix=self.how_to_create, url=self.url) from None

    def _refuse_taken(self, key: str) -> None:
        with suppress(FileNotFoundError):
            self._stat(key)
            raise ObjectExists(detail="already there", url=self.url, key=key)

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            kind, detail, fix = self._meaning(error)
            if kind is None:
                raise
            raise kind(detail=detail, fix=fix, url=self.url, key=key) from error

    def _meaning(self, error: Exception) -> tuple[type[StoreError] | None, str, str]:
        """Return the StoreError for another error, its detail and its fix; None for an error of another kind."""
        if isinstance(error, FileNotFoundError):
            return ObjectMissing, "not there", ""
        if isinstance(error, FileExistsError):
            return ObjectExists, "already there", ""
        if isinstance(error, PermissionError):
            return StoreDenied, "permission denied", ""
        return (StoreError, error.strerror or str(error), "") if isinstance(error, OSError) else (None, "", "")
