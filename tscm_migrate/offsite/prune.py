"""Delete what retention lets go, after making sure that it is safe to; and sweep what cut runs left behind."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import OffsiteError, PruneRefused
from tscm_migrate.offsite import keys
from tscm_migrate.offsite.retention import Aged, Policy, Verdict, retain
from tscm_migrate.offsite.verify import check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tscm_migrate.offsite.catalog import Catalog, Copy
    from tscm_migrate.offsite.stores.base import Stat, Store, Unfinished

_SKEW = timedelta(hours=1)  # between the workstation's clock and the store's
_LEFT_ALONE = timedelta(days=3)  # an upload that old is no longer under way


@dataclass(frozen=True)
class Pruning:
    """What would go, and what stays, with reasons; nothing is deleted by looking at it."""

    verdicts: tuple[Verdict, ...]
    catalog: Catalog

    @property
    def going(self) -> tuple[Copy, ...]:
        """The copies that go."""
        gone = {(v.copy.host, v.copy.id) for v in self.verdicts if not v.keep}
        return tuple(copy for copy in self.catalog.copies if (copy.host, copy.id) in gone)

    def as_dicts(self) -> list[dict[str, Any]]:
        """The lines of `--json`."""
        return [
            {"v": 1, "host": v.copy.host, "copy": v.copy.id, "taken_at": v.copy.taken_at.isoformat(),
             "keep": v.keep, "reasons": list(v.reasons)} for v in self.verdicts
        ]  # fmt: skip


def plan(catalog: Catalog, policy: Policy, now: datetime) -> Pruning:
    """Decide, purely.

    Raises:
        PruneRefused: `now` is before something that has already happened, so no age can be trusted.
    """
    check_clock(catalog, now)
    aged = [Aged(c.host, c.id, c.taken_at, c.verified_at is not None, c.tags) for c in catalog.copies]
    return Pruning(tuple(retain(aged, policy, now)), catalog)


def check_clock(catalog: Catalog, now: datetime) -> None:
    """Refuse to judge ages by a clock that is before something that has happened already (PruneRefused)."""
    stamps = [copy.manifest.pulled_at for copy in catalog.copies]
    stamps += [record.at for copy in catalog.copies for record in copy.records]
    latest = max(stamps, default=None)
    if latest is not None and now < latest - timedelta(minutes=5):
        raise PruneRefused(
            detail=f"the clock went back: it says {now:%Y-%m-%d %H:%M} UTC, and a copy was stored or verified "
            f"at {latest:%Y-%m-%d %H:%M} UTC",
            fix="set the clock of this workstation; nothing was deleted",
        )


def prune(store: Store, pruning: Pruning, now: datetime) -> Iterator[tuple[Copy, str]]:
    """Delete what goes; yields each copy with "" or why it was left after all.

    A store is not believed: before anything of a host goes, the newest verified copy that stays is read again, now.

    Raises:
        PruneRefused: the clocks disagree, or the store does not list what was there before.
    """
    if not pruning.going:
        return
    _check_store(store, pruning.catalog, now)
    for host in sorted({copy.host for copy in pruning.going}):
        going = [copy for copy in pruning.going if copy.host == host]
        why = _unsafe(store, pruning, host)
        for copy in going:
            if not why:
                delete(store, copy)
            yield copy, why


def _unsafe(store: Store, pruning: Pruning, host: str) -> str:
    gone = {copy.id for copy in pruning.going}
    stays = [c for c in pruning.catalog.of(host) if c.verified_at and c.id not in gone]
    if not stays:
        return "no verified copy would stay"
    try:
        why = check(store, stays[0])
    except OffsiteError as error:
        why = error.message()
    return f"the newest copy that stays ({stays[0].id}) could not be read right: {why}" if why else ""


def _check_store(store: Store, catalog: Catalog, now: datetime) -> None:
    if len(catalog.copies) + len(catalog.strange) < catalog.known_before // 2:
        raise PruneRefused(
            detail=f"{catalog.url} lists {len(catalog.copies)} copies, and {catalog.known_before} were known",
            fix="is the right share mounted, and the URL right? run `tscm-migrate offsite list`, look, and try again",
        )
    there = store_clock(store)
    if abs(there - now) > _SKEW:
        raise PruneRefused(
            detail=f"this workstation's clock and the store's differ by {abs(there - now)}",
            fix="set the clock; nothing was deleted",
        )


def delete(store: Store, copy: Copy) -> None:
    """Take one copy away: first the manifest, so that no manifest ever speaks of data that is gone."""
    store.delete(keys.manifest(copy.host, copy.id))
    store.delete(copy.manifest.data)
    for entry in list(store.entries(f"{keys.records(copy.host)}/{copy.id}")):
        store.delete(entry.key)


def store_clock(store: Store) -> datetime:
    """What time the store believes it is, by writing a small object and looking at it."""
    key = f"clock/{secrets.token_hex(8)}"
    store.create(key, b"what time is it\n")
    try:
        return store.stat(key).modified.astimezone(UTC)
    finally:
        with suppress(OffsiteError):
            store.delete(key)


@dataclass(frozen=True)
class Leftovers:
    """What cut runs left: data without a manifest, unfinished uploads, records of copies that are gone."""

    orphans: tuple[Stat, ...]
    unfinished: tuple[Unfinished, ...]
    sweeps: bool  # whether the store could look for unfinished uploads

    @property
    def size(self) -> int:
        """Bytes in orphans."""
        return sum(entry.size for entry in self.orphans)


def leftovers(store: Store, catalog: Catalog, *, older: timedelta = _LEFT_ALONE) -> Leftovers:
    """Look for what cut runs left, old enough (by the store's clock) that no run can still be at it.

    Raises:
        PruneRefused: some manifests could not be read, so what is an orphan is not known.
    """
    if catalog.strange:
        raise PruneRefused(
            detail=f"{len(catalog.strange)} files in {catalog.url} could not be read: {catalog.strange[0]}",
            fix="see `tscm-migrate offsite list`; mend or delete them by hand first",
        )
    limit = store_clock(store) - older
    orphans = tuple(entry for entry in catalog.orphans if entry.modified <= limit)
    unfinished = tuple(item for item in store.unfinished() if item.started <= limit)
    return Leftovers(orphans, unfinished, store.caps.sweeps)


def clean(store: Store, found: Leftovers) -> int:
    """Take leftovers away; returns how many."""
    for item in found.unfinished:
        store.abandon(item)
    for entry in found.orphans:
        store.delete(entry.key)
    return len(found.unfinished) + len(found.orphans)
