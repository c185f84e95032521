"""METHOD 2 as it is meant: tar on the *old* one, tar on the *new* one, this workstation between them and awake.

All archives that are wholly missing go as one stream, without a round trip between them; one alone goes without tar,
which would only cost time, and so does the rest of one that was cut. The stream is taken apart and made anew here, so
that nothing reaches the target but the plain files that were asked for, under their unfinished names: no link, no
device, no `threatstop_latest`, no path. There is no compression, archives are compressed already.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tscm_migrate.appliance.appliance import quote
from tscm_migrate.errors import TransferError
from tscm_migrate.transfer import relay, tarstream
from tscm_migrate.transfer.base import MethodCaps, Sent, TransferJob
from tscm_migrate.transfer.endpoints.shell import ShellEnd
from tscm_migrate.transfer.pump import Teller, Throttle, pump

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tscm_migrate.model import Archive
    from tscm_migrate.ssh.stream import StreamReader, StreamWriter

_PATIENCE = 120.0


@dataclass(frozen=True)
class ShellEnds:
    """Both ends, known to have a shell."""

    source: ShellEnd
    target: ShellEnd


def ends_of(job: TransferJob, method: str) -> ShellEnds:
    """The job's ends, both with a shell."""
    if not isinstance(job.source, ShellEnd) or not isinstance(job.target, ShellEnd):
        raise TransferError(f"{method} needs a shell on both appliances", "go another way: --method sftp")
    return ShellEnds(job.source, job.target)


class Tar:
    """See the module."""

    caps: ClassVar[MethodCaps] = MethodCaps(
        ("relay",), frozenset({"shell", "tar"}), frozenset({"shell", "tar"}), one_stream=True
    )

    def send(self, job: TransferJob) -> tuple[Sent, ...]:
        """See Method; an archive of which a part is there already goes by itself, from that part's end on."""
        ends = ends_of(job, "tar")
        begun = [relay.start(job, archive) for archive in job.archives]
        fresh = [archive for archive, offset in begun if offset == 0]
        together = fresh if len(fresh) > 1 and _gnu(ends.source) and _gnu(ends.target) else []
        for archive, offset in begun:
            if offset is not None and archive not in together:
                relay.go_on(job, archive, offset)
        if together:
            self._stream(job, together)
        return tuple(_sent(archive, offset) for archive, offset in begun)

    def _stream(self, job: TransferJob, archives: list[Archive]) -> None:
        ends, throttle = ends_of(job, "tar"), Throttle(job.limit)
        with _packing(ends.source, archives) as reader, _unpacking(ends.target, archives) as writer:
            stream = tarstream.Unpacker(reader, ends.source.name)
            for archive in archives:
                content = stream.expect(archive)
                writer.write(tarstream.header(f".{archive.name}.part", archive.size))
                with relay.dropped(job, archive):
                    self._member(job, archive, content, writer, throttle)
                writer.write(tarstream.padding(archive.size))
            stream.end()
            reader.finish()
            writer.write(tarstream.END)
            writer.finish(timeout=600.0)
        for archive in archives:
            relay.finish(job, archive)

    def _member(
        self, job: TransferJob, archive: Archive, content: Iterable[bytes], writer: StreamWriter, throttle: Throttle
    ) -> None:
        seen, digest = pump(content, writer, Teller(job.emit, archive.name, archive.size), throttle)
        if digest != archive.sha256:
            writer.close()
            raise relay.changed(archive, seen, digest)


def _gnu(end: ShellEnd) -> bool:
    """Whether its tar is GNU's: busybox's and BSD's lack options that one stream of several archives needs."""
    return "GNU tar" in end.appliance.run("tar --version", check=False, display="tar --version").stdout


def _sent(archive: Archive, offset: int | None) -> Sent:
    return Sent(archive, archive.size - offset, offset) if offset is not None else Sent(archive, 0, kept=True)


@contextlib.contextmanager
def _packing(source: ShellEnd, archives: list[Archive]) -> Iterator[StreamReader]:
    words = " ".join(f"-C {quote(archive.folder)} {quote(archive.name)}" for archive in archives)
    readable = " && ".join(f"[ -r {quote(archive.path)} ]" for archive in archives)
    sudo = source.appliance.run(readable, check=False, display="test -r (archives)").status != 0
    # blocks of 256 KiB: tar's own 10 KiB would make it switch between programs a hundred thousand times
    script = f"exec tar -b 512 --format=gnu --no-recursion -cf - {words}"
    with source.appliance.shell.reader(script, sudo=sudo, idle=_PATIENCE, display="tar -c (archives)") as reader:
        yield reader


@contextlib.contextmanager
def _unpacking(target: ShellEnd, archives: list[Archive]) -> Iterator[StreamWriter]:
    folder = quote(target.appliance.paths.backup_dir)
    # --overwrite writes into the private copies that `begin` made; without it tar would remove them and make new ones
    script = f"umask 077; exec tar -b 512 --overwrite --no-same-owner --touch -C {folder} -xf -"
    writable = " && ".join(f"[ -w {quote(target.part(archive))} ]" for archive in archives)
    sudo = target.appliance.run(writable, check=False, display="test -w (copies)").status != 0
    with target.appliance.shell.writer(script, sudo=sudo, idle=_PATIENCE, display="tar -x (archives)") as writer:
        yield writer
