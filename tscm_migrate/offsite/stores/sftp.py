"""A folder on any host that speaks SFTP, over the ssh package.

SFTP's rename gives an upload its final name; unlike POSIX's, it refuses an existing name. Files are read in slices:
paramiko's prefetch of complete files becomes very slow on fast links (paramiko#2519).
"""

import stat as modes
import threading
from collections.abc import Generator, Iterable
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Protocol

import paramiko

from tscm_migrate.errors import StoreError, StoreUnavailable, TooMuchOutput
from tscm_migrate.offsite.stores.base import check_key, moment
from tscm_migrate.offsite.stores.folder import FileEntry, FolderStore
from tscm_migrate.ssh.sftp import entries, free_at

_ASK = 32_768  # bytes a request; what every server takes
_SLICE = 16 << 20  # bytes asked for at once
_TIMEOUT = 60.0  # seconds without any answer
_WHERE_FULL = "is the disk there full? tscm-migrate offsite clean, offsite prune"


class Connection(Protocol):
    """What this store needs of an SSH connection (`tscm_migrate.ssh.shell.Shell` is one)."""

    def sftp(self) -> paramiko.SFTPClient:
        """Open an SFTP session."""

    def close(self) -> None:
        """Close the connection."""


class SftpStore(FolderStore):
    """Copies below one folder of an SFTP server; each call is locked, so threads wait for each other."""

    how_to_create = "create it on the server"

    def __init__(self, connection: Connection, root: PurePosixPath, url: str) -> None:
        self._connection = connection
        self._root = root
        self.url = url
        self._lock = threading.RLock()
        self._session: paramiko.SFTPClient | None = None

    @property
    def _sftp(self) -> paramiko.SFTPClient:
        if self._session is None:
            self._session = self._connection.sftp()
            channel = self._session.get_channel()
            if channel is not None:
                channel.settimeout(_TIMEOUT)
        return self._session

    def _path(self, path: str) -> str:
        return f"{self._root}/{path}".rstrip("/")

    def _stat(self, path: str) -> FileEntry:
        return _entry("", self._sftp.stat(self._path(path) or "/"))

    def _listed(self, folder: str) -> list[FileEntry]:
        path = self._path(folder)
        found = [_entry(each.filename, each) for each in entries(self._sftp, path or "/", self.url)]
        return [each if each.mode else self._with_mode(f"{path}/{each.name}", each) for each in found]

    def _with_mode(self, path: str, entry: FileEntry) -> FileEntry:
        """Complete an entry whose mode the server's listing leaves out."""
        with suppress(OSError):
            return _entry(entry.name, self._sftp.lstat(path))
        return entry

    def _make_folder(self, path: str) -> None:
        missing = []
        while path:
            try:
                self._stat(path)
                break
            except FileNotFoundError:
                missing.append(path)
                path = path.rpartition("/")[0]
        for each in reversed(missing):
            try:
                self._sftp.mkdir(self._path(each), 0o700)
            except OSError:
                self._stat(each)  # another process created it meanwhile, or it is a real failure

    def _free(self) -> int | None:
        return free_at(self._sftp, str(self._root))

    def _write(self, path: str, chunks: Iterable[bytes], key: str) -> int:
        size = 0
        with self._translated(key):
            file = self._sftp.open(self._path(path), "wxb")
            self._sftp.chmod(self._path(path), 0o600)
            file.set_pipelined(True)
        try:
            for chunk in chunks:
                with self._translated(key):
                    file.write(chunk)
                size += len(chunk)
        finally:
            with self._translated(key):
                file.close()
        with self._translated(key):
            there = self._stat(path).size
        if there != size:
            raise StoreError(detail=f"{there} of {size} bytes were written", url=self.url, key=key)
        return size

    def _give_name(self, part: str, key: str) -> None:
        try:
            self._sftp.rename(self._path(part), self._path(key))
        except OSError:
            self._refuse_taken(key)  # servers give no other reason than "Failure"
            raise

    def _remove(self, path: str) -> None:
        self._sftp.remove(self._path(path))

    def read(self, key: str) -> Generator[bytes, None, None]:
        """See `Store.read`."""
        with self._lock:
            with self._translated(check_key(key)):
                there = self._stat(key)
                if there.mode and not modes.S_ISREG(there.mode):
                    raise StoreError(detail="it is not a regular file", url=self.url, key=key)
                file = self._sftp.open(self._path(key), "rb")
            try:
                for start in range(0, there.size, _SLICE):
                    end = min(start + _SLICE, there.size)
                    asks = [(at, min(_ASK, end - at)) for at in range(start, end, _ASK)]
                    with self._translated(key):
                        piece = b"".join(file.readv(asks))
                    if len(piece) != end - start:
                        raise StoreError(detail="the server ended the file early", url=self.url, key=key)
                    yield piece
            finally:
                with suppress(Exception):
                    file.close()

    def close(self) -> None:
        """See `Store.close`."""
        with suppress(Exception):
            if self._session is not None:
                self._session.close()
        self._connection.close()

    def _meaning(self, error: Exception) -> tuple[type[StoreError] | None, str, str]:
        import paramiko

        if isinstance(error, TooMuchOutput):
            return StoreError, error.detail, ""
        if isinstance(error, (TimeoutError, EOFError, paramiko.SSHException, ConnectionError)):
            return StoreUnavailable, str(error) or "the connection is gone", ""
        kind, detail, fix = super()._meaning(error)
        return kind, detail, _WHERE_FULL if kind is StoreError else fix


def _entry(name: str, attributes: paramiko.SFTPAttributes) -> FileEntry:
    return FileEntry(name, attributes.st_mode or 0, attributes.st_size or 0, moment(attributes.st_mtime))
