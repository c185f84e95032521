"""What a transfer is made of: ends that hold archives, methods that carry them, what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from tscm_migrate.events import Emit, silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tscm_migrate.model import Archive


@dataclass(frozen=True)
class MethodCaps:
    """What a method can do and needs; declared, never found out by trying.

    `routes`: "direct" means that the bytes do not pass through the workstation. `source`, `target`: what must be there,
    as in `Facts.tools`, with "shell" and "sftp" besides. `one_stream`: several archives cost one round trip.
    """

    routes: tuple[Literal["direct", "relay"], ...]
    source: frozenset[str]
    target: frozenset[str]
    one_stream: bool = False


@dataclass(frozen=True)
class TargetState:
    """What stands at a target: under the final name, beside it unfinished (`part` bytes), and the room."""

    final: Literal["none", "same", "other"]
    part: int = 0
    free: int | None = None


@dataclass(frozen=True)
class Sent:
    """What came of one archive: `resumed_at` is the verified prefix in bytes, `moved` what was sent after it."""

    archive: Archive
    moved: int
    resumed_at: int = 0
    kept: bool = False  # the same archive was there already


class ByteStream(Protocol):
    """Bytes on their way from a source."""

    def __iter__(self) -> Iterator[bytes]: ...

    def finish(self) -> None:
        """Make sure that this was the end and no cut."""


class ByteSink(Protocol):
    """Bytes on their way to a target."""

    def write(self, data: bytes) -> object:
        """Take all of `data`."""

    def finish(self) -> object:
        """Return when all of it is with the target."""


class Source(Protocol):
    """A place that has archives."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def identify(self, archive: Archive) -> Archive:
        """The archive with the size and SHA-256 that it has now."""

    def prefix(self, archive: Archive, size: int) -> str:
        """SHA-256 of its first `size` bytes."""

    def stamp(self, archive: Archive) -> str:
        """Size, time of the last change and such, as one text that is another one when the archive was changed."""

    def reading(self, archive: Archive, offset: int) -> AbstractContextManager[ByteStream]:
        """Its bytes from `offset` on."""


class Target(Protocol):
    """A place that is to have them."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def look(self, archive: Archive) -> TargetState:
        """What is there; whoever still writes at an unfinished copy is ended first."""

    def part_digest(self, archive: Archive, size: int) -> str:
        """SHA-256 of the first `size` bytes of the unfinished copy."""

    def begin(self, archive: Archive, offset: int) -> None:
        """Make the unfinished copy, private and of `offset` bytes: 0 throws away what there is."""

    def writing(self, archive: Archive, offset: int) -> AbstractContextManager[ByteSink]:
        """Take bytes behind the first `offset` ones."""

    def finish(self, archive: Archive) -> None:
        """Hash what is on the disk, give owner and mode, and only then the final name, over nobody else's file."""

    def drop(self, archive: Archive) -> None:
        """Throw the unfinished copy away."""


@dataclass(frozen=True)
class TransferJob:
    """Archives from one place to another. `limit` in bytes a second, 0: none; `spool`: a folder between the two."""

    source: Source
    target: Target
    archives: tuple[Archive, ...]
    route: Literal["direct", "relay"] = "relay"
    limit: float = 0.0
    spool: Path | None = None
    emit: Emit = field(default=silent)
    stamps: dict[str, str] = field(default_factory=dict)  # by archive name, before anything was read of it
    lent: Callable[[dict[str, str]], None] = field(default=lambda _: None)  # told before a key is let in, and after


class Method(Protocol):
    """One way for archives to travel."""

    @property
    def caps(self) -> MethodCaps:
        """What it can do."""

    def send(self, job: TransferJob) -> tuple[Sent, ...]:
        """Carry all archives of the job, each resumed where an earlier attempt stopped, each verified.

        Raises:
            TransferError: nothing wrong bears a final name; what is whole stays.
            SshError: the connection; the unfinished copies stay for the next attempt.
        """
