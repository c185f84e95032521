"""The interface of a store: a flat map from keys to immutable bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

from tscm_migrate.errors import CopyDamaged, StoreError, UsageError

Odd: TypeAlias = "Callable[[str, str], None]"  # called with a key, safe to show, and why it is not our object

CHUNK = 1 << 20  # bytes; what `read` yields at most, and a good size for what `upload` is given

_KEY = re.compile(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*")
_MAX_KEY = 700  # bytes; S3 and Azure end at 1024, and a prefix may precede it


@dataclass(frozen=True, slots=True)
class Stat:
    """An object as the store lists it; `size` in bytes, `modified` aware, by the store's clock."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True)
class Unfinished:
    """What an interrupted upload has left: readers do not see it, but it uses space.

    `handle` is the store's own name for it, `started` aware and by the store's clock.
    """

    key: str
    handle: str
    started: datetime


class Store(Protocol):
    """A store; all keys are relative to its URL and pass `check_key`.

    Every call is limited in time, and raises `StoreError`s only (and the errors of `chunks`).
    An instance may be shared by threads unless the module says otherwise.
    """

    url: str  # without secrets
    sweeps: bool  # `unfinished` lists what killed uploads left; else the store needs a rule that deletes it

    def upload(self, key: str, chunks: Iterable[bytes], *, size_hint: int = 0) -> int:
        """Store a stream in constant memory; return its size in bytes.

        Atomic: the key is visible only after this returns. If `chunks` raises, nothing is stored.

        Raises:
            ObjectExists: the key exists; nothing was overwritten.
        """

    def create(self, key: str, body: bytes) -> None:
        """Store a small object atomically; raises `ObjectExists` if the key exists."""

    def read(self, key: str) -> Generator[bytes, None, None]:
        """Stream an object; the first error is raised by the first `next`."""

    def stat(self, key: str) -> Stat:
        """Return size and time of an object; raises `ObjectMissing` if it does not exist."""

    def entries(self, prefix: str = "", *, odd: Odd | None = None) -> Iterator[Stat]:
        """List the objects below a folder (all of them for ""), in any order; no unfinished ones.

        Args:
            prefix: the folder.
            odd: called for each entry that cannot be read as an object, which is skipped: a name that is not a key,
                something that is not a file, a folder without permission.
        """

    def delete(self, key: str) -> None:
        """Delete an object, if it exists."""

    def unfinished(self) -> list[Unfinished]:
        """List what killed uploads left; empty if `sweeps` is False."""

    def abandon(self, item: Unfinished) -> None:
        """Delete one of `unfinished`, if it still exists."""

    def close(self) -> None:
        """Close connections; may be called twice."""


def is_key(text: str) -> bool:
    """Whether every storage treats this key alike: no `.` or `..` parts, only `A-Za-z0-9._~-/`."""
    return bool(_KEY.fullmatch(text)) and len(text) <= _MAX_KEY and not {".", ".."} & set(text.split("/"))


def shown(key: str) -> str:
    """Return a foreign key, safe to print."""
    text = key[:300]
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def moment(seconds: float | None) -> datetime:
    """Return the time of a file; the epoch if Python has no such date."""
    try:
        return datetime.fromtimestamp(seconds or 0, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)


def check_key(key: str) -> str:
    """Return the key if `is_key` accepts it.

    Raises:
        UsageError: empty, absolute, too long, with `.` or `..` parts, or with other letters.
    """
    if not is_key(key):
        raise UsageError(problem=f"not a key for a store: {key[:80]!r}")
    return key


def check_room(url: str, key: str, wanted: int, free: int | None) -> None:
    """Refuse an upload for which the disk has no room, before any of it is written.

    Args:
        url: the store's.
        key: the object's.
        wanted: bytes; 0 if the size is not known.
        free: bytes; None if they are not known.

    Raises:
        StoreError: there are fewer free bytes than that.
    """
    if free is not None and free < wanted:
        detail = f"it needs {wanted / 1e6:.1f} MB, and {free / 1e6:.1f} MB are free there"
        raise StoreError(detail=detail, fix=f"{FULL}; or take another store: --store URL", url=url, key=key)


FULL = "free some space: tscm-migrate offsite clean, offsite prune"
SMALL = 1 << 18  # bytes; no manifest and no record is larger


def read_small(store: Store, key: str, *, limit: int = SMALL) -> bytes:
    """Read a small object, at most `limit` bytes of it.

    Raises:
        CopyDamaged: it is larger than anything this tool writes there.
    """
    body = bytearray()
    with closing(store.read(key)) as chunks:
        for chunk in chunks:
            body += chunk
            if len(body) > limit:
                raise CopyDamaged(detail=f"{store.url}/{key}: larger than anything this tool writes there")
    return bytes(body)
