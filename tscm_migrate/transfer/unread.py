"""From a source with SFTP and nothing else: to hash would be to read everything twice, so it is hashed as it passes.

What an earlier attempt has read is in the `ledger`. The unfinished copy is read at the target, compared with it, and
the hash goes on from there: at the end there is the SHA-256 of all that the source has sent, whenever it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tscm_migrate.events import Emit, Said
from tscm_migrate.transfer import relay as whole
from tscm_migrate.transfer.base import Sent
from tscm_migrate.transfer.checkpoint import EVERY
from tscm_migrate.transfer.endpoints.folder import FolderEnd
from tscm_migrate.transfer.endpoints.sftp import SftpEnd
from tscm_migrate.transfer.pump import Digest, Teller, Throttle, pump

if TYPE_CHECKING:
    from hashlib import _Hash

    from tscm_migrate.model import Archive
    from tscm_migrate.transfer.base import TransferJob
    from tscm_migrate.transfer.checkpoint import Ledger


@dataclass(frozen=True)
class SftpEnds:
    """A source that cannot hash, and a target whose unfinished copy can be read here."""

    source: SftpEnd
    target: FolderEnd | SftpEnd


def applies(job: TransferJob) -> SftpEnds | None:
    """The job's ends, where this is how to carry between them."""
    if isinstance(job.source, SftpEnd) and isinstance(job.target, FolderEnd | SftpEnd):
        return SftpEnds(job.source, job.target)
    return None


def carry(job: TransferJob, ends: SftpEnds, archive: Archive) -> Sent:
    """See carry.carry."""
    source, target = ends.source, ends.target
    whole.check_name(archive.name)
    given = archive.sha256
    archive, ledger = source.noted(archive)
    found = target.look(archive)
    if found.final != "none":
        known = source.identify(archive)
        whole.refuse_other(target.name, known, target.look(known))
        return Sent(known, 0, kept=True)
    prefix = _prefix(ends, archive, found.part, ledger, job.emit)
    offset, sha = prefix if prefix is not None else (0, None)
    if not offset:
        ledger.forget()
    whole.check_room(target.name, archive.size - offset, found.free, archive.name)
    target.begin(archive, offset)
    digest = Digest(sha, offset, ledger.add)
    teller = Teller(job.emit, archive.name, archive.size, offset)
    with (
        whole.dropped(job, archive),
        source.reading(archive, offset) as incoming,
        target.writing(archive, offset) as outgoing,
    ):
        seen, found_hash = pump(incoming, outgoing, teller, Throttle(job.limit), digest)
        incoming.finish()
        outgoing.finish()
    archive = replace(archive, sha256=found_hash)
    same = source.noted(archive)[1].path == ledger.path  # the same size and time as before
    if seen != archive.size - offset or given not in {"", found_hash} or not same:
        target.drop(archive)
        ledger.forget()
        raise whole.changed(archive, seen, found_hash)
    target.finish(archive)
    ledger.forget()
    return Sent(archive, seen, offset)


def _prefix(ends: SftpEnds, archive: Archive, part: int, ledger: Ledger, emit: Emit) -> tuple[int, _Hash] | None:
    """The verified prefix and its hash, to go on with; None where nothing can be kept."""
    target = ends.target
    if not part:
        return None
    marks = ledger.marks()
    size = max((mark for mark in marks if mark <= part), default=0) if part <= archive.size else 0
    expected = marks.get(size, "")
    if not size and (marks or part < EVERY) and part <= archive.size:
        emit(Said(f"{archive.name}: what is at {target.name} already is too little to go on from"))
        return None
    if not size and part <= archive.size:  # another workstation's, or older than our notes
        size, expected = part, ends.source.prefix(archive, part)
    sha = target.part_hash(archive, size) if size else None
    if sha is not None and sha.hexdigest() == expected:
        text = f"{archive.name}: {size / 1e6:.1f} MB are at {target.name} already and right; going on from there"
        emit(Said(text))
        return size, sha
    text = f"{archive.name}: the {part / 1e6:.1f} MB at {target.name} from an earlier attempt are not right"
    emit(Said(f"{text}; they are thrown away", "warning"))
    return None
