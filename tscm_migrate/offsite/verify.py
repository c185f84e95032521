"""Read copies again and hash them; what is found out is written beside them."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tscm_migrate.errors import CopyDamaged, ObjectMissing, StoreError, StoreUnavailable, UsageError
from tscm_migrate.offsite import keys
from tscm_migrate.offsite.manifest import Record
from tscm_migrate.offsite.upload import read_back

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from tscm_migrate.offsite.catalog import Copy
    from tscm_migrate.offsite.stores.base import Store


@dataclass(frozen=True)
class Verified:
    """One copy that was read again; `why` is "" where it is right; not `known`: it could not be read."""

    copy: Copy
    why: str = ""
    known: bool = True


def check(store: Store, copy: Copy) -> str:
    """Read a copy to its end; returns why it is not right, or "".

    Raises:
        StoreUnavailable, StoreDenied: nothing is known then, so nothing is said against the copy.
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
    return "" if back.sha256 == manifest.sha256 else "other bytes come back than went in"


def verify(store: Store, copies: Sequence[Copy], now: datetime) -> Iterator[Verified]:
    """Check copies one by one, and write a record on each as it is done; one that cannot be read is passed over."""
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
    """Put a record beside a copy; older ones of its kind beyond the last five go."""
    store.create(keys.new_record(copy.host, copy.id, record.kind, record.at), record.dump())


def sample(copies: Sequence[Copy], share: str) -> list[Copy]:
    """Choose what to verify: those never verified first, then those whose proof is oldest.

    Args:
        copies: any.
        share: "10%", or a number of copies, or "" for all. Chance decides among equals, so that over time all are read.

    Raises:
        UsageError: neither of these.
    """
    number = share.removesuffix("%")
    if share and not (number.isdecimal() and (not share.endswith("%") or int(number) <= 100)):
        raise UsageError(f"--sample {share[:20]!r} is no share", "say 10% or a number of copies")
    chance = secrets.SystemRandom()
    shuffled = sorted(copies, key=lambda _: chance.random())
    oldest = sorted(shuffled, key=lambda copy: copy.verified_at.timestamp() if copy.verified_at else -math.inf)
    if not share:
        return oldest
    wanted = math.ceil(len(oldest) * int(number) / 100) if share.endswith("%") else int(number)
    return oldest[:wanted]
