"""Delete the copies that retention does not keep, once that is safe; and what interrupted runs left behind."""

import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from tscm_migrate.errors import OffsiteError, PruneRefused
from tscm_migrate.offsite import keys
from tscm_migrate.offsite.catalog import AHEAD, Catalog, Copy
from tscm_migrate.offsite.retention import Aged, RetentionPolicy, Verdict, in_order, retain
from tscm_migrate.offsite.stores.base import Stat, Store, Unfinished
from tscm_migrate.offsite.verify import check
from tscm_migrate.util.redact import outside

_NAMED = 20  # copies or objects that are named each
_FAR = timedelta(days=60)  # a clock that goes back by more is as likely as one that was ahead once
_SKEW = timedelta(hours=1)  # between the workstation's clock and the store's
_LEFT_ALONE = timedelta(days=3)  # an upload that old is no longer under way
_SHARE, _FEW = 0.5, 5  # of a host's copies: more than this share, and more than so many, do not go without a question
_NEW, _MANY = timedelta(days=2), 10  # more than so many that were pulled this lately are unusual, beside older ones


@dataclass(frozen=True)
class Pruning:
    """A decision about every copy, with reasons; nothing is deleted yet."""

    verdicts: tuple[Verdict, ...]
    catalog: Catalog
    notes: tuple[str, ...] = ()  # for the operator's information
    unusual: tuple[str, ...] = ()  # why the operator has to confirm it

    @property
    def going(self) -> tuple[Copy, ...]:
        """Return the copies to delete."""
        gone = {(v.copy.host, v.copy.id) for v in self.verdicts if not v.keep}
        return tuple(copy for copy in self.catalog.copies if (copy.host, copy.id) in gone)

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return the objects of `--json`."""
        return [
            {"v": 1, "host": v.copy.host, "copy": v.copy.id, "taken_at": v.copy.taken_at.isoformat(),
             "keep": v.keep, "reasons": list(v.reasons)} for v in self.verdicts
        ]  # fmt: skip


def plan(catalog: Catalog, policy: RetentionPolicy, now: datetime) -> Pruning:
    """Decide which copies to delete; pure.

    Raises:
        PruneRefused: `now` is before something that has already happened, so no age can be trusted.
    """
    notes = (*check_clock(catalog, now), *future(catalog.copies, now))
    aged = [
        Aged(c.host, c.id, c.taken_at, c.verified_at is not None, c.tags, c.manifest.pulled_at, c.manifest.behind)
        for c in catalog.copies
    ]
    verdicts = tuple(retain(in_order(aged), policy, now))
    groups = groupby(verdicts, key=lambda verdict: verdict.copy.host)
    unusual = tuple(why for _, group in groups for why in _unusual(list(group), now))
    return Pruning(verdicts, catalog, notes, unusual)


def _unusual(verdicts: list[Verdict], now: datetime) -> Iterator[str]:
    """Yield what an operator has to see before copies of a host are deleted; nothing if none is."""
    host, going = verdicts[0].copy.host, sum(not verdict.keep for verdict in verdicts)
    if not going:
        return
    if going > _FEW and going > _SHARE * len(verdicts):
        yield f"{host}: {going} of {len(verdicts)} copies would be deleted"
    new = sum(verdict.copy.known_at > now - _NEW for verdict in verdicts)
    if _MANY < new < len(verdicts):
        yield f"{host}: {new} copies were pulled within {_NEW.days} days; are they all backups that it really made?"


def future(copies: Iterable[Copy], now: datetime) -> list[str]:
    """Return a line for each copy that is dated in the future, or was when it was pulled."""
    ahead = [copy for copy in copies if copy.future or copy.taken_at > now + AHEAD]
    lines = [f"{copy.host}: {copy.id} is dated in the future; it fills no place" for copy in ahead[:_NAMED]]
    return [*lines, f"and {len(ahead) - _NAMED} more"] if len(ahead) > _NAMED else lines


def check_clock(catalog: Catalog, now: datetime) -> list[str]:
    """Refuse to compare ages if the clock is before times that are already recorded.

    A few times that are far in the future come from a clock that was wrong once; they are returned as notes.

    Raises:
        PruneRefused: a recorded time is in the future, by less than 60 days or for half of the copies or more.
    """
    ahead = [copy for copy in catalog.copies if _stamped(copy) > now + timedelta(minutes=5)]
    soon = any(_stamped(copy) < now + _FAR for copy in ahead)
    if ahead and (soon or 2 * len(ahead) >= len(catalog.copies)):
        latest = max(ahead, key=_stamped)
        raise PruneRefused(
            detail=f"the clock went back: it says {now:%Y-%m-%d %H:%M} UTC, and {len(ahead)} copies were stored or "
            f"verified later, {latest.host}: {latest.id} at {_stamped(latest):%Y-%m-%d %H:%M} UTC",
            fix="set the clock of this workstation (sudo timedatectl set-ntp true); nothing was deleted",
        )
    return [f"{c.host}: {c.id} was stored or verified by a clock that was wrong: {_stamped(c):%Y-%m-%d %H:%M} UTC"
            for c in ahead[:_NAMED]]  # fmt: skip


def _stamped(copy: Copy) -> datetime:
    """Return the latest time that a workstation recorded for a copy."""
    return max([copy.manifest.pulled_at, *(record.at for record in copy.records)])


def prune(store: Store, pruning: Pruning, now: datetime) -> Iterator[tuple[Copy, str]]:
    """Delete the copies to delete; yield each with "", or why it was kept after all.

    Before any copy of a host is deleted, the newest verified copy that stays is read again and compared with its hash.

    Raises:
        PruneRefused: the clocks disagree, the store lists far fewer copies than before, or an object in it cannot be
            read.
    """
    going = sorted(pruning.going, key=lambda copy: copy.host)
    if not going:
        return
    refuse_unreadable(pruning.catalog)
    _check_store(store, pruning.catalog, now)
    for host, group in groupby(going, lambda copy: copy.host):
        of_host = list(group)
        why = _unsafe(store, pruning, host, {copy.id for copy in of_host})
        for copy in of_host:
            if not why:
                delete(store, copy)
            yield copy, why


def _unsafe(store: Store, pruning: Pruning, host: str, gone: set[str]) -> str:
    stays = [c for c in pruning.catalog.of(host) if c.verified_at and not c.future and c.id not in gone]
    if not stays:
        return "no verified copy would stay"
    try:
        why = check(store, stays[0])
    except OffsiteError as error:
        why = error.message()
    return f"the newest copy that stays ({stays[0].id}) could not be read right: {why}" if why else ""


def _check_store(store: Store, catalog: Catalog, now: datetime) -> None:
    if len(catalog.copies) + len(catalog.unreadable) < catalog.known_before // 2:
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
    """Delete one copy: the manifest first, so that no manifest names data that is gone."""
    store.delete(keys.manifest(copy.host, copy.id))
    store.delete(copy.manifest.data)
    for entry in list(store.entries(f"{keys.records(copy.host)}/{copy.id}")):
        store.delete(entry.key)


def store_clock(store: Store) -> datetime:
    """Return the store's time: write a small object and read when it was modified."""
    key = f"clock/{secrets.token_hex(8)}"
    store.create(key, b"what time is it\n")
    try:
        return store.stat(key).modified.astimezone(UTC)
    finally:
        with suppress(OffsiteError):
            store.delete(key)


def refuse_unreadable(catalog: Catalog) -> None:
    """Refuse to delete while an object in the store cannot be read: it may be the tag that protects a copy.

    Raises:
        PruneRefused: at least one object cannot be read.
    """
    if catalog.unreadable:
        raise PruneRefused(
            detail=f"{len(catalog.unreadable)} objects in {catalog.url} cannot be read: "
            + outside("; ".join(map(str, catalog.unreadable[:5])), 600),
            fix="see all: tscm-migrate offsite list; delete or repair them yourself, or name other hosts",
        )


@dataclass(frozen=True)
class Leftovers:
    """What interrupted runs left: data without a manifest, and unfinished uploads."""

    orphans: tuple[Stat, ...]
    unfinished: tuple[Unfinished, ...]
    sweeps: bool  # whether the store could look for unfinished uploads

    @property
    def size(self) -> int:
        """Return the bytes in orphans."""
        return sum(entry.size for entry in self.orphans)


def leftovers(store: Store, catalog: Catalog, *, older: timedelta = _LEFT_ALONE) -> Leftovers:
    """Find what interrupted runs left.

    Args:
        store: whose.
        catalog: of all its hosts.
        older: only what is older, by the store's clock, so that no run can still be writing it.

    Raises:
        PruneRefused: some manifests could not be read, so it is not known which data has none.
    """
    refuse_unreadable(catalog)
    limit = store_clock(store) - older
    orphans = tuple(entry for entry in catalog.orphans if entry.modified <= limit)
    unfinished = tuple(item for item in store.unfinished() if item.started <= limit)
    return Leftovers(orphans, unfinished, store.sweeps)


def clean(store: Store, leftovers: Leftovers) -> int:
    """Delete leftovers; return how many."""
    for item in leftovers.unfinished:
        store.abandon(item)
    for entry in leftovers.orphans:
        store.delete(entry.key)
    return len(leftovers.unfinished) + len(leftovers.orphans)
