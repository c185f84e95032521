"""Relays archives from a source to a target: inspect the target, resume a partial file, transfer, verify, rename.

`send` does all of this for one archive. The other methods use its parts: `start` before the first byte, `finish` after
the last one.

A source that offers SFTP and nothing else cannot hash: hashing would read each archive twice. There the bytes are
hashed as they pass (`_send_unhashed`), and the running hash is stored in a checkpoint. After an interruption, the
partial file is read at the target and compared with the checkpoint, and the hash continues from there, so that at the
end there is the SHA-256 of everything that the source has sent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from tscm_migrate.archive.names import acceptable
from tscm_migrate.errors import ArchiveChanged, CommandFailed, TransferError
from tscm_migrate.events import Emit, Message
from tscm_migrate.model import Archive
from tscm_migrate.transfer.base import Sent, Source, Target, TargetState, TransferJob
from tscm_migrate.transfer.endpoints.folder import FolderEnd
from tscm_migrate.transfer.endpoints.sftp import SftpEnd
from tscm_migrate.transfer.pump import EVERY, Background, Checkpoint, Digest, ProgressReporter, Throttle, pump

if TYPE_CHECKING:
    from hashlib import _Hash


_SPARE = 1 << 20  # bytes that are left free on a disk


def send(job: TransferJob, archive: Archive) -> Sent:
    """Copy one archive; its size and SHA-256 are read from the source where they are not known.

    Raises:
        TransferError: no incomplete or wrong copy has the final name.
        SshError: the partial file stays; the next call resumes it.
    """
    check_name(archive.name)
    if isinstance(job.source, SftpEnd) and isinstance(job.target, FolderEnd | SftpEnd):
        return _send_unhashed(job, job.source, job.target, archive)
    if not archive.sha256 and archive.size:
        found = _inspect(job, archive)
        if found.final == "none" and not found.part:
            return _send_from_start(job, archive, found)
    return resume(job, *start(job, archive))


def _send_from_start(job: TransferJob, archive: Archive, state: TargetState) -> Sent:
    """Copy an archive of which the target has nothing: the source hashes it during the transfer, not before."""
    check_space(job.target.name, archive.size, state.free, archive.name)
    job.target.begin(archive, 0)
    with discard_if_changed(job, archive):
        identified = Background(lambda: job.source.identify(archive))
        try:
            seen = _copy_bytes(job, archive, 0)
        except CommandFailed:
            identified.result()  # its error names the cause of a failed read
            raise
        known = identified.result()
        if seen != known.size:
            raise changed(archive, seen)
    finish(job, known)
    return Sent(known, seen)


def _copy_bytes(job: TransferJob, archive: Archive, offset: int, digest: Digest | None = None) -> int:
    """Copy the bytes from `offset` on; return their number."""
    progress = ProgressReporter(job.emit, archive.name, archive.size, offset)
    with (
        digest or contextlib.nullcontext(),
        job.source.reading(archive, offset) as incoming,
        job.target.writing(archive, offset) as outgoing,
    ):
        copied = pump(incoming, outgoing, progress, Throttle(job.limit), digest)
        incoming.finish()
        outgoing.finish()
    return copied


@contextlib.contextmanager
def discard_if_changed(job: TransferJob, archive: Archive) -> Iterator[None]:
    """Delete the partial file if the archive changed at the source during the transfer."""
    try:
        yield
    except ArchiveChanged:
        job.target.discard_partial(archive)
        raise


def finish(job: TransferJob, archive: Archive) -> None:
    """Give the copy its final name, unless the archive was changed since `start`.

    Raises:
        ArchiveChanged: the archive was written to; the copy is deleted.
    """
    with discard_if_changed(job, archive):
        if job.source.stamp(archive) != job.stamps[archive.name]:
            raise ArchiveChanged(f"{archive.name} on {job.source.name} was written to while it was copied")
    job.target.finish(archive)


def resume(job: TransferJob, archive: Archive, offset: int | None) -> Sent:
    """Transfer the bytes from `offset` (as `start` returns it), verify the copy and give it its final name."""
    if offset is None:
        return Sent(archive, 0, kept=True)
    seen = 0
    if offset < archive.size or archive.size == 0:
        with discard_if_changed(job, archive):
            seen = _copy_bytes(job, archive, offset)
            if seen != archive.size - offset:
                raise changed(archive, seen)
    finish(job, archive)
    return Sent(archive, seen, offset)


def start(job: TransferJob, archive: Archive) -> tuple[Archive, int | None]:
    """Inspect source and target and prepare the partial file.

    Returns:
        The archive with its size and SHA-256 at the source, and the length in bytes of the verified prefix in the
        partial file; None where the target has the same archive already.

    Raises:
        ArchiveChanged: its size is not the one in the listing.
        TransferError: the target has another file of that name, or too little space.
    """
    check_name(archive.name)
    if archive.sha256:
        state = _inspect(job, archive)
    else:
        job.stamps[archive.name] = job.source.stamp(archive)
        listed, archive = archive.size, job.source.identify(archive)
        if listed and archive.size != listed:
            text = f"{archive.name} on {job.source.name} has {archive.size} bytes, and had {listed} in the listing"
            raise ArchiveChanged(text)
        state = job.target.look(archive)
    if state.final != "none":
        refuse_other(job.target.name, archive, state)
        return archive, None
    offset = verified_prefix(job.source, job.target, archive, state, job.emit)
    check_space(job.target.name, archive.size - offset, state.free, archive.name)
    job.target.begin(archive, offset)
    return archive, offset


def _inspect(job: TransferJob, archive: Archive) -> TargetState:
    """Inspect source and target at the same time: over a slow link, each takes most of a second."""
    stamp = Background(lambda: job.source.stamp(archive))
    found = job.target.look(archive)
    job.stamps[archive.name] = stamp.result()
    return found


def refuse_other(name: str, archive: Archive, state: TargetState) -> None:
    """Raise a TransferError unless the file with the final name is the same archive."""
    if state.final != "same":
        raise TransferError(
            f"{archive.name} exists on {name} already, with other content; it was not overwritten",
            "compare the two files, and move the wrong one to another folder",
        )


def check_name(name: str) -> None:
    """Refuse a name that is not a documented archive name: it may come from an appliance, and is used in paths.

    Raises:
        TransferError: the name is refused.
    """
    if not acceptable(name):
        fix = "archives are named threatstop_backup_YYYY-MM-DD_hh_mm_ss.tsbak[.gpg]"
        raise TransferError(f"{name!r} is not the name of an archive; nothing was copied", fix)


def check_space(name: str, needed: int, free: int | None, what: str) -> None:
    """Refuse to fill a disk.

    Raises:
        TransferError: fewer than `needed` bytes and a reserve are free.
    """
    if free is not None and free < needed + _SPARE:
        raise TransferError(
            f"{name} has {free / 1e6:.1f} MB free, {what} needs {needed / 1e6:.1f} MB",
            "free space there, or enlarge its disk",
        )


def verified_prefix(source: Source, target: Target, archive: Archive, state: TargetState, emit: Emit) -> int:
    """Return how many bytes of a partial file can be kept: all of them if their hash is right, else none."""
    if not state.part:
        return 0
    if state.part <= archive.size and target.part_digest(archive, state.part) == source.prefix(archive, state.part):
        emit(Message(_resuming(archive, target.name, state.part)))
        return state.part
    emit(Message(_restarting(archive, target.name, state.part), "warning"))
    return 0


def _resuming(archive: Archive, name: str, size: int) -> str:
    return f"{archive.name}: {name} has {size / 1e6:.1f} MB already, verified; the transfer resumes after them"


def _restarting(archive: Archive, name: str, size: int) -> str:
    return f"{archive.name}: the partial file on {name} ({size / 1e6:.1f} MB) has other content; it is copied again"


def changed(archive: Archive, seen: int, sha256: str = "") -> ArchiveChanged:
    """Return the error for bytes that are not those that the source had before the transfer."""
    received = f"{seen} bytes{f' with SHA-256 {sha256}' if sha256 else ''} were received"
    return ArchiveChanged(f"{archive.name} changed while it was copied: {received}; they were discarded")


# ---------------------------------------------------------------------- from a source with SFTP only


def _send_unhashed(job: TransferJob, source: SftpEnd, target: FolderEnd | SftpEnd, archive: Archive) -> Sent:
    """Copy one archive of a source that cannot hash, and hash it as it passes.

    The target's partial file can be read from here.
    """
    given = archive.sha256
    archive, checkpoint = source.checkpoint(archive)
    found = target.look(archive)
    if found.final != "none":
        known = source.identify(archive)
        refuse_other(target.name, known, target.look(known))
        return Sent(known, 0, kept=True)
    offset, sha = _prefix_of_checkpoint(source, target, archive, found.part, checkpoint=checkpoint, emit=job.emit)
    if not offset:
        checkpoint.delete()
    check_space(target.name, archive.size - offset, found.free, archive.name)
    target.begin(archive, offset)
    digest = Digest(sha, offset, checkpoint.add)
    with discard_if_changed(job, archive):
        seen = _copy_bytes(job, archive, offset, digest)
    archive = replace(archive, sha256=digest.hex())
    unchanged = source.checkpoint(archive)[1].path == checkpoint.path  # the same size and time as before
    if seen != archive.size - offset or given not in {"", archive.sha256} or not unchanged:
        target.discard_partial(archive)
        checkpoint.delete()
        raise changed(archive, seen, archive.sha256)
    target.finish(archive)
    checkpoint.delete()
    return Sent(archive, seen, offset)


def _prefix_of_checkpoint(
    source: SftpEnd, target: FolderEnd | SftpEnd, archive: Archive, part: int, *, checkpoint: Checkpoint, emit: Emit
) -> tuple[int, _Hash | None]:
    """Return the verified prefix of the partial file and its running hash; 0 and None where nothing can be kept."""
    if not part:
        return 0, None
    fits = part <= archive.size
    marks = checkpoint.marks()
    size = max((mark for mark in marks if mark <= part), default=0) if fits else 0
    expected = marks.get(size, "")
    if fits and not size:
        if marks or part < EVERY:
            text = f"{archive.name}: the partial file on {target.name} is too short to resume; it is copied again"
            emit(Message(text))
            return 0, None
        size, expected = part, source.prefix(archive, part)  # copied from elsewhere, or before checkpoints
    sha = target.part_hash(archive, size) if size else None
    if sha is not None and sha.hexdigest() == expected:
        emit(Message(_resuming(archive, target.name, size)))
        return size, sha
    emit(Message(_restarting(archive, target.name, part), "warning"))
    return 0, None
