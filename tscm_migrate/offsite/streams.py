"""Hash, count and limit the chunks of a stream, and look for encryption, in constant memory."""

from __future__ import annotations

import hashlib
from itertools import chain
from typing import TYPE_CHECKING

from tscm_migrate.archive.openpgp import Encryption, encryption_of
from tscm_migrate.errors import CopyDamaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_HEAD = 1 << 16  # bytes that are looked at; a packet for a recipient is about 0.5 KiB


class Hashed:
    """Passes chunks on; `size` and `sha256` are those of the chunks so far."""

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
        """Return the hash of the bytes so far, 64 hex digits."""
        return self._hash.hexdigest()


def no_more(chunks: Iterable[bytes], size: int, what: str) -> Iterator[bytes]:
    """Pass chunks on, up to `size` bytes, so that an endless stream of a store is ended.

    Raises:
        CopyDamaged: there are more bytes; `what` names the stream.
    """
    passed = 0
    for chunk in chunks:
        passed += len(chunk)
        if passed > size:
            raise CopyDamaged(detail=f"{what}: more than {size} bytes come back")
        yield chunk


def peek(chunks: Iterable[bytes]) -> tuple[Encryption, Iterator[bytes]]:
    """Read the first bytes; return them and all chunks, these included."""
    source, held, size = iter(chunks), list[bytes](), 0
    for chunk in source:
        held.append(chunk)
        size += len(chunk)
        if size >= _HEAD:
            break
    return encryption_of(b"".join(held)), chain(held, source)
