"""Prune at its limits: wrong clocks, unusual numbers of deletions, how many copies are named, what stays in a store."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support.copies import catalog_of, copy_of, days_of, record_of
from tests.support.incoming import NOW
from tscm_migrate.errors import PruneRefused
from tscm_migrate.offsite import keys, prune
from tscm_migrate.offsite.catalog import Catalog, Unreadable
from tscm_migrate.offsite.retention import RetentionPolicy
from tscm_migrate.offsite.stores.base import Stat, Unfinished
from tscm_migrate.offsite.stores.local import LocalStore

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from tscm_migrate.offsite.catalog import Copy

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BROKEN = Unreadable("hosts/tscm-a/archives/x~1.json", "not JSON")


def last(number: int) -> RetentionPolicy:
    return RetentionPolicy(last=number, daily=0, weekly=0, monthly=0, yearly=0, within=timedelta(0))


class Dated(LocalStore):
    """A folder whose clock stands still, with unfinished uploads as cloud stores have them."""

    def __init__(self, root: Path, clock: datetime) -> None:
        super().__init__(root)
        self.clock = clock
        self.uploads: list[Unfinished] = []

    def stat(self, key: str) -> Stat:
        return replace(super().stat(key), modified=self.clock)

    def unfinished(self) -> list[Unfinished]:
        return list(self.uploads)

    def abandon(self, item: Unfinished) -> None:
        self.uploads.remove(item)


@pytest.fixture
def store(tmp_path: Path) -> Dated:
    (tmp_path / "store").mkdir()
    return Dated(tmp_path / "store", NOW)


def kept_in(store: LocalStore, catalog: Catalog) -> Catalog:
    """Put the manifests and small data of a catalog into the store."""
    for copy in catalog.copies:
        store.create(copy.manifest.data, b"x")
        store.create(keys.manifest(copy.host, copy.id), copy.manifest.dump())
        for number, record in enumerate(copy.records):
            store.create(f"{keys.records(copy.host)}/{copy.id}/{number}.json", record.dump())
    return catalog


def objects(store: LocalStore) -> set[str]:
    return {entry.key for entry in store.entries()}


# ---------------------------------------------------------------- what is decided


def test_the_plan_as_json_names_every_copy() -> None:
    new, old = copy_of(NOW - DAY), copy_of(NOW - 9 * DAY)
    pruning = prune.plan(catalog_of(new, old), last(1), NOW)
    assert pruning.going == (old,)
    first, second = pruning.as_dicts()
    assert first == {"v": 1, "host": "tscm-a", "copy": new.id, "taken_at": "2026-02-28T12:00:00+00:00",
                     "keep": True, "reasons": ["newest verified"]}  # fmt: skip
    assert (second["copy"], second["keep"], second["reasons"]) == (old.id, False, ["no place left"])


def test_only_the_copy_of_that_host_goes() -> None:
    """Both hosts have a copy with the same id."""
    copies = [*days_of(NOW, 1, 9), *days_of(NOW, 9, host="b")]
    going = prune.plan(catalog_of(*copies), last(1), NOW).going
    assert [(copy.host, copy.taken_at) for copy in going] == [("tscm-a", NOW - 9 * DAY)]


def test_unverified_copy_takes_no_retention_slot() -> None:
    unverified, good, old = copy_of(NOW - DAY, verified=False), *days_of(NOW, 2, 3)
    assert prune.plan(catalog_of(unverified, good, old), last(1), NOW).going == (old,)


@pytest.mark.parametrize(
    ("copies", "going", "told"),
    [(11, 6, True), (12, 6, False), (9, 5, False), (7, 6, True), (1, 0, False), (20, 0, False)],
)
def test_many_deletions_at_once_are_confirmed(copies: int, going: int, *, told: bool) -> None:
    pruning = prune.plan(catalog_of(*days_of(NOW, *range(9, 9 + copies))), last(copies - going), NOW)
    assert len(pruning.going) == going
    assert pruning.unusual == ((f"tscm-a: {going} of {copies} copies would be deleted",) if told else ())


@pytest.mark.parametrize(
    ("new", "old", "told"), [(11, 12, True), (10, 12, False), (11, 0, False)]
)  # fmt: skip
def test_many_new_copies_beside_old_ones_are_confirmed(new: int, old: int, *, told: bool) -> None:
    """One was pulled two days ago to the second, which is not new."""
    fresh = [copy_of(NOW - number * HOUR) for number in range(1, new + 1)]
    limit = [copy_of(NOW - 2 * DAY)] if old else []
    catalog = catalog_of(*fresh, *limit, *days_of(NOW, *range(9, 9 + old)))
    pruning = prune.plan(catalog, last(len(catalog.copies) - 1), NOW)
    assert len(pruning.going) == 1
    assert [line.partition(";")[0] for line in pruning.unusual] == ([f"tscm-a: {new} copies were pulled within 2 days"] if told else [])  # fmt: skip
    assert prune.plan(catalog, last(len(catalog.copies)), NOW).unusual == (), "nothing is deleted"


@pytest.mark.parametrize(("count", "more"), [(20, None), (21, "and 1 more"), (25, "and 5 more")])
def test_twenty_copies_from_the_future_are_named(count: int, more: str | None) -> None:
    lines = prune.future([copy_of(NOW + number * DAY) for number in range(1, count + 1)], NOW)
    assert len(lines) == 20 + bool(more)
    assert lines[-1] == more or "is dated in the future" in lines[-1]


def test_which_copies_are_from_the_future() -> None:
    past, zone = copy_of(NOW - DAY, pulled_at=NOW - DAY - 15 * HOUR), copy_of(NOW + 15 * HOUR)
    named, soon = copy_of(NOW - DAY, pulled_at=NOW - 3 * DAY), copy_of(NOW + 15 * HOUR + SECOND, pulled_at=NOW + DAY)
    lines = prune.future([past, zone, named, soon], NOW)
    assert [line.split()[1] for line in lines] == [named.id, soon.id]


# ---------------------------------------------------------------- clocks


def stored(ahead: timedelta) -> Copy:
    return copy_of(NOW - DAY, pulled_at=NOW + ahead)


@pytest.mark.parametrize(
    ("ahead", "others", "refused"),
    [
        (5 * MINUTE, 0, False),
        (5 * MINUTE + SECOND, 9, True),
        (60 * DAY - SECOND, 9, True),
        (60 * DAY, 2, False),
        (60 * DAY, 1, True),
        (60 * DAY, 0, True),
        (90 * DAY, 9, False),
    ],
)
def test_times_after_now_are_refused_unless_few_are_far_ahead(ahead: timedelta, others: int, *, refused: bool) -> None:
    catalog = catalog_of(stored(ahead), *days_of(NOW, *range(2, 2 + others)))
    if refused:
        with pytest.raises(PruneRefused, match="the clock went back"):
            prune.plan(catalog, last(9), NOW)
        return
    notes = prune.check_clock(catalog, NOW)
    assert len(notes) == (ahead > 5 * MINUTE)
    assert all("a clock that was wrong" in note for note in notes)


def test_twenty_wrong_clocks_are_named() -> None:
    wrong = [copy_of(NOW - n * HOUR, pulled_at=NOW + 90 * DAY) for n in range(21)]
    assert len(prune.check_clock(catalog_of(*wrong, *days_of(NOW, *range(2, 60))), NOW)) == 20


@pytest.mark.parametrize("off", [HOUR, -HOUR])
def test_the_clocks_may_differ_by_an_hour(store: Dated, off: timedelta) -> None:
    catalog = kept_in(store, catalog_of(*days_of(NOW, 1, 9)))
    pruning = prune.plan(catalog, last(1), NOW)
    store.clock = NOW + off
    assert len(list(prune.prune(store, pruning, NOW))) == 1
    store.clock += off / 3600  # another second
    with pytest.raises(PruneRefused, match="the store's differ by 1:00:01"):
        list(prune.prune(store, pruning, NOW))


def test_reading_the_stores_clock_leaves_nothing_in_it(store: Dated) -> None:
    assert prune.store_clock(store) == NOW
    assert objects(store) == set()


# ---------------------------------------------------------------- what is deleted


def readable(days: float) -> Copy:
    """A copy of the byte that `kept_in` stores."""
    sha = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # of b"x"
    return copy_of(NOW - days * DAY, size=1, sha256=sha)


def test_a_copy_goes_with_its_records_and_the_rest_stays(store: Dated) -> None:
    stays, goes = readable(1), readable(9)
    goes = replace(goes, records=(record_of(goes, "verify", NOW - DAY), record_of(goes, "tag", NOW - DAY)))
    stays = replace(stays, records=(record_of(stays, "verify", NOW - DAY),))
    pruning = prune.plan(kept_in(store, catalog_of(stays, goes)), last(1), NOW)
    assert list(prune.prune(store, pruning, NOW)) == [(goes, "")]
    folder = keys.records(stays.host)
    assert objects(store) == {stays.manifest.data, keys.manifest(stays.host, stays.id), f"{folder}/{stays.id}/0.json"}


@pytest.mark.parametrize("other", ["unverified", "future"])
def test_only_a_verified_copy_with_a_plausible_date_permits_deletions(store: Dated, other: str) -> None:
    doubtful = readable(0.5)
    update = {"verified_at": None} if other == "unverified" else {"pulled_at": NOW - 5 * DAY}
    doubtful = replace(doubtful, manifest=doubtful.manifest.model_copy(update=update))
    good, goes = readable(1), readable(9)
    pruning = prune.plan(kept_in(store, catalog_of(doubtful, good, goes)), last(1), NOW)
    pruning = replace(pruning, verdicts=tuple(replace(v, keep=v.copy.id == doubtful.id) for v in pruning.verdicts))
    before = objects(store)
    assert {why for _, why in prune.prune(store, pruning, NOW)} == {"no verified copy would stay"}
    assert objects(store) == before


def test_without_anything_to_delete_the_store_is_not_asked(store: Dated) -> None:
    store.clock = NOW + 9 * DAY
    pruning = prune.plan(catalog_of(*days_of(NOW, 1), unreadable=(BROKEN,)), last(1), NOW)
    assert list(prune.prune(store, pruning, NOW)) == []


@pytest.mark.parametrize(("known", "refused"), [(4, False), (5, False), (6, True)])
def test_half_of_the_copies_that_were_known_have_to_be_listed(store: Dated, known: int, *, refused: bool) -> None:
    catalog = kept_in(store, catalog_of(readable(1), readable(9), known_before=known))
    pruning = prune.plan(catalog, last(1), NOW)
    if refused:
        with pytest.raises(PruneRefused, match="lists 2 copies, and 6 were known"):
            list(prune.prune(store, pruning, NOW))
    assert len(list(prune.prune(store, replace(pruning, catalog=replace(catalog, known_before=4)), NOW))) == 1


def test_unreadable_objects_stop_every_deletion_and_five_are_named(store: Dated) -> None:
    broken = tuple(Unreadable(f"hosts/tscm-a/archives/{n}.json", f"fault {n}") for n in range(1, 8))
    catalog = kept_in(store, catalog_of(readable(1), readable(9), unreadable=broken))
    with pytest.raises(PruneRefused) as error:
        list(prune.prune(store, prune.plan(catalog, last(1), NOW), NOW))
    assert "7 objects in file:///store cannot be read" in error.value.message()
    assert "fault 5" in error.value.message()
    assert "fault 6" not in error.value.message()
    long = tuple(replace(one, why="x" * 900) for one in broken)
    with pytest.raises(PruneRefused) as error:
        prune.leftovers(store, replace(catalog, unreadable=long))
    assert error.value.message().count("x") < 610


# ---------------------------------------------------------------- leftovers


@pytest.mark.parametrize(("older", "limit"), [(None, 3 * DAY), (HOUR, HOUR)])
def test_only_leftovers_of_three_days_are_deleted(store: Dated, older: timedelta | None, limit: timedelta) -> None:
    ages = (limit, limit - SECOND, limit + SECOND)
    orphans = tuple(Stat(f"hosts/tscm-a/archives/{n}", 10, NOW - age) for n, age in enumerate(ages))
    for entry in orphans:
        store.create(entry.key, b"x" * 10)
    store.uploads = [Unfinished(f"upload {n}", str(n), NOW - age) for n, age in enumerate((*ages, limit))]
    young = store.uploads[1]
    found = prune.leftovers(store, catalog_of(orphans=orphans), **({"older": older} if older else {}))
    assert found.orphans == (orphans[0], orphans[2])
    assert found.size == 20
    assert prune.clean(store, found) == 5
    assert store.uploads == [young]
    assert objects(store) == {orphans[1].key}
