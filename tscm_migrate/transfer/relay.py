"""One archive from any source to any target: look, go on where it stopped, move, verify, name. All relays are this."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tscm_migrate.archive.names import acceptable
from tscm_migrate.errors import ArchiveChanged, CommandFailed, TransferError
from tscm_migrate.events import Said
from tscm_migrate.transfer.base import Sent
from tscm_migrate.transfer.pump import Meanwhile, Teller, Throttle, pump

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tscm_migrate.events import Emit
    from tscm_migrate.model import Archive
    from tscm_migrate.transfer.base import Source, Target, TargetState, TransferJob

_SPARE = 1 << 20  # bytes that are left free on a disk


def carry(job: TransferJob, archive: Archive) -> Sent:
    """Copy one archive; its size and SHA-256 are learned where they are not known.

    Raises:
        TransferError: nothing wrong bears the final name.
        SshError: the unfinished copy stays, the next call goes on from it.
    """
    from tscm_migrate.transfer import unread

    ends = unread.applies(job)
    if ends is not None:
        return unread.carry(job, ends, archive)
    check_name(archive.name)
    if not archive.sha256 and archive.size:
        found = job.target.look(archive)
        if found.final == "none" and not found.part:
            return _afresh(job, archive, found)
    return go_on(job, *start(job, archive))


def _afresh(job: TransferJob, archive: Archive, found: TargetState) -> Sent:
    """Nothing of it is there: the source hashes it while it is on its way, instead of before."""
    check_room(job.target.name, archive.size, found.free, archive.name)
    job.stamps[archive.name] = job.source.stamp(archive)
    job.target.begin(archive, 0)
    teller = Teller(job.emit, archive.name, archive.size)
    with dropped(job, archive):
        with job.source.reading(archive, 0) as incoming, job.target.writing(archive, 0) as outgoing:
            identified = Meanwhile(lambda: job.source.identify(archive))
            try:
                seen, digest = pump(incoming, outgoing, teller, Throttle(job.limit))
                incoming.finish()
            except CommandFailed:
                identified.result()  # it knows better why this cannot be read
                raise
            outgoing.finish()
        known = identified.result()
        if (seen, digest) != (known.size, known.sha256):
            raise changed(archive, seen, digest)
    finish(job, known)
    return Sent(known, seen)


@contextlib.contextmanager
def dropped(job: TransferJob, archive: Archive) -> Iterator[None]:
    """Remove the unfinished copy where the archive turns out to be another one than was announced."""
    try:
        yield
    except ArchiveChanged:
        job.target.drop(archive)
        raise


def finish(job: TransferJob, archive: Archive) -> None:
    """Give the copy its final name, unless the archive was changed since `start`.

    Raises:
        ArchiveChanged: see there; the copy is removed.
    """
    with dropped(job, archive):
        if job.source.stamp(archive) != job.stamps[archive.name]:
            raise ArchiveChanged(f"{archive.name} on {job.source.name} was written to while it was copied")
    job.target.finish(archive)


def go_on(job: TransferJob, archive: Archive, offset: int | None) -> Sent:
    """Everything after `start`."""
    if offset is None:
        return Sent(archive, 0, kept=True)
    moved = 0
    if offset < archive.size or archive.size == 0:
        with dropped(job, archive):
            moved = _move(job, archive, offset)
    finish(job, archive)
    return Sent(archive, moved, offset)


def start(job: TransferJob, archive: Archive) -> tuple[Archive, int | None]:
    """Everything before the first byte.

    Returns:
        The archive as the source has it, and the verified prefix's length with the unfinished copy made ready behind
        it; None where the same archive is there already.

    Raises:
        ArchiveChanged: it is not as large as it was listed.
    """
    check_name(archive.name)
    job.stamps[archive.name] = job.source.stamp(archive)
    if not archive.sha256:
        listed, archive = archive.size, job.source.identify(archive)
        if listed and archive.size != listed:
            text = f"{archive.name} on {job.source.name} has {archive.size} bytes, and had {listed} in the listing"
            raise ArchiveChanged(text)
    found = job.target.look(archive)
    if found.final != "none":
        refuse_other(job.target.name, archive, found)
        return archive, None
    offset = verified_prefix(job.source, job.target, archive, found, job.emit)
    check_room(job.target.name, archive.size - offset, found.free, archive.name)
    job.target.begin(archive, offset)
    return archive, offset


def refuse_other(name: str, archive: Archive, found: TargetState) -> None:
    """Raise a TransferError unless what bears the final name is the same archive."""
    if found.final != "same":
        raise TransferError(
            f"{archive.name} is at {name} already, with other content; it was not overwritten",
            "compare the two, and move the one that is not wanted away",
        )


def check_name(name: str) -> None:
    """Refuse what is no documented archive name: it may come from an appliance, and ends up in paths.

    Raises:
        TransferError: see above.
    """
    if not acceptable(name):
        fix = "archives are named threatstop_backup_YYYY-MM-DD_hh_mm_ss.tsbak[.gpg]"
        raise TransferError(f"{name!r} is no name of an archive; nothing was copied", fix)


def check_room(name: str, wanted: int, free: int | None, what: str) -> None:
    """Refuse to fill a disk.

    Raises:
        TransferError: fewer than `wanted` bytes (and a little to spare) are free.
    """
    if free is not None and free < wanted + _SPARE:
        raise TransferError(
            f"{name} has {free / 1e6:.1f} MB free, {what} needs {wanted / 1e6:.1f} MB",
            "make room there, or enlarge its disk",
        )


def verified_prefix(source: Source, target: Target, archive: Archive, found: TargetState, emit: Emit) -> int:
    """How many bytes of an unfinished copy can be kept: all of it where its hash is right, else none."""
    if not found.part:
        return 0
    if found.part <= archive.size and target.part_digest(archive, found.part) == source.prefix(archive, found.part):
        text = f"{archive.name}: {found.part / 1e6:.1f} MB are at {target.name} already and right; going on from there"
        emit(Said(text))
        return found.part
    text = f"{archive.name}: the {found.part / 1e6:.1f} MB at {target.name} from an earlier attempt are not right"
    emit(Said(f"{text}; they are thrown away", "warning"))
    return 0


def _move(job: TransferJob, archive: Archive, offset: int) -> int:
    teller = Teller(job.emit, archive.name, archive.size, offset)
    with job.source.reading(archive, offset) as incoming, job.target.writing(archive, offset) as outgoing:
        seen, digest = pump(incoming, outgoing, teller, Throttle(job.limit))
        incoming.finish()
        outgoing.finish()
    if seen != archive.size - offset or (offset == 0 and digest != archive.sha256):
        raise changed(archive, seen, digest)
    return seen


def changed(archive: Archive, seen: int, digest: str) -> ArchiveChanged:
    """What passed by is not what the source was found to have."""
    text = f"{archive.name} changed while it was copied: {seen} bytes with SHA-256 {digest} passed by"
    return ArchiveChanged(f"{text}; they were thrown away")
