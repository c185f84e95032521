"""A folder on any host that speaks SFTP, over the ssh package.

An upload is written to a temporary name, and SFTP's rename gives the final one; unlike POSIX's, it refuses an existing
name. Files are read in slices: paramiko's prefetch of a complete file collapses on fast links (paramiko#2519).
"""

from __future__ import annotations

import errno
import secrets
import stat as modes
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from tscm_migrate.errors import ObjectExists, ObjectMissing, StoreDenied, StoreError, StoreUnavailable, TooMuchOutput
from tscm_migrate.offsite.stores.base import Caps, Odd, Stat, Unfinished, check_key, check_room, is_key, moment, shown
from tscm_migrate.ssh.sftp import entries, free_at

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from pathlib import PurePosixPath

    import paramiko


_PARTS = ".unfinished"
_ASK = 32_768  # bytes a request; what every server takes
_SLICE = 16 << 20  # bytes asked for at once
_TIMEOUT = 60.0  # seconds without any answer
_DEPTH = 8  # folders below the root; ours go three deep


class Connection(Protocol):
    """What this store needs of an SSH connection (`tscm_migrate.ssh.shell.Shell` is one)."""

    def sftp(self) -> paramiko.SFTPClient:
        """Open an SFTP session."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class SftpStore:
    """Copies below one folder of an SFTP server; each call is locked, so threads wait for each other."""

    caps = Caps(sweeps=True)

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

    def upload(self, key: str, chunks: Iterable[bytes], *, size_hint: int = 0) -> int:
        """See `Store.upload`."""
        final, part = self._path(key), f"{self._root}/{_PARTS}/{secrets.token_hex(8)}.part"
        with self._lock:
            with self._translated(key):
                self._refuse_taken(key)
                self._make_folder(f"{self._root}/{_PARTS}")
                check_room(self.url, key, size_hint, free_at(self._sftp, str(self._root)))
            try:
                size = self._write(part, chunks, key)
                with self._translated(key):
                    self._make_folder(final.rpartition("/")[0])
                    self._give_name(part, final, key)
            except BaseException:
                with suppress(Exception):
                    self._sftp.remove(part)
                raise
        return size

    def _write(self, part: str, chunks: Iterable[bytes], key: str) -> int:
        size = 0
        with self._translated(key):
            file = self._sftp.open(part, "wxb")
            self._sftp.chmod(part, 0o600)
            file.set_pipelined(True)
        try:
            for chunk in chunks:  # its own errors come out as they are
                with self._translated(key):
                    file.write(chunk)
                size += len(chunk)
        finally:
            with self._translated(key):
                file.close()
        with self._translated(key):
            there = self._sftp.stat(part).st_size
        if there != size:
            raise StoreError(detail=f"{there} of {size} bytes were written", url=self.url, key=key)
        return size

    def _give_name(self, part: str, final: str, key: str) -> None:
        try:
            self._sftp.rename(part, final)
        except OSError:
            self._refuse_taken(key)  # servers only report "Failure"
            raise

    def create(self, key: str, body: bytes) -> None:
        """See `Store.create`."""
        self.upload(key, [body])

    def read(self, key: str) -> Generator[bytes, None, None]:
        """See `Store.read`."""
        path = self._path(key)
        with self._lock:
            with self._translated(key):
                there = self._sftp.stat(path)
                if there.st_mode and not modes.S_ISREG(there.st_mode):
                    raise StoreError(detail="it is not a regular file", url=self.url, key=key)
                size = there.st_size or 0
                file = self._sftp.open(path, "rb")
            try:
                for start in range(0, size, _SLICE):
                    end = min(start + _SLICE, size)
                    asks = [(at, min(_ASK, end - at)) for at in range(start, end, _ASK)]
                    with self._translated(key):
                        piece = b"".join(file.readv(asks))
                    if len(piece) != end - start:
                        raise StoreError(detail="the server ended the file early", url=self.url, key=key)
                    yield piece
            finally:
                with suppress(Exception):
                    file.close()

    def stat(self, key: str) -> Stat:
        """See `Store.stat`."""
        with self._lock, self._translated(key):
            return _as_stat(key, self._sftp.stat(self._path(key)))

    def entries(self, prefix: str = "", *, odd: Odd | None = None) -> Iterator[Stat]:
        """See `Store.entries`."""
        tell = odd or (lambda _key, _why: None)
        with self._lock, self._translated(prefix):
            self._check_root()
            return iter(list(self._walk(check_key(prefix) if prefix else "", _DEPTH, tell)))

    def _walk(self, folder: str, depth: int, odd: Odd) -> Iterator[Stat]:
        for entry in self._visible(folder, odd):
            key = f"{folder}/{entry.filename}".lstrip("/")
            if not is_key(key):
                odd(shown(key), "its name is unknown to this tool")
                continue
            mode = entry.st_mode or self._mode(key)
            if not mode:
                odd(shown(key), "the server does not say what it is")
            elif modes.S_ISDIR(mode) and depth:
                yield from self._walk(key, depth - 1, odd)
            elif modes.S_ISREG(mode):
                yield _as_stat(key, entry)
            else:
                odd(shown(key), "it is not a regular file")

    def _visible(self, folder: str, odd: Odd) -> list[paramiko.SFTPAttributes]:
        """Return the entries of a folder without hidden ones; none if it is not there or cannot be read."""
        try:
            found = entries(self._sftp, f"{self._root}/{folder}".rstrip("/"), self.url)
        except FileNotFoundError:
            return []
        except OSError as error:
            if not folder or error.errno != errno.EACCES:
                raise
            odd(shown(folder), "permission denied")
            return []
        return [entry for entry in found if not entry.filename.startswith(".")]

    def _mode(self, key: str) -> int:
        """Return the mode of an entry that the server's listing leaves out; 0 if it is not known."""
        with suppress(OSError):
            return self._sftp.lstat(self._path(key)).st_mode or 0
        return 0

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        with self._lock, self._translated(key), suppress(FileNotFoundError):
            self._sftp.remove(self._path(key))

    def unfinished(self) -> list[Unfinished]:
        """See `Store.unfinished`."""
        with self._lock, self._translated(""):
            self._check_root()
            try:
                found = entries(self._sftp, f"{self._root}/{_PARTS}", self.url)
            except FileNotFoundError:
                return []
        names = [entry for entry in found if is_key(entry.filename) and entry.filename.endswith(".part")]
        return [Unfinished(entry.filename, entry.filename, _as_stat("", entry).modified) for entry in names]

    def abandon(self, item: Unfinished) -> None:
        """See `Store.abandon`."""
        with self._lock, self._translated(item.key), suppress(FileNotFoundError):
            self._sftp.remove(f"{self._root}/{_PARTS}/{check_key(item.handle)}")

    def close(self) -> None:
        """See `Store.close`."""
        with suppress(Exception):
            if self._session is not None:
                self._session.close()
        self._connection.close()

    def _path(self, key: str) -> str:
        return f"{self._root}/{check_key(key)}"

    def _check_root(self) -> None:
        try:
            self._sftp.stat(str(self._root))
        except FileNotFoundError:
            raise StoreUnavailable(detail="the folder is not there", fix="make it first", url=self.url) from None

    def _make_folder(self, folder: str) -> None:
        self._check_root()
        missing = []
        while folder != str(self._root):
            try:
                self._sftp.stat(folder)
                break
            except FileNotFoundError:
                missing.append(folder)
                folder = folder.rpartition("/")[0]
        for path in reversed(missing):
            try:
                self._sftp.mkdir(path, 0o700)
            except OSError:
                self._sftp.stat(path)  # another process created it meanwhile, or it is a real failure

    def _refuse_taken(self, key: str) -> None:
        with suppress(FileNotFoundError):
            self._sftp.stat(self._path(key))
            raise ObjectExists(detail="already there", url=self.url, key=key)

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        import paramiko

        try:
            yield
        except StoreError:
            raise
        except TooMuchOutput as error:
            raise StoreError(detail=error.detail, url=self.url, key=key) from error
        except FileNotFoundError as error:
            raise ObjectMissing(detail="not there", url=self.url, key=key) from error
        except (TimeoutError, EOFError, paramiko.SSHException, ConnectionError) as error:
            raise StoreUnavailable(detail=str(error) or "the connection is gone", url=self.url, key=key) from error
        except OSError as error:
            if error.errno == errno.EACCES:
                raise StoreDenied(detail="permission denied", url=self.url, key=key) from error
            fix = "is the disk there full? tscm-migrate offsite clean, offsite prune"
            raise StoreError(detail=str(error), fix=fix, url=self.url, key=key) from error


def _as_stat(key: str, found: paramiko.SFTPAttributes) -> Stat:
    return Stat(key, found.st_size or 0, moment(found.st_mtime))
