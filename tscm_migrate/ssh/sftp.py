"""SFTP client with pipelined reads and writes, and with a limit for everything that the server sends."""

import collections
import contextlib
import struct
import time
from collections.abc import Iterator
from typing import Any

import paramiko
from paramiko.sftp import (
    CMD_ATTRS,
    CMD_CLOSE,
    CMD_DATA,
    CMD_EXTENDED,
    CMD_EXTENDED_REPLY,
    CMD_HANDLE,
    CMD_NAME,
    CMD_OPENDIR,
    CMD_READ,
    CMD_READDIR,
    CMD_STATUS,
    CMD_VERSION,
    int64,
)

from tscm_migrate.errors import CommandTimeout, ConnectionLost, NoSftp, SshError, TooMuchOutput
from tscm_migrate.ssh.accelerated import send
from tscm_migrate.ssh.exceptions import let_go, lives, translated
from tscm_migrate.util.redact import printable

REQUEST = 261_120  # bytes: the largest read and write of OpenSSH's sftp-server (limits@openssh.com)
_LEAST = 32_768  # bytes that every server accepts
_UNDER_WAY = 6 << 20  # bytes requested and not yet received


class Buffered:
    """A channel for `SFTPClient` that sends large messages in packets of the right size."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

    def send(self, data: bytes) -> int:
        """Send all data, in packets of the size that the server accepts."""
        return send(self._channel, data)

    def close(self) -> None:
        """Close the channel; ignore the errors of a lost connection, which would hide its cause."""
        let_go(self._channel)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)


def client(channel: paramiko.Channel, host: str) -> "Client":
    """Start SFTP on an open session channel; return the client.

    Raises:
        NoSftp: the server refuses the subsystem, or its program does not run.
        paramiko.SFTPError: the answer is not SFTP.
    """
    why = "the subsystem was refused"
    try:
        channel.invoke_subsystem("sftp")
        why = "what was started for it ended at once"
        return Client(Buffered(channel), host)
    except TimeoutError as error:
        raise _none(channel, host, "what was started for it does not answer") from error
    except (paramiko.SSHException, EOFError) as error:
        if isinstance(error, paramiko.SFTPError) or not lives(channel):
            raise
        raise _none(channel, host, why) from error
    except OSError as error:  # the program ended before our first message; it may have printed something
        if not lives(channel):
            raise
        if channel.recv_ready():
            raise paramiko.SFTPError("its output is not SFTP") from error
        raise _none(channel, host, why) from error


def _none(channel: paramiko.Channel, host: str, why: str) -> NoSftp:
    return NoSftp(host, f"{why}; the server is {printable(channel.get_transport().remote_version)[:80]}")


@contextlib.contextmanager
def answered(sftp: paramiko.SFTPClient, host: str) -> Iterator[None]:
    """Run the block; distinguish a refusal of the server from a lost connection.

    Raises:
        SshError: the server refused (no such file, no permission, no space).
        ConnectionLost, CommandTimeout: no answer came.
    """
    with translated(host):
        try:
            yield
        except TimeoutError as error:
            raise CommandTimeout(host, "SFTP got no answer") from error
        except OSError as error:
            channel: Any = sftp.get_channel()
            if channel.closed or not channel.get_transport().is_active():
                raise ConnectionLost(host, "during SFTP") from error
            words = "".join(c for c in str(error.strerror or error) if c.isprintable())[:200]
            raise SshError(host, f"SFTP: {words}") from error


class _Replies:
    """Receives the answers to our requests, by number; paramiko treats it as a file."""

    def __init__(self) -> None:
        self.arrived: dict[int, tuple[int, Any]] = {}

    def _async_response(self, kind: int, message: Any, number: int) -> None:
        self.arrived[number] = (kind, message)


class Reading:
    """The bytes of a remote file from an offset on, in order."""

    def __init__(self, sftp: paramiko.SFTPClient, file: paramiko.SFTPFile, offset: int, host: str) -> None:
        self._sftp: Any = sftp
        self._file: Any = file
        self._host = host
        self._at = offset
        self._size = int(file.stat().st_size or 0)
        self._replies = _Replies()

    def __iter__(self) -> Iterator[bytes]:
        with answered(self._sftp, self._host):
            request = self._largest()
            pending: collections.deque[tuple[int, int, int]] = collections.deque()
            asked = self._at
            while pending or asked < self._size:
                while asked < self._size and len(pending) * request < _UNDER_WAY:
                    count = min(request, self._size - asked)
                    pending.append((self._ask(asked, count), asked, count))
                    asked += count
                data = self._answer(*pending.popleft())
                if not data:  # the file has shrunk; verification of the copy will fail
                    return
                yield data

    def _largest(self) -> int:
        """Return the largest answer of the server to one request; old servers send 64 KiB at most."""
        if self._size - self._at <= REQUEST:
            return REQUEST
        return max(_LEAST, len(self._answer(self._ask(self._at, REQUEST), self._at, REQUEST, whole=False)))

    def _ask(self, offset: int, count: int) -> int:
        number: int = self._sftp._async_request(  # noqa: SLF001 - paramiko has no public call for pipelined reads
            self._replies, CMD_READ, self._file.handle, int64(offset), count
        )
        return number

    def _answer(self, number: int, offset: int, count: int, *, whole: bool = True) -> bytes:
        while number not in self._replies.arrived:
            self._sftp._read_response()  # noqa: SLF001
        kind, message = self._replies.arrived.pop(number)
        if kind != CMD_DATA:
            with contextlib.suppress(EOFError):
                self._sftp._convert_status(message)  # noqa: SLF001 - raises OSError for all but the end of the file
            return b""
        data: bytes = message.get_string()
        if len(data) > max(count, 1):
            raise TooMuchOutput(self._host, f"its SFTP server answers a request for {count} bytes with {len(data)}")
        while whole and 0 < len(data) < count:  # the protocol allows short answers
            more = self._answer(self._ask(offset + len(data), count - len(data)), 0, count - len(data), whole=False)
            if not more:
                break
            data += more
        return data

    def finish(self) -> None:
        """Do nothing: a lost connection raises while reading."""


class Writing:
    """Pipelined writes to a remote file."""

    def __init__(self, sftp: paramiko.SFTPClient, file: paramiko.SFTPFile, host: str) -> None:
        self._sftp: Any = sftp
        self._file: Any = file
        self._host = host

    def write(self, data: bytes) -> None:
        """Send `data`; the server's confirmation is read later."""
        with answered(self._sftp, self._host):
            self._file.write(data)

    def finish(self) -> None:
        """Read all confirmations (paramiko's close() does not); raise if the server refused a write."""
        with answered(self._sftp, self._host):
            while self._file._reqs:  # noqa: SLF001
                self._sftp._read_response(self._file._reqs.popleft())  # noqa: SLF001
            self._file.close()


@contextlib.contextmanager
def reading(sftp: paramiko.SFTPClient, path: str, offset: int, host: str) -> Iterator[Reading]:
    """Open `path` for reading from `offset` on."""
    with answered(sftp, host):
        file = sftp.open(path, "rb", bufsize=0)
    try:
        with answered(sftp, host):
            made = Reading(sftp, file, offset, host)
        yield made
    finally:
        let_go(file)


@contextlib.contextmanager
def writing(sftp: paramiko.SFTPClient, path: str, offset: int, host: str) -> Iterator[Writing]:
    """Open the existing `path` for writing from `offset` on."""
    with answered(sftp, host):
        file: Any = sftp.open(path, "r+b", bufsize=0)
        file.MAX_REQUEST_SIZE = REQUEST
        file.set_pipelined(pipelined=True)
        file.seek(offset)
    try:
        yield Writing(sftp, file, host)
    finally:
        let_go(file)


_PACKET = (1 << 18) + 1024  # bytes: the largest packet of OpenSSH's sftp-server
_UNASKED = 1000  # answers without a request; late answers are allowed
_ENTRIES = 100_000
_BYTES = 64 << 20
_SECONDS = 120.0
_EXTENSIONS = 100  # non-standard attributes of an entry
_HAS_SIZE, _HAS_OWNER, _HAS_MODE, _HAS_TIMES, _HAS_MORE = 1, 2, 4, 8, 1 << 31


class Client(paramiko.SFTPClient):
    """paramiko's client with a limit for the size and number of the server's answers.

    Raises:
        TooMuchOutput: from any call, if the server sends more than was requested.
    """

    def __init__(self, sock: Any, host: str) -> None:
        self._host = host
        self._packets = 0
        super().__init__(sock)

    def _read_packet(self) -> tuple[int, bytes]:
        size = int.from_bytes(self._read_all(4), "big")  # type: ignore[attr-defined]
        if not 0 < size <= _PACKET:
            if not self._packets:  # the data is not SFTP
                raise paramiko.SFTPError("Garbage packet received")
            raise TooMuchOutput(self._host, f"its SFTP server announced a packet of {size} bytes")
        self._packets += 1
        if self._packets > self.request_number + _UNASKED:
            raise TooMuchOutput(self._host, "its SFTP server sends answers without a request")
        data: bytes = self._read_all(size)  # type: ignore[attr-defined]
        kind = data[0]
        if kind == CMD_VERSION and size < 5:
            raise paramiko.SFTPError("Garbage packet received")
        return kind, _plain(kind, data[1:])


def entries(sftp: paramiko.SFTPClient, folder: str, host: str) -> list[paramiko.SFTPAttributes]:
    """List a folder as `listdir_attr` does, with limits for number, bytes and time.

    Raises:
        TooMuchOutput: a limit is exceeded. OSError: the server refuses.
    """
    ask: Any = sftp._request  # type: ignore[attr-defined]  # noqa: SLF001 - listdir_attr has no limit
    kind, message = ask(CMD_OPENDIR, folder)
    if kind != CMD_HANDLE:
        raise paramiko.SFTPError("Expected handle")
    handle, files, size, end = message.get_binary(), list[paramiko.SFTPAttributes](), 0, time.monotonic() + _SECONDS
    while True:
        try:
            kind, message = ask(CMD_READDIR, handle)
        except EOFError:
            break
        if kind != CMD_NAME:
            raise paramiko.SFTPError("Expected name response")
        size += len(message.asbytes())
        count = message.get_int()
        if len(files) + count > _ENTRIES or size > _BYTES or time.monotonic() > end:
            raise TooMuchOutput(host, f"its SFTP server lists {folder} without end")
        files += [_entry(message, host) for _ in range(count)]
    ask(CMD_CLOSE, handle)
    return [entry for entry in files if entry.filename not in {".", ".."}]


def free_at(sftp: paramiko.SFTPClient, folder: str) -> int | None:
    """Return the free bytes at `folder`, by OpenSSH's statvfs extension; None if the server lacks it."""
    ask: Any = sftp._request  # type: ignore[attr-defined]  # noqa: SLF001 - paramiko has no call for it
    try:
        kind, message = ask(CMD_EXTENDED, "statvfs@openssh.com", folder)
    except (OSError, EOFError):
        return None
    numbers = message.get_remainder()[:40] if kind == CMD_EXTENDED_REPLY else b""
    if len(numbers) < 40:
        return None
    _size, fragment, _blocks, _free_blocks, available = struct.unpack(">5Q", numbers)
    return int(fragment * available)


def _plain(kind: int, data: bytes) -> bytes:
    """Return an answer without what makes paramiko fail: text that is not UTF-8, endless lists of attributes."""
    if kind == CMD_STATUS and len(data) > 12:
        size = int.from_bytes(data[8:12], "big")
        text = data[12 : 12 + size].decode(errors="replace").encode()
        return data[:8] + len(text).to_bytes(4, "big") + text
    if kind == CMD_ATTRS and len(data) > 4:
        return data[:4] + bytes([data[4] & 0x7F]) + data[5:]
    return data


def _entry(message: paramiko.Message, host: str) -> paramiko.SFTPAttributes:
    made: Any = paramiko.SFTPAttributes()
    made.filename = message.get_binary().decode(errors="replace")
    message.get_binary()  # the line of `ls -l`
    flags = message.get_int()
    if flags & _HAS_SIZE:
        made.st_size = message.get_int64()
    if flags & _HAS_OWNER:
        made.st_uid, made.st_gid = message.get_int(), message.get_int()
    if flags & _HAS_MODE:
        made.st_mode = message.get_int()
    if flags & _HAS_TIMES:
        made.st_atime, made.st_mtime = message.get_int(), message.get_int()
    if flags & _HAS_MORE:
        count = message.get_int()
        if count > _EXTENSIONS:
            raise TooMuchOutput(host, f"its SFTP server gives an entry {count} attributes")
        for _ in range(2 * count):
            message.get_binary()
    entry: paramiko.SFTPAttributes = made
    return entry
