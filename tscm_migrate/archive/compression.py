"""Decompresses a stream in pieces of limited size.

The file objects of the standard library have no limit for xz's dictionary (up to 4 GiB by a header of 12 bytes) and for
the number of gzip members, so the decompressors are used directly.
"""

import bz2
import lzma
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

LARGEST = 64 << 30  # bytes unpacked
RATIO = 300  # of unpacked to packed bytes; gzip reaches 1030 with zeros, logs some tens
_RATIO_FROM = 1 << 30  # bytes unpacked; below this the ratio is not checked
_LONGEST = 2 * 3600.0  # seconds
_XZ_MEMORY = 256 << 20
_MEMBERS = 100_000  # concatenated streams; each costs a copy of a piece
_PIECE = 1 << 16
_READ = 1 << 20


class ArchiveBomb(Exception):
    """The archive would fill memory, disk or time; the message is the reason."""


class UnpackMeter:
    """Counts the bytes that are read and unpacked, and enforces the limits.

    Args:
        packed: size of the archive if it is known; else the bytes that were read count.
    """

    def __init__(self, packed: int = 0) -> None:
        self._packed = packed
        self._read = self._unpacked = 0
        self._end = time.monotonic() + _LONGEST

    def reading(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the chunks and count their bytes; a decryption can return more bytes than the archive has."""
        for chunk in chunks:
            self._read += len(chunk)
            self._check(self._read)
            yield chunk

    def unpacked(self, size: int) -> None:
        """Add `size` bytes to those that were unpacked.

        Raises:
            ArchiveBomb: there are too many of them, alone or for the size of the archive, or it takes too long.
        """
        self._unpacked += size
        self._check(self._unpacked)

    def _check(self, size: int) -> None:
        if size > LARGEST:
            raise ArchiveBomb(f"it unpacks to more than any backup ({LARGEST >> 30} GiB)")
        if size > _RATIO_FROM and size > RATIO * (self._packed or self._read):
            raise ArchiveBomb(f"it unpacks to more than {RATIO} times its size")
        if time.monotonic() > self._end:
            raise ArchiveBomb(f"reading it takes more than {_LONGEST / 3600:.0f} hours")


class _Gzip:
    """zlib's decompressor with the interface of the others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, most: int) -> bytes:
        out = self._inner.decompress(self._inner.unconsumed_tail + data, most)
        self.needs_input = not self._inner.unconsumed_tail and len(out) < most
        return out


_KINDS: tuple[tuple[bytes, Callable[[], Any]], ...] = (
    (b"\x1f\x8b", _Gzip),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)),
)


def unpacked(start: bytes, chunks: Iterator[bytes], meter: UnpackMeter) -> Iterator[bytes]:
    """Decompress `start` and the chunks after it, in pieces of up to 1 MiB; data of an unknown format is not changed.

    Raises:
        ArchiveBomb: a limit of UnpackMeter or of the format was exceeded.
        EOFError, zlib.error, lzma.LZMAError, OSError: the data is damaged.
    """
    make = next((make for magic, make in _KINDS if start.startswith(magic)), None)

    def pieces() -> Iterator[bytes]:
        yield from _cut(start)
        for chunk in chunks:
            yield from _cut(chunk)

    for piece in pieces() if make is None else _decompressed(make, pieces()):
        meter.unpacked(len(piece))
        yield piece


def _cut(chunk: bytes) -> Iterator[bytes]:
    return (chunk[at : at + _PIECE] for at in range(0, len(chunk), _PIECE))


def _decompressed(make: Callable[[], Any], pieces: Iterator[bytes]) -> Iterator[bytes]:
    engine, members = make(), 1
    for piece in pieces:
        data = piece
        while data or not (engine.eof or engine.needs_input):
            if engine.eof:
                engine, members = make(), members + 1
                if members > _MEMBERS:
                    raise ArchiveBomb(f"it is made of more than {_MEMBERS} compressed streams")
            try:
                yield engine.decompress(data, _READ)
            except lzma.LZMAError as error:
                if "Memory usage limit" in str(error):
                    raise ArchiveBomb(f"unpacking it takes more than {_XZ_MEMORY >> 20} MiB of memory") from error
                raise
            data = engine.unused_data.lstrip(b"\0") if engine.eof else b""  # padding with zeros is allowed
    if not engine.eof:
        raise EOFError("it ends in the middle of a compressed stream")
