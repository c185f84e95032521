"""Transfer methods and their registry: rsync and tar have a module each, the others relay one archive after another."""

from dataclasses import replace

from tscm_migrate.model import Archive
from tscm_migrate.transfer.base import Method, MethodCaps, Sent, TransferJob
from tscm_migrate.transfer.endpoints.folder import FolderEnd
from tscm_migrate.transfer.methods.rsync import Rsync
from tscm_migrate.transfer.methods.tar import Tar
from tscm_migrate.transfer.relay import send


class Relayed:
    """Relays each archive from the source to the target (METHODs 3 and 4 of the vendor's page).

    With a local spool folder, each copy is stored there in between, and deleted when the target has a verified copy;
    after a failure it stays for the next attempt.
    """

    def __init__(self, source: str = "", target: str = "") -> None:
        self.caps = MethodCaps(("relay",), frozenset(source.split()), frozenset(target.split()))

    def send(self, job: TransferJob) -> tuple[Sent, ...]:
        """See Method."""
        return tuple(
            send(job, archive) if job.spool is None else _spooled(job, archive, FolderEnd(job.spool))
            for archive in job.archives
        )


def _spooled(job: TransferJob, archive: Archive, spool: FolderEnd) -> Sent:
    stored = send(replace(job, target=spool), archive).archive
    sent = send(replace(job, source=spool), stored)
    spool.final(stored).unlink(missing_ok=True)
    return sent


METHODS: dict[str, Method] = {
    "rsync": Rsync(),
    "tar": Tar(),
    "sftp": Relayed(source="sftp", target="sftp"),
    "pull": Relayed(source="sftp"),  # to a local folder
    "push": Relayed(target="sftp"),  # from a local folder
}
