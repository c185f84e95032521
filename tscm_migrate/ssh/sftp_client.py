"""paramiko's SFTP client with a limit for everything that a server decides; imported when SFTP is used."""

from __future__ import annotations

import struct
import time
from typing import Any

import paramiko
from paramiko.sftp import (
    CMD_ATTRS,
    CMD_CLOSE,
    CMD_EXTENDED,
    CMD_EXTENDED_REPLY,
    CMD_HANDLE,
    CMD_NAME,
    CMD_OPENDIR,
    CMD_READDIR,
    CMD_STATUS,
    CMD_VERSION,
)

from tscm_migrate.errors import OutputFlood

_PACKET = (1 << 18) + 1024  # bytes: the largest packet of OpenSSH's sftp-server
_UNASKED = 1000  # answers that nobody waits for; late ones are allowed
_ENTRIES = 100_000
_BYTES = 64 << 20
_SECONDS = 120.0
_EXTENSIONS = 100  # attributes of an entry that are not standard
_HAS_SIZE, _HAS_OWNER, _HAS_MODE, _HAS_TIMES, _HAS_MORE = 1, 2, 4, 8, 1 << 31


class Client(paramiko.SFTPClient):
    """See the module.

    Raises:
        OutputFlood: from any call, where the server sends more than it was asked for.
    """

    def __init__(self, sock: Any, host: str) -> None:
        self._host = host
        self._packets = 0
        super().__init__(sock)

    def _read_packet(self) -> tuple[int, bytes]:
        size = int.from_bytes(self._read_all(4), "big")  # type: ignore[attr-defined]
        if not 0 < size <= _PACKET:
            if not self._packets:  # something else than SFTP speaks
                raise paramiko.SFTPError("Garbage packet received")
            raise OutputFlood(self._host, f"its SFTP server announced a packet of {size} bytes")
        self._packets += 1
        if self._packets > self.request_number + _UNASKED:
            raise OutputFlood(self._host, "its SFTP server sends answers that nobody asked for")
        data: bytes = self._read_all(size)  # type: ignore[attr-defined]
        kind = data[0]
        if kind == CMD_VERSION and size < 5:
            raise paramiko.SFTPError("Garbage packet received")
        return kind, _plain(kind, data[1:])


def entries(sftp: paramiko.SFTPClient, folder: str, host: str) -> list[paramiko.SFTPAttributes]:
    """The entries of a folder, as `listdir_attr` gives them, within limits of number, bytes and time.

    Raises:
        OutputFlood: there are more. OSError: the server refuses.
    """
    ask: Any = sftp._request  # type: ignore[attr-defined]  # noqa: SLF001 - listdir_attr has no limit
    kind, message = ask(CMD_OPENDIR, folder)
    if kind != CMD_HANDLE:
        raise paramiko.SFTPError("Expected handle")
    handle, found, size, end = message.get_binary(), list[paramiko.SFTPAttributes](), 0, time.monotonic() + _SECONDS
    while True:
        try:
            kind, message = ask(CMD_READDIR, handle)
        except EOFError:
            break
        if kind != CMD_NAME:
            raise paramiko.SFTPError("Expected name response")
        size += len(message.asbytes())
        count = message.get_int()
        if len(found) + count > _ENTRIES or size > _BYTES or time.monotonic() > end:
            raise OutputFlood(host, f"its SFTP server lists {folder} without end")
        found += [_entry(message, host) for _ in range(count)]
    ask(CMD_CLOSE, handle)
    return [entry for entry in found if entry.filename not in {".", ".."}]


def free_at(sftp: paramiko.SFTPClient, folder: str) -> int | None:
    """Free bytes where `folder` lies, by OpenSSH's statvfs extension; None where the server has none."""
    ask: Any = sftp._request  # type: ignore[attr-defined]  # noqa: SLF001 - paramiko has no call for it
    try:
        kind, message = ask(CMD_EXTENDED, "statvfs@openssh.com", folder)
    except (OSError, EOFError):
        return None
    told = message.get_remainder()[:40] if kind == CMD_EXTENDED_REPLY else b""
    if len(told) < 40:
        return None
    _size, fragment, _blocks, _free_blocks, available = struct.unpack(">5Q", told)
    return int(fragment * available)


def _plain(kind: int, data: bytes) -> bytes:
    """An answer without what paramiko would stumble over: text that is not UTF-8, lists of attributes without end."""
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
            raise OutputFlood(host, f"its SFTP server gives an entry {count} attributes")
        for _ in range(2 * count):
            message.get_binary()
    entry: paramiko.SFTPAttributes = made
    return entry
