"""Copies of a catalog for tests that need no store."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.support.incoming import name_of
from tscm_migrate.offsite import keys
from tscm_migrate.offsite.catalog import Catalog, Copy
from tscm_migrate.offsite.manifest import Manifest, Record

if TYPE_CHECKING:
    from datetime import datetime


def copy_of(when: datetime, host: str = "tscm-a", *, verified: bool = True, missing: bool = False, **more: Any) -> Copy:
    """Return a copy that was taken at a time and pulled then; `more` replaces values of its manifest."""
    archive, sha = name_of(when), f"{int(when.timestamp()):064x}"
    values = {
        "id": keys.copy_id(archive, sha[::-1]),
        "host": host,
        "archive": archive,
        "data": f"{keys.archives(host)}/{archive}~1",
        "size": 1000,
        "sha256": sha,
        "source_size": 1000,
        "source_sha256": sha[::-1],
        "encrypted": "passphrase",
        "taken_at": when,
        "pulled_at": when,
        "verified_at": when if verified else None,
    }
    return Copy(Manifest(**(values | more)), missing=missing)


def record_of(copy: Copy, kind: str, at: datetime, **more: Any) -> Record:
    """Return a later result about a copy."""
    return Record(copy=copy.id, host=copy.host, kind=kind, at=at, data=copy.manifest.data, **more)


def catalog_of(*copies: Copy, **more: Any) -> Catalog:
    """Return a catalog of copies in any order."""
    return Catalog("file:///store", tuple(sorted(copies, key=lambda copy: copy.taken_at, reverse=True)), **more)


def days_of(now: datetime, *days: float, host: str = "tscm-a") -> list[Copy]:
    """Return a copy for each number of days before now."""
    return [copy_of(now - timedelta(days=number), host) for number in days]
