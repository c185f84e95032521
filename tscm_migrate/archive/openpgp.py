"""Reads the packets of OpenPGP messages, without a key and without gpg.

`walk` checks that a file is a complete encrypted message, from the first packet to the last byte: it finds a truncated
archive, and one with data after its end. `encryption_of` reads from the first bytes how a message is encrypted.
Formats: RFC 4880, 4.2 and 4.3; RFC 9580, 4.2 and 5.
"""

import io
from dataclasses import dataclass
from typing import IO, Literal

_PUBLIC_KEY, _PASSPHRASE = 1, 3  # packets with the session key, encrypted with the one or the other
_PASSPHRASE_VERSIONS = (4, 5, 6)  # first byte of the body of the latter
_DATA = {9: "without integrity protection", 18: "with integrity protection", 20: "AEAD"}
_PROTECTED_DATA = (18, 20)
_ARMOUR = b"-----BEGIN PGP MESSAGE-----"
_MAX_PACKETS = 1000  # also of short pieces of one packet; an archive's message has two packets
_SHORT = 512  # bytes: the shortest first piece that RFC 9580, 4.2.1.4, allows; gpg makes 8192


@dataclass(frozen=True)
class Packets:
    """Result of `walk`: the packet tags in order; `why_not`: why this is not a complete message, "" where it is."""

    tags: tuple[int, ...]
    why_not: str = ""

    @property
    def text(self) -> str:
        """The result in words."""
        return self.why_not or f"a complete OpenPGP message, {_DATA[self.tags[-1]]}"


@dataclass(frozen=True)
class Encryption:
    """How a message is encrypted, and to which key ids (16 hex digits each)."""

    sealing: Literal["no", "passphrase", "public-key"]
    key_ids: tuple[str, ...] = ()


def walk(file: IO[bytes], size: int) -> Packets:
    """Read all packet headers of `file`, which has `size` bytes, from its beginning; the bodies are skipped."""
    tags: list[int] = []
    file.seek(0)
    try:
        while file.tell() < size and len(tags) < _MAX_PACKETS:
            tags.append(_packet(file, size))
    except (EOFError, ValueError) as error:
        return Packets(tuple(tags), str(error))
    keys, data = tags[:-1], tags[-1:]
    if not keys or data[0] not in _DATA or any(tag not in (_PUBLIC_KEY, _PASSPHRASE) for tag in keys):
        return Packets(tuple(tags), f"it is not an encrypted OpenPGP message (packets {tags[:10]})")
    return Packets(tuple(tags))


def encryption_of(head: bytes) -> Encryption:
    """Read from the first bytes of a file how it is encrypted; "no" for everything that is not such a message.

    A name that ends in `.gpg` proves nothing: a message can be only compressed or signed.

    Args:
        head: the first bytes, as many as there are or 64 KiB; a packet for a recipient has about 0.5 KiB.
    """
    if head.startswith(_ARMOUR):
        return Encryption("passphrase")  # only encryption makes this header; the packets are not decoded here
    file, key_ids = io.BytesIO(head), list[str]()
    tag: int | None = None
    try:
        while (tag := (found := _header(file))[0]) in (_PUBLIC_KEY, _PASSPHRASE):
            body = file.read(found[1])
            if tag == _PASSPHRASE:
                known = bool(body) and body[0] in _PASSPHRASE_VERSIONS
                return Encryption("passphrase" if known else "no", tuple(key_ids))
            if body[:1] == b"\x03":
                key_ids.append(body[1:9].hex().upper())
    except (EOFError, ValueError):
        tag = None  # `head` ends here
    encrypted = bool(key_ids) and (tag is None or tag in _PROTECTED_DATA)
    return Encryption("public-key", tuple(key_ids)) if encrypted else Encryption("no")


def _packet(file: IO[bytes], size: int) -> int:
    """Skip one packet; return its tag."""
    tag, length, partial = _header(file)
    if length is None:
        file.seek(size)
        return tag
    _skip(file, length, size)
    short = int(length < _SHORT)
    while partial:
        length, partial = _length(file)
        _skip(file, length, size)
        short += length < _SHORT
        if short > _MAX_PACKETS:
            raise ValueError("it is made of more small pieces than any message")
    return tag


def _header(file: IO[bytes]) -> tuple[int, int | None, bool]:
    """Read a packet's header.

    Returns:
        Its tag, the length of its body in bytes (None: up to the end of the file), and whether further pieces follow.
    """
    first = _byte(file)
    if not first & 0x80:
        raise ValueError(f"at byte {file.tell() - 1} there is no OpenPGP packet")
    if first & 0x40:
        return first & 0x3F, *_length(file)
    kind = first & 3  # the old format
    return (first >> 2) & 15, None if kind == 3 else _number(file, 1 << kind), False


def _length(file: IO[bytes]) -> tuple[int, bool]:
    """Read a length of the new format, and whether it is that of a piece that another one follows."""
    first = _byte(file)
    if first < 192:
        return first, False
    if first < 224:
        return ((first - 192) << 8) + _byte(file) + 192, False
    if first < 255:
        return 1 << (first & 31), True
    return _number(file, 4), False


def _byte(file: IO[bytes]) -> int:
    return _number(file, 1)


def _number(file: IO[bytes], count: int) -> int:
    read = file.read(count)
    if len(read) < count:
        raise EOFError("it ends in the middle of a packet")
    return int.from_bytes(read, "big")


def _skip(file: IO[bytes], count: int, size: int) -> None:
    if file.tell() + count > size:
        raise EOFError(f"it is truncated: {file.tell() + count - size} more bytes of a packet should follow")
    file.seek(count, 1)
