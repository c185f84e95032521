"""Transfer methods and their registry: rsync and tar have a module each, the others relay one archive after another."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from tscm_migrate.transfer.base import MethodCaps, Sent, TransferJob
from tscm_migrate.transfer.endpoints.folder import FolderEnd
from tscm_migrate.transfer.methods.rsync import Rsync
from tscm_migrate.transfer.methods.tar import Tar
from tscm_migrate.transfer.relay import send

if TYPE_CHECKING:
    from tscm_migrate.transfer.base import Method


class Relayed:
    """Relays each archive from the source to the target (METHOD 4 of the vendor's page)."""

    def __init__(self, caps: MethodCaps) -> None:
        self.caps = caps

    def send(self, job: TransferJob) -> tuple[Sent, ...]:
        """See Method."""
        return tuple(send(job, archive) for archive in job.archives)


class Sftp:
    """Copies by SFTP from both appliances (METHOD 3), in one stream or through a local spool folder.

    The spooled copy is deleted when the target has a verified copy; after a failure it stays for the next attempt.
    """

    caps: ClassVar[MethodCaps] = MethodCaps(("relay",), frozenset({"sftp"}), frozenset({"sftp"}))

    def send(self, job: TransferJob) -> tuple[Sent, ...]:
        """See Method."""
        if job.spool is None:
            return tuple(send(job, archive) for archive in job.archives)
        spool = FolderEnd(job.spool)
        sent = []
        for archive in job.archives:
            known = send(replace(job, target=spool), archive).archive
            sent.append(send(replace(job, source=spool), known))
            spool.final(known).unlink(missing_ok=True)
        return tuple(sent)


METHODS: dict[str, Method] = {
    "rsync": Rsync(),
    "tar": Tar(),
    "sftp": Sftp(),
    "pull": Relayed(MethodCaps(("relay",), frozenset({"sftp"}), frozenset())),  # to a local folder
    "push": Relayed(MethodCaps(("relay",), frozenset(), frozenset({"sftp"}))),  # from a local folder
}
