"""Prune: which copy must be intact before others are deleted, and how far a clock may be wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support.incoming import Given, encrypted, name_of
from tscm_migrate.errors import PruneRefused
from tscm_migrate.offsite import catalog, prune
from tscm_migrate.offsite.manifest import Record
from tscm_migrate.offsite.retention import RetentionPolicy
from tscm_migrate.offsite.stores.local import LocalStore
from tscm_migrate.offsite.upload import CopyPolicy, make_copy
from tscm_migrate.offsite.verify import write_record

if TYPE_CHECKING:
    from pathlib import Path

    from tscm_migrate.offsite.catalog import Copy

NOW = datetime.now(UTC).replace(microsecond=0)  # a store's clock is the machine's
NEWEST = RetentionPolicy(
    last=1, daily=0, weekly=0, monthly=0, yearly=0, within=timedelta(0), unverified_for=timedelta(days=300)
)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    (tmp_path / "store").mkdir()
    return LocalStore(tmp_path / "store")


def put(store: LocalStore, days: float, *, verify: bool = True) -> Copy:
    """Store a copy that was taken and pulled so many days ago."""
    when = NOW - timedelta(days=days)
    given = Given(encrypted(2000, seed=int(days * 10)), archive=name_of(when))
    make_copy(given, store, CopyPolicy(verify="read" if verify else "size"), now=when)
    return next(copy for copy in catalog.load(store).copies if copy.manifest.archive == given.archive)


def damage(store: LocalStore, copy: Copy) -> None:
    """Change the last byte of a copy's data; its size stays."""
    path = store.root / copy.manifest.data
    body = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))


def names(store: LocalStore) -> set[str]:
    return {copy.id for copy in catalog.load(store).copies}


def test_nothing_is_deleted_if_the_kept_copy_is_damaged(store: LocalStore) -> None:
    stays, goes = put(store, 1), put(store, 9)
    damage(store, stays)
    pruning = prune.plan(catalog.load(store), NEWEST, NOW)
    assert [copy.id for copy in pruning.going] == [goes.id]
    ((copy, why),) = prune.prune(store, pruning, NOW)
    assert copy.id == goes.id
    assert stays.id in why
    assert names(store) == {stays.id, goes.id}


def test_copy_to_delete_does_not_permit_other_deletions(store: LocalStore) -> None:
    """The verdicts are inverted: the newest verified copy is intact and among the copies to delete."""
    newest, older = put(store, 1), put(store, 9)
    damage(store, older)
    pruning = prune.plan(catalog.load(store), NEWEST, NOW)
    turned = replace(pruning, verdicts=tuple(replace(verdict, keep=not verdict.keep) for verdict in pruning.verdicts))
    assert [copy.id for copy in turned.going] == [newest.id]
    ((_, why),) = prune.prune(store, turned, NOW)
    assert older.id in why
    assert names(store) == {newest.id, older.id}


def test_unverified_copy_does_not_permit_deletions(store: LocalStore) -> None:
    unverified, verified, goes = put(store, 0.1, verify=False), put(store, 1), put(store, 9)
    damage(store, verified)
    pruning = prune.plan(catalog.load(store), NEWEST, NOW)
    assert [copy.id for copy in pruning.going] == [goes.id]
    ((_, why),) = prune.prune(store, pruning, NOW)
    assert verified.id in why
    assert names(store) == {unverified.id, verified.id, goes.id}


def test_nothing_is_deleted_without_a_kept_verified_copy(store: LocalStore) -> None:
    newest, older = put(store, 1), put(store, 9)
    pruning = prune.plan(catalog.load(store), NEWEST, NOW)
    everything = replace(pruning, verdicts=tuple(replace(verdict, keep=False) for verdict in pruning.verdicts))
    assert {why for _, why in prune.prune(store, everything, NOW)} == {"no verified copy would stay"}
    assert names(store) == {newest.id, older.id}


def test_deleted_copy_is_removed_with_its_data_and_records(store: LocalStore) -> None:
    stays, goes = put(store, 1), put(store, 9)
    record = Record(copy=goes.id, host=goes.host, kind="verify", at=NOW, data=goes.manifest.data)
    write_record(store, goes, record)
    pruning = prune.plan(catalog.load(store), NEWEST, NOW)
    assert [why for _, why in prune.prune(store, pruning, NOW)] == [""]
    assert names(store) == {stays.id}
    left = [entry.key for entry in store.entries("hosts")]
    assert not [key for key in left if goes.id in key or key == goes.manifest.data]


@pytest.mark.parametrize(
    ("ahead", "refused"),
    [(timedelta(minutes=4, seconds=59), False), (timedelta(minutes=5, seconds=1), True), (timedelta(hours=20), True)],
)
@pytest.mark.parametrize("by", ["pull", "record"])
def test_clock_may_be_five_minutes_behind_stored_times(
    store: LocalStore, ahead: timedelta, by: str, *, refused: bool
) -> None:
    copies = [put(store, 3), put(store, 2), put(store, 1)]
    at = NOW + ahead
    if by == "record":
        record = Record(copy=copies[2].id, host=copies[2].host, kind="verify", at=at, data=copies[2].manifest.data)
        write_record(store, copies[2], record)
        looked = catalog.load(store)
    else:
        looked = catalog.load(store)
        first = looked.copies[0]
        first = replace(first, manifest=first.manifest.model_copy(update={"pulled_at": at}))
        looked = replace(looked, copies=(first, *looked.copies[1:]))
    if not refused:
        assert prune.check_clock(looked, NOW) == []
        return
    with pytest.raises(PruneRefused, match="the clock went back"):
        prune.plan(looked, NEWEST, NOW)
