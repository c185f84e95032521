"""Core types of transfers: sources, targets, methods, and results."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from tscm_migrate.events import Emit, silent
from tscm_migrate.model import Archive


@dataclass(frozen=True)
class MethodCaps:
    """Capabilities and requirements of a method.

    Attributes:
        routes: "direct": the bytes do not pass through the workstation; "relay": they do.
        source: programs that the source needs, as in `Facts.tools`, also "shell" and "sftp".
        target: the same for the target.
    """

    routes: tuple[Literal["direct", "relay"], ...]
    source: frozenset[str]
    target: frozenset[str]


@dataclass(frozen=True)
class TargetState:
    """What a target has of an archive.

    Attributes:
        final: the file with the final name: none, the same archive, or another file.
        part: size of the partial file in bytes.
        free: free space in bytes; None where it is not known.
    """

    final: Literal["none", "same", "other"]
    part: int = 0
    free: int | None = None


@dataclass(frozen=True)
class Sent:
    """Result for one archive.

    Attributes:
        archive: with its size and SHA-256.
        moved: bytes that were sent.
        resumed_at: length of the verified prefix before them, in bytes.
        kept: the target had the same archive already.
    """

    archive: Archive
    moved: int
    resumed_at: int = 0
    kept: bool = False


class ByteStream(Protocol):
    """The bytes of an archive, read from a source."""

    def __iter__(self) -> Iterator[bytes]: ...

    def finish(self) -> object:
        """Check that the stream has ended completely."""


class ByteSink(Protocol):
    """Writes the bytes of an archive to a target."""

    def write(self, data: bytes) -> object:
        """Write all of `data`."""

    def finish(self) -> object:
        """Wait until the target has all bytes."""


class Source(Protocol):
    """An appliance or folder that archives are read from."""

    @property
    def name(self) -> str:
        """Its name in messages."""

    def identify(self, archive: Archive) -> Archive:
        """Return the archive with its present size and SHA-256."""

    def prefix(self, archive: Archive, size: int) -> str:
        """Return the SHA-256 of the first `size` bytes."""

    def stamp(self, archive: Archive) -> str:
        """Return size, modification time and similar as one text; it differs after a change of the archive."""

    def reading(self, archive: Archive, offset: int) -> AbstractContextManager[ByteStream]:
        """Open the archive for reading from byte `offset`."""


class Target(Protocol):
    """An appliance or folder that archives are written to."""

    @property
    def name(self) -> str:
        """Its name in messages."""

    def look(self, archive: Archive) -> TargetState:
        """Return what is there; a process that still writes to the partial file is ended first."""

    def part_digest(self, archive: Archive, size: int) -> str:
        """Return the SHA-256 of the first `size` bytes of the partial file."""

    def begin(self, archive: Archive, offset: int) -> None:
        """Create the partial file (mode 0600), or cut it to `offset` bytes; 0 deletes an existing one."""

    def writing(self, archive: Archive, offset: int) -> AbstractContextManager[ByteSink]:
        """Open the partial file for writing at byte `offset`."""

    def finish(self, archive: Archive) -> None:
        """Verify the hash of the file on the disk, set owner and mode, and rename it; never overwrite a file."""

    def discard_partial(self, archive: Archive) -> None:
        """Delete the partial file."""


@dataclass(frozen=True)
class TransferJob:
    """Archives to copy from a source to a target.

    Attributes:
        source: where they are.
        target: where the copies go.
        archives: which.
        route: whether the bytes pass through this workstation.
        limit: bytes a second, 0: no limit.
        spool: a local folder that holds each copy in between, or None.
        emit: gets progress events.
        stamps: `Source.stamp` of each archive before it was read, by name.
        lent: called with the location of a lent key before it can be used, and with {} after its removal.
    """

    source: Source
    target: Target
    archives: tuple[Archive, ...]
    route: Literal["direct", "relay"] = "relay"
    limit: float = 0.0
    spool: Path | None = None
    emit: Emit = field(default=silent)
    stamps: dict[str, str] = field(default_factory=dict)
    lent: Callable[[dict[str, str]], None] = field(default=lambda _: None)


class Method(Protocol):
    """A transfer method."""

    @property
    def caps(self) -> MethodCaps:
        """Its capabilities and requirements."""

    def send(self, job: TransferJob) -> tuple[Sent, ...]:
        """Copy all archives of the job; resume partial files of an earlier attempt, and verify each copy.

        Raises:
            TransferError: no incomplete or wrong copy has a final name; complete ones stay.
            SshError: the connection failed; partial files stay for the next attempt.
        """
