"""Read copies again and compare their hashes; test one to its end; store the results beside them.

`drill` fetches, decrypts and unpacks a copy in memory; nothing is written to a disk. The copy must be decrypted to its
end, it must be a tar that can be read to its end with all checksums right, no name in it may lead outside, and it must
contain files and devices. The layout of an archive is not documented: if it is not a known one, it is not known whether
there are devices. That is neither a success nor a failure, so no record is stored.
"""

import math
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from tscm_migrate.archive import contents
from tscm_migrate.archive.devices import ArchivedDevices, ConfigTexts, recognise
from tscm_migrate.errors import (
    CopyDamaged,
    EncryptionFailed,
    ObjectMissing,
    OffsiteError,
    StoreError,
    StoreUnavailable,
    UsageError,
)
from tscm_migrate.model import Host, Secret
from tscm_migrate.offsite import keys
from tscm_migrate.offsite.catalog import Copy
from tscm_migrate.offsite.fetch import opened
from tscm_migrate.offsite.manifest import Record
from tscm_migrate.offsite.stores.base import Store
from tscm_migrate.offsite.upload import read_back
from tscm_migrate.util.text import listed


@dataclass(frozen=True)
class Verified:
    """The result for one copy: `why` it is damaged, or ""; `known` is False if it could not be read."""

    copy: Copy
    why: str = ""
    known: bool = True


def check(store: Store, copy: Copy) -> str:
    """Read a copy to its end; return why it is damaged, or "".

    Raises:
        StoreUnavailable, StoreDenied: it could not be read, so its state is not known.
    """
    manifest = copy.manifest
    try:
        back = read_back(store, manifest.data, manifest.size)
    except ObjectMissing:
        return "its data is not there"
    except CopyDamaged as error:
        return error.message()
    if back.size != manifest.size:
        return f"{back.size} of {manifest.size} bytes come back"
    return "" if back.sha256 == manifest.sha256 else "its bytes are not the ones that were stored"


def verify(store: Store, copies: Sequence[Copy], now: datetime) -> Iterator[Verified]:
    """Check copies one after another, and store a record on each; one that cannot be read gets no record."""
    for copy in copies:
        try:
            why = check(store, copy)
        except StoreUnavailable:
            raise
        except StoreError as error:
            yield Verified(copy, error.message(), known=False)
            continue
        write_record(
            store,
            copy,
            Record(
                copy=copy.id, host=copy.host, kind="verify", at=now, data=copy.manifest.data, ok=not why, detail=why
            ),
        )
        yield Verified(copy, why)


def write_record(store: Store, copy: Copy, record: Record) -> None:
    """Store a record beside a copy."""
    store.create(keys.new_record(copy.host, copy.id, record.kind, record.at), record.dump())


def sample(copies: Sequence[Copy], share: str) -> list[Copy]:
    """Choose copies to verify: those never verified first, then those verified the longest time ago.

    Args:
        copies: to choose from.
        share: "10%", or a number of copies, or "" for all. The choice among equals is random, so that all are read
            over time.

    Raises:
        UsageError: `share` is not valid.
    """
    number = share.removesuffix("%")
    if share and not (number.isdecimal() and (not share.endswith("%") or int(number) <= 100)):
        raise UsageError(f"--sample {share[:20]!r} is not valid", "use a share such as 10%, or a number of copies")
    chance = secrets.SystemRandom()
    shuffled = sorted(copies, key=lambda _: chance.random())
    oldest = sorted(shuffled, key=lambda copy: copy.verified_at.timestamp() if copy.verified_at else -math.inf)
    if not share:
        return oldest
    wanted = math.ceil(len(oldest) * int(number) / 100) if share.endswith("%") else int(number)
    return oldest[:wanted]


@dataclass(frozen=True)
class Drilled:
    """Result of a drill.

    Attributes:
        copy: that was tested.
        why: why it failed; "" where it did not.
        files: number of files in it.
        size: bytes unpacked.
        devices: names of its devices.
        unknown: why it is not known whether it contains devices; "" where it can.
    """

    copy: Copy
    why: str = ""
    files: int = 0
    size: int = 0
    devices: tuple[str, ...] = ()
    unknown: str = ""

    @property
    def detail(self) -> str:
        """The result in one line, for the record."""
        devices = ", ".join(self.devices) or f"cannot tell: {self.unknown}"
        return self.why or f"{self.files} files, {self.size} bytes, devices: {devices}"[:280]


def drill(store: Store, copy: Copy, passphrase: Secret | None, now: datetime, *, host: Host | None = None) -> Drilled:
    """Test a copy, and store a record of the result in the store.

    Args:
        store: where the copy is.
        copy: which.
        passphrase: of the archive, where one was used on the appliance.
        now: time of the record; aware UTC.
        host: of the copy, for its paths and the devices that the inventory lists.

    Raises:
        StoreUnavailable, StoreDenied: the copy could not be read; no record is stored.
        EncryptionFailed: no passphrase was given; the copy was not tested.
    """
    if copy.manifest.encrypted == "passphrase" and passphrase is None:
        raise EncryptionFailed(
            detail=f"{copy.host}: {copy.id} is encrypted with a passphrase, and none was given",
            fix="give the passphrase: --passphrase-file FILE, TSCM_PASSPHRASE, the inventory or the keyring",
        )
    done = _try(store, copy, passphrase, host or Host(copy.host, ""))
    if done.unknown and not done.why:
        return done
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


def _try(store: Store, copy: Copy, passphrase: Secret | None, host: Host) -> Drilled:
    config = ConfigTexts()
    try:
        with opened(store, copy, passphrase) as chunks:
            found = contents.walk(chunks, config.see, packed=copy.manifest.source_size)
    except (EncryptionFailed, CopyDamaged) as error:
        return Drilled(copy, error.message()[:280])
    except OffsiteError:
        raise
    except contents.BROKEN as error:
        return Drilled(copy, f"it cannot be unpacked: {type(error).__name__}: {error}"[:280])
    there = recognise(found.names, host.paths, texts=config.texts, listed=host.devices)
    return Drilled(copy, found.why or _missing(there, host), found.files, found.size, there.names, there.why_unknown)


def _missing(there: ArchivedDevices, host: Host) -> str:
    """Return why the copy fails where it contains no device; "" where it does, or if that is not known."""
    if there.names or not there.known:
        return ""
    named = f", not even {listed(host.devices)} of the inventory" if host.devices else ""
    return f"there is no device in it{named}: it was made before devices were added, or its backup was not complete"
