"""One archive after another, from end to end through this workstation: SFTP between appliances, pull and push."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from tscm_migrate.transfer.base import MethodCaps, Sent, TransferJob
from tscm_migrate.transfer.endpoints.folder import FolderEnd
from tscm_migrate.transfer.relay import carry


class Pull:
    """METHOD 4, towards us: an appliance's archives into a folder."""

    caps: ClassVar[MethodCaps] = MethodCaps(("relay",), frozenset({"sftp"}), frozenset())

    def send(self, job: TransferJob) -> tuple[Sent, ...]:
        """See Method."""
        return tuple(carry(job, archive) for archive in job.archives)


class Push:
    """METHOD 4, back: files of a folder to an appliance."""

    caps: ClassVar[MethodCaps] = MethodCaps(("relay",), frozenset(), frozenset({"sftp"}))

    def send(self, job: TransferJob) -> tuple[Sent, ...]:
        """See Method."""
        return tuple(carry(job, archive) for archive in job.archives)


class Sftp:
    """METHOD 3: SFTP on both sides, straight through, or by way of a spool folder where one is given.

    The spooled copy is removed when the target has it, verified; it stays for the next attempt when it has not.
    """

    caps: ClassVar[MethodCaps] = MethodCaps(("relay",), frozenset({"sftp"}), frozenset({"sftp"}))

    def send(self, job: TransferJob) -> tuple[Sent, ...]:
        """See Method."""
        if job.spool is None:
            return tuple(carry(job, archive) for archive in job.archives)
        spool = FolderEnd(job.spool)
        sent = []
        for archive in job.archives:
            known = carry(replace(job, target=spool), archive).archive
            sent.append(carry(replace(job, source=spool), known))
            spool.final(known).unlink(missing_ok=True)
        return tuple(sent)
