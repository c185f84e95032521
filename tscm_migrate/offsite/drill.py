"""Test a stored copy: fetch, decrypt and unpack it in memory, and list what it contains. Nothing is written to a disk.

An archive's layout is not documented, so the test asks for what holds for any: the copy can be decrypted to its end, it
is a tar that can be read to its end with every checksum right, its names stay inside, and it contains files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tscm_migrate.appliance.archives import devices_in
from tscm_migrate.archive import contents
from tscm_migrate.errors import CopyDamaged, OffsiteError, SealFailed
from tscm_migrate.offsite.fetch import opened
from tscm_migrate.offsite.manifest import Record
from tscm_migrate.offsite.verify import write_record

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from tscm_migrate.model import Secret
    from tscm_migrate.offsite.catalog import Copy
    from tscm_migrate.offsite.stores.base import Store


@dataclass(frozen=True)
class Drilled:
    """What a drill showed; `why` is "" where all is well. `size`: bytes unpacked."""

    copy: Copy
    why: str = ""
    files: int = 0
    size: int = 0
    devices: tuple[str, ...] = ()

    @property
    def detail(self) -> str:
        """One line for the record."""
        devices = ", ".join(self.devices) or "none seen"
        return self.why or f"{self.files} files, {self.size} bytes, devices: {devices}"[:280]


def drill(
    store: Store, copy: Copy, passphrase: Secret | None, now: datetime, *, gnupg_home: Path | None = None
) -> Drilled:
    """Do the drill and write down how it went.

    Args:
        store: where the copy is.
        copy: which.
        passphrase: of the archive, where one was used on the appliance.
        now: aware UTC; what the record says.
        gnupg_home: the keyring with the secret key of what we sealed; None: the user's.

    Raises:
        StoreUnavailable, StoreDenied: nothing was learned, and nothing is written down.
        SealFailed: no passphrase was given; that says nothing of the copy.
    """
    if copy.manifest.encrypted == "passphrase" and passphrase is None:
        raise SealFailed(
            detail=f"{copy.host}: {copy.id} is encrypted with a passphrase, and none was given",
            fix="give it: --passphrase-file FILE, TSCM_PASSPHRASE, the inventory or the keyring",
        )
    done = _try(store, copy, passphrase, gnupg_home)
    record = Record(
        copy=copy.id,
        host=copy.host,
        kind="drill",
        at=now,
        data=copy.manifest.data,
        ok=not done.why,
        detail=done.detail,
    )
    write_record(store, copy, record)
    return done


def _try(store: Store, copy: Copy, passphrase: Secret | None, home: Path | None) -> Drilled:
    try:
        with opened(store, copy, passphrase, gnupg_home=home) as chunks:
            found = contents.walk(chunks, packed=copy.manifest.source_size)
    except (SealFailed, CopyDamaged) as error:
        return Drilled(copy, error.message()[:280])
    except OffsiteError:
        raise
    except contents.BROKEN as error:
        return Drilled(copy, f"it cannot be unpacked: {type(error).__name__}: {error}"[:280])
    return Drilled(copy, found.why, found.files, found.size, devices_in(found.names))
