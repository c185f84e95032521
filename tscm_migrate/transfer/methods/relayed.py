"""Methods that relay one archive after another through this workstation: SFTP, pull and push."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from tscm_migrate.transfer.base import MethodCaps, Sent, TransferJob
from tscm_migrate.transfer.endpoints.folder import FolderEnd
from tscm_migrate.transfer.relay import send


class Pull:
    """Copies archives of an appliance to a local folder (METHOD 4 of the vendor's page, first half)."""

    caps: ClassVar[MethodCaps] = MethodCaps(("relay",), frozenset({"sftp"}), frozenset())

    def send(self, job: TransferJob) -> tuple[Sent, ...]:
        """See Method."""
        return tuple(send(job, archive) for archive in job.archives)


class Push:
    """Copies archives of a local folder to an appliance (METHOD 4, second half)."""

    caps: ClassVar[MethodCaps] = MethodCaps(("relay",), frozenset(), frozenset({"sftp"}))

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
