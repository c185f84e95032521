"""Whether a file is a whole OpenPGP message: its packets are walked from the first byte to the last, without a key.

A truncated archive, or one with something behind it, is found on any workstation; gpg is not
needed. Source: RFC 4880, 4.2 and 4.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

_SESSION_KEYS = (1, 3)  # public-key and symmetric-key encrypted session key
_SEALED = {9: "without integrity protection", 18: "with integrity protection", 20: "AEAD"}
_MOST = 1000  # packets, and short pieces of one; an archive's message has two packets
_SHORT = 512  # bytes: the shortest piece that RFC 9580, 4.2.1.4, allows at the beginning; gpg makes 8192


@dataclass(frozen=True)
class Packets:
    """What the walk found: packet tags in order, "" or why it is no whole encrypted message."""

    tags: tuple[int, ...]
    why_not: str = ""

    @property
    def text(self) -> str:
        """In words."""
        return self.why_not or f"a whole OpenPGP message, {_SEALED[self.tags[-1]]}"


def walk(file: IO[bytes], size: int) -> Packets:
    """Walk over the packets of `file`, which has `size` bytes, from its beginning."""
    tags: list[int] = []
    file.seek(0)
    try:
        while file.tell() < size and len(tags) < _MOST:
            tags.append(_packet(file, size))
    except (EOFError, ValueError) as error:
        return Packets(tuple(tags), str(error))
    if not tags or tags[-1] not in _SEALED or any(tag not in _SESSION_KEYS for tag in tags[:-1]) or len(tags) < 2:
        return Packets(tuple(tags), f"it is no encrypted OpenPGP message (packets {tags[:10]})")
    return Packets(tuple(tags))


def _byte(file: IO[bytes]) -> int:
    got = file.read(1)
    if not got:
        raise EOFError("it ends in the middle of a packet")
    return got[0]


def _number(file: IO[bytes], count: int) -> int:
    got = file.read(count)
    if len(got) < count:
        raise EOFError("it ends in the middle of a packet")
    return int.from_bytes(got, "big")


def _skip(file: IO[bytes], count: int, size: int) -> None:
    if file.tell() + count > size:
        raise EOFError(f"it is truncated: a packet should go on for {file.tell() + count - size} more bytes")
    file.seek(count, 1)


def _packet(file: IO[bytes], size: int) -> int:
    """Walk over one packet; its tag."""
    first = _byte(file)
    if not first & 0x80:
        raise ValueError(f"at byte {file.tell() - 1} there is no OpenPGP packet")
    if not first & 0x40:  # the old format
        kind = first & 3
        if kind == 3:  # until the end of the file
            file.seek(size)
        else:
            _skip(file, _number(file, 1 << kind), size)
        return (first >> 2) & 15
    small = 0
    while True:
        length, partial = _new_length(file)
        _skip(file, length, size)
        small += length < _SHORT
        if small > _MOST:
            raise ValueError("it is made of more small pieces than any message")
        if not partial:
            return first & 0x3F


def _new_length(file: IO[bytes]) -> tuple[int, bool]:
    first = _byte(file)
    if first < 192:
        return first, False
    if first < 224:
        return ((first - 192) << 8) + _byte(file) + 192, False
    if first < 255:
        return 1 << (first & 31), True
    return _number(file, 4), False
