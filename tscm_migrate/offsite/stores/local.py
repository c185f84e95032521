"""A folder, or a share that the system has mounted (NFS, SMB).

obstore has a store for folders too, but this one is safe after a crash: data is synced to the disk before it gets its
name, a hard link gives the name and refuses an existing one (as a rename does on Windows), and unfinished uploads are
in one folder.
"""

import errno
import os
import shutil
import stat as modes
from collections.abc import Generator, Iterable
from contextlib import nullcontext, suppress
from pathlib import Path

from tscm_migrate.errors import StoreError
from tscm_migrate.offsite.stores.base import CHUNK, FULL, check_key, moment
from tscm_migrate.offsite.stores.folder import FileEntry, FolderStore
from tscm_migrate.util import private
from tscm_migrate.util.operator_command import quoted

_NO_SPACE = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_BINARY = getattr(os, "O_BINARY", 0)


class LocalStore(FolderStore):
    """Copies below one folder; files 0600, folders 0700 if the system has modes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = root.as_uri()
        self.how_to_create = f"create it: mkdir -p {quoted(root)}; or mount its share"
        self._lock = nullcontext()

    def _path(self, path: str) -> Path:
        return self.root.joinpath(*path.split("/"))

    def _stat(self, path: str) -> FileEntry:
        return _entry("", self._path(path).stat())

    def _listed(self, folder: str) -> list[FileEntry]:
        entries = []
        with os.scandir(self._path(folder)) as found:
            for each in sorted(found, key=lambda each: each.name):
                with suppress(FileNotFoundError):  # deleted since
                    info = each.stat(follow_symlinks=False)
                    with suppress(OSError):
                        if each.is_symlink() and each.is_file():
                            info = each.stat()
                    entries.append(_entry(each.name, info))
        return entries

    def _make_folder(self, path: str) -> None:
        private.folder(self._path(path))

    def _free(self) -> int:
        return shutil.disk_usage(self.root).free

    def _write(self, path: str, chunks: Iterable[bytes], key: str) -> int:
        size = 0
        with self._translated(key):
            handle = os.open(self._path(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)
        with os.fdopen(handle, "wb", buffering=0) as file:
            for chunk in chunks:
                with self._translated(key):
                    view = memoryview(chunk)
                    while view:
                        view = view[file.write(view) :]
                size += len(chunk)
            with self._translated(key):
                os.fsync(file.fileno())
        return size

    def _give_name(self, part: str, key: str) -> None:
        folder = self._path(key).parent
        private.give_name(self._path(part), self._path(key))
        while folder != self.root:  # each may be new
            folder = folder.parent
            private.sync(folder)

    def _remove(self, path: str) -> None:
        self._path(path).unlink()

    def read(self, key: str) -> Generator[bytes, None, None]:
        """See `Store.read`."""
        with self._translated(check_key(key)):
            flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY  # a FIFO would wait
            with os.fdopen(os.open(self._path(key), flags), "rb", buffering=0) as file:
                if not modes.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise StoreError(detail="it is not a regular file", url=self.url, key=key)
                while chunk := file.read(CHUNK):
                    yield chunk

    def close(self) -> None:
        """See `Store.close`: nothing is open."""

    def _meaning(self, error: Exception) -> tuple[type[StoreError] | None, str, str]:
        kind, detail, fix = super()._meaning(error)
        return kind, detail, FULL if isinstance(error, OSError) and error.errno in _NO_SPACE else fix


def _entry(name: str, info: os.stat_result) -> FileEntry:
    return FileEntry(name, info.st_mode, info.st_size, moment(info.st_mtime))
