"""Old → workstation → new over two exec channels; nothing touches the workstation's disk, all is hashed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tscm_migrate.appliance.base import quote
from tscm_migrate.errors import TransferError
from tscm_migrate.events import Emit, Progress, silent
from tscm_migrate.transfer import place

if TYPE_CHECKING:
    from tscm_migrate.appliance.base import Appliance
    from tscm_migrate.site import Archive


def copy(source: Appliance, target: Appliance, archive: Archive, *, emit: Emit = silent) -> None:
    """Copy one archive whose SHA-256 and size are known.

    Raises:
        TransferError: what passed by is not what the source has; nothing then bears the final name.
        SshError: see there.
    """
    if place.prepare(target, archive):
        return
    part = quote(place.staged(target, archive))
    seen, digest = 0, hashlib.sha256()
    reader = source.shell.reader(f"cat {quote(archive.path)}", display=f"read {archive.name}")
    with reader, target.shell.writer(f"umask 077; cat > {part}", sudo=True, display=f"write {archive.name}") as writer:
        for chunk in reader:
            writer.write(chunk)
            digest.update(chunk)
            seen += len(chunk)
            emit(Progress(archive.name, seen, archive.size))
        reader.finish()
        writer.finish()
    if (seen, digest.hexdigest()) != (archive.size, archive.sha256):
        target.run(f"rm -f {part}", sudo=True, display="remove the bad part")
        raise TransferError(
            f"{archive.name} changed on its way: {seen} bytes with SHA-256 {digest.hexdigest()} passed by",
            "run again; if it happens twice, look at the disk of the source",
        )
    place.finish(target, archive)
