"""Read copies again, compare their hashes, and store the results beside them."""

import math
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from tscm_migrate.errors import CopyDamaged, ObjectMissing, StoreError, StoreUnavailable, UsageError
from tscm_migrate.offsite import keys
from tscm_migrate.offsite.catalog import Copy
from tscm_migrate.offsite.manifest import Record
from tscm_migrate.offsite.stores.base import Store
from tscm_migrate.offsite.upload import read_back


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
