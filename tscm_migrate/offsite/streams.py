"""Bytes on their way: hashed, counted, and looked at for encryption, in flat memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from tscm_migrate.errors import CopyDamaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tscm_migrate.offsite.manifest import Sealing

_HEAD = 1 << 16  # bytes that are looked at; a packet for a recipient is about 0.5 KiB
_ARMOUR = b"-----BEGIN PGP MESSAGE-----"
_PUBLIC_KEY_SESSION, _SYMMETRIC_SESSION, _MDC_DATA, _AEAD_DATA = 1, 3, 18, 20  # RFC 9580, section 5


class Hashed:
    """Passes chunks on; afterwards `size` and `sha256` tell what passed."""

    def __init__(self, chunks: Iterable[bytes], on_size: Callable[[int], None] | None = None) -> None:
        self._chunks = chunks
        self._on_size = on_size
        self._hash = hashlib.sha256()
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._hash.update(chunk)
            self.size += len(chunk)
            if self._on_size:
                self._on_size(self.size)
            yield chunk

    @property
    def sha256(self) -> str:
        """64 hex digits, of what has passed so far."""
        return self._hash.hexdigest()


def no_more(chunks: Iterable[bytes], size: int, what: str) -> Iterator[bytes]:
    """Pass chunks on, up to `size` bytes: a store that goes on for ever fills neither disk nor time.

    Raises:
        CopyDamaged: there are more; `what` names them.
    """
    passed = 0
    for chunk in chunks:
        passed += len(chunk)
        if passed > size:
            raise CopyDamaged(detail=f"{what}: more than {size} bytes come back")
        yield chunk


@dataclass(frozen=True)
class Looked:
    """What the first bytes say: how they are encrypted, and to which key ids (16 hex digits each)."""

    sealing: Sealing
    key_ids: tuple[str, ...] = ()


def peek(chunks: Iterable[bytes]) -> tuple[Looked, Iterator[bytes]]:
    """Look at the first bytes; returns what they are and all of the chunks."""
    source, held, size = iter(chunks), list[bytes](), 0
    for chunk in source:
        held.append(chunk)
        size += len(chunk)
        if size >= _HEAD:
            break
    return look(b"".join(held)), chain(held, source)


def look(head: bytes) -> Looked:
    """Say from an OpenPGP message's first packets how it is encrypted; whatever is none is "no".

    A name that ends in `.gpg` proves nothing: a message can be only compressed or signed.
    """
    if head.startswith(_ARMOUR):
        return Looked("passphrase")  # whoever armours a backup has encrypted it; the packets are not decoded here
    found: list[str] = []
    tag, body, rest = _packet(head)
    if tag == _SYMMETRIC_SESSION:
        return Looked("passphrase")
    while tag == _PUBLIC_KEY_SESSION:
        if body[:1] == b"\x03":
            found.append(body[1:9].hex().upper())
        tag, body, rest = _packet(rest)
        if tag == _SYMMETRIC_SESSION:
            return Looked("passphrase", tuple(found))
    encrypted = bool(found) and tag in {_MDC_DATA, _AEAD_DATA, None}
    return Looked("public-key", tuple(found)) if encrypted else Looked("no")


def _packet(data: bytes) -> tuple[int | None, bytes, bytes]:
    """Split one packet off: its tag (None: no packet), its body, and what comes after it."""
    if len(data) < 3 or not data[0] & 0x80:
        return None, b"", b""
    if data[0] & 0x40:
        tag, first = data[0] & 0x3F, data[1]
        if first < 192:
            start, size = 2, first
        elif first < 224:
            start, size = 3, ((first - 192) << 8) + data[2] + 192
        elif first == 255:
            start, size = 6, int.from_bytes(data[2:6], "big")
        else:
            start, size = 2, len(data)  # partial lengths: only bulk data has them, and nothing after it is looked at
    else:
        tag, kind = (data[0] >> 2) & 0x0F, data[0] & 3
        width = (1, 2, 4, 0)[kind]
        start, size = 1 + width, int.from_bytes(data[1 : 1 + width], "big") if width else len(data)
    return tag, data[start : start + size], data[start + size :]
