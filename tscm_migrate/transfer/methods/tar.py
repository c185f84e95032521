"""Streams archives by tar from the old to the new appliance through this workstation (METHOD 2, corrected).

The vendor's page runs tar on the new appliance twice. Here tar packs on the old and unpacks on the new appliance.
All archives of which the target has nothing are sent in one stream, without a round trip for each. A single archive and
the rest of a partial one are sent without tar, which would only cost time. The stream is parsed and built again on this
workstation: the target gets nothing but the requested regular files under their partial names; no link, device, path or
`threatstop_latest`. The stream is not compressed, because the archives are.
"""

import contextlib
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from tscm_migrate.appliance.appliance import quote
from tscm_migrate.errors import ArchiveChanged, TransferError
from tscm_migrate.model import Archive
from tscm_migrate.ssh.stream import StreamReader, StreamWriter
from tscm_migrate.transfer import relay
from tscm_migrate.transfer.base import MethodCaps, Sent, TransferJob
from tscm_migrate.transfer.endpoints.shell import ShellEnd
from tscm_migrate.transfer.pump import ProgressReporter, Throttle, pump

_IDLE_TIMEOUT = 120.0  # seconds
BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)  # of a tar stream


@dataclass(frozen=True)
class ShellEnds:
    """Source and target, both with a shell."""

    source: ShellEnd
    target: ShellEnd


def ends_of(job: TransferJob, method: str) -> ShellEnds:
    """Return the endpoints of the job; both must have a shell."""
    if not isinstance(job.source, ShellEnd) or not isinstance(job.target, ShellEnd):
        raise TransferError(f"{method} needs a shell on both appliances", "use another method: --method sftp")
    return ShellEnds(job.source, job.target)


class Tar:
    """The method tar; see the module."""

    caps: ClassVar[MethodCaps] = MethodCaps(("relay",), frozenset({"shell", "tar"}), frozenset({"shell", "tar"}))

    def send(self, job: TransferJob) -> tuple[Sent, ...]:
        """See Method; an archive with a partial file is sent by itself, from the end of that file."""
        ends = ends_of(job, "tar")
        begun = [relay.start(job, archive) for archive in job.archives]
        fresh = [archive for archive, offset in begun if offset == 0]
        together = fresh if len(fresh) > 1 and _gnu(ends.source) and _gnu(ends.target) else []
        for archive, offset in begun:
            if offset is not None and archive not in together:
                relay.resume(job, archive, offset)
        if together:
            self._stream(job, together)
        return tuple(_sent(archive, offset) for archive, offset in begun)

    def _stream(self, job: TransferJob, archives: list[Archive]) -> None:
        ends, throttle = ends_of(job, "tar"), Throttle(job.limit)
        with _packing(ends.source, archives) as reader, _unpacking(ends.target, archives) as writer:
            stream = Unpacker(reader, ends.source.name)
            for archive in archives:
                content = stream.expect(archive)
                writer.write(header(f".{archive.name}.part", archive.size))
                with relay.discard_if_changed(job, archive):
                    self._member(job, archive, content, writer, throttle)
                writer.write(padding(archive.size))
            stream.end()
            reader.finish()
            writer.write(END)
            writer.finish()
        for archive in archives:
            relay.finish(job, archive)

    def _member(
        self, job: TransferJob, archive: Archive, content: Iterable[bytes], writer: StreamWriter, throttle: Throttle
    ) -> None:
        seen = pump(content, writer, ProgressReporter(job.emit, archive.name, archive.size), throttle)
        if seen != archive.size:
            writer.close()
            raise relay.changed(archive, seen)


def _gnu(end: ShellEnd) -> bool:
    """Return whether its tar is GNU tar: those of busybox and BSD lack options that a common stream needs."""
    return "GNU tar" in end.appliance.run("tar --version", check=False, display="tar --version").stdout


def _sent(archive: Archive, offset: int | None) -> Sent:
    return Sent(archive, archive.size - offset, offset) if offset is not None else Sent(archive, 0, kept=True)


@contextlib.contextmanager
def _packing(source: ShellEnd, archives: list[Archive]) -> Iterator[StreamReader]:
    words = " ".join(f"-C {quote(archive.folder)} {quote(archive.name)}" for archive in archives)
    readable = " && ".join(f"[ -r {quote(archive.path)} ]" for archive in archives)
    sudo = source.appliance.run(readable, check=False, display="test -r (archives)").status != 0
    # blocks of 256 KiB: the default of 10 KiB costs a hundred thousand context switches
    script = f"exec tar -b 512 --format=gnu --no-recursion -cf - {words}"
    with source.appliance.shell.reader(script, sudo=sudo, idle=_IDLE_TIMEOUT, display="tar -c (archives)") as reader:
        yield reader


@contextlib.contextmanager
def _unpacking(target: ShellEnd, archives: list[Archive]) -> Iterator[StreamWriter]:
    folder = quote(target.appliance.paths.backup_dir)
    # --overwrite writes into the private files that `begin` created; without it tar replaces them
    script = f"umask 077; exec tar -b 512 --overwrite --no-same-owner --touch -C {folder} -xf -"
    writable = " && ".join(f"[ -w {quote(target.part(archive))} ]" for archive in archives)
    sudo = target.appliance.run(writable, check=False, display="test -w (copies)").status != 0
    with target.appliance.shell.writer(script, sudo=sudo, idle=_IDLE_TIMEOUT, display="tar -x (archives)") as writer:
        yield writer


# ---------------------------------------------------------------------- the tar stream


def header(name: str, size: int) -> bytes:
    """Return the tar header of a regular file with mode 0600."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")


def padding(size: int) -> bytes:
    """Return the zeros that fill the last block of a member."""
    return bytes(-size % BLOCK)


class Unpacker:
    """Reads members from the tar stream of an appliance; the stream is hostile input."""

    def __init__(self, chunks: Iterable[bytes], host: str) -> None:
        self._chunks = iter(chunks)
        self._buffer = memoryview(b"")
        self._host = host

    def _take(self, size: int) -> bytes:
        out = b"".join(self._pieces(size))
        if len(out) < size:
            raise self._refusal("it ends early")
        return out

    def _pieces(self, size: int) -> Iterator[bytes]:
        while size:
            if not self._buffer:
                self._buffer = memoryview(next(self._chunks, b""))
                if not self._buffer:
                    return
            piece, self._buffer = self._buffer[:size], self._buffer[size:]
            size -= len(piece)
            chunk = piece.obj  # returned without a copy where all of it is content
            yield chunk if isinstance(chunk, bytes) and len(chunk) == len(piece) else bytes(piece)

    def expect(self, archive: Archive) -> Iterator[bytes]:
        """Return the bytes of the next member, which must be this archive: its name, a regular file, of its size.

        Raises:
            TransferError: it is something else (a link, a device, another name), or the stream ends.
            ArchiveChanged: it has another size.
        """
        block = self._take(BLOCK)
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise self._refusal(f"a header in it is damaged ({error})") from error
        if info.name != archive.name or info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise self._refusal(f"it has {info.name[:200]!r} of type {info.type!r} where {archive.name} was requested")
        if info.size != archive.size:
            raise ArchiveChanged(f"{archive.name} has {info.size} bytes on {self._host}, and had {archive.size} before")
        return self._content(info.size)

    def _content(self, size: int) -> Iterator[bytes]:
        left = size
        for piece in self._pieces(size):
            left -= len(piece)
            yield piece
        if left:
            raise self._refusal("it ends early")
        self._take(-size % BLOCK)

    def end(self) -> None:
        """Check that only zeros follow."""
        for piece in self._pieces(1 << 62):
            if piece.strip(b"\0"):
                raise self._refusal("it contains more than was requested")

    def _refusal(self, why: str) -> TransferError:
        fix = "check the tar program of that host, or use another method: --method sftp"
        return TransferError(f"the tar stream of {self._host} is refused: {why}", fix)
