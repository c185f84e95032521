"""The freshness of a host, from the dates, sizes, damage and drills of its copies, at their limits."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.copies import catalog_of, copy_of, days_of, record_of
from tests.support.incoming import NOW
from tscm_migrate.offsite import freshness
from tscm_migrate.offsite.catalog import Unreadable

if TYPE_CHECKING:
    from tscm_migrate.offsite.catalog import Copy
    from tscm_migrate.offsite.freshness import HostStatus

HOUR, DAY, RPO = timedelta(hours=1), timedelta(days=1), timedelta(hours=36)
NEVER = {
    "v": 1, "host": "none", "state": "never", "rpo_seconds": 129600.0, "age_seconds": None, "newest": None,
    "taken_at": None, "verified_at": None, "size": None, "copies": 0, "verified": 0, "total": 0, "drilled_at": None,
    "warnings": [],
}  # fmt: skip


def judged(*copies: Copy, **more: Any) -> HostStatus:
    (status,) = freshness.judge(catalog_of(*copies), ["tscm-a"], lambda _: RPO, NOW, **more)
    return status


def drilled(copy: Copy, days: float, *, ok: bool = True) -> Copy:
    return replace(copy, records=(record_of(copy, "drill", NOW - days * DAY, ok=ok, detail="gpg failed"),))


def test_host_status_as_json() -> None:
    newest = copy_of(NOW - 2 * HOUR, size=1200, verified_at=NOW - HOUR)
    older, unverified = drilled(copy_of(NOW - 2 * DAY), 1), copy_of(NOW - 3 * DAY, verified=False, size=50)
    assert judged(newest, older, unverified).as_dict() == {
        "v": 1, "host": "tscm-a", "state": "fresh", "rpo_seconds": 129600.0, "age_seconds": 7200.0,
        "newest": newest.id, "taken_at": "2026-03-01T10:00:00+00:00", "verified_at": "2026-03-01T11:00:00+00:00",
        "size": 1200, "copies": 3, "verified": 2, "total": 2250, "drilled_at": "2026-02-28T12:00:00+00:00",
        "warnings": [],
    }  # fmt: skip
    assert freshness.HostStatus("none", "never", RPO).as_dict() == NEVER
    (none,) = freshness.judge(catalog_of(newest), ["none"], lambda _: RPO, NOW)
    assert none.as_dict() == NEVER


def test_worst_host_is_first_then_hosts_with_warnings() -> None:
    copies = [*days_of(NOW, 3, host="late"), *days_of(NOW, 0, host="b fresh"), *days_of(NOW, 0, host="a fresh")]
    copies += [copy_of(NOW, "warned"), copy_of(NOW - DAY, "warned", source_size=9000)]
    hosts = ["b fresh", "a fresh", "warned", "never", "late"]
    found = freshness.judge(catalog_of(*copies), [*hosts, "late"], lambda _: RPO, NOW)
    assert [status.host for status in found] == ["never", "late", "warned", "a fresh", "b fresh"]


@pytest.mark.parametrize(("ahead", "counts"), [(HOUR, True), (HOUR + timedelta(seconds=1), False)])
def test_copy_up_to_an_hour_ahead_of_the_clock_counts(ahead: timedelta, *, counts: bool) -> None:
    status = judged(copy_of(NOW + ahead), copy_of(NOW - 3 * DAY))
    assert (status.state, status.age) == (("fresh", timedelta(0)) if counts else ("late", 3 * DAY))
    assert status.verified == (2 if counts else 1)
    assert bool(status.warnings) == (not counts)


def test_copy_named_in_the_future_never_counts() -> None:
    status = judged(copy_of(NOW - DAY, pulled_at=NOW - 3 * DAY), copy_of(NOW - 4 * DAY))
    assert (status.state, status.age, status.verified) == ("late", 4 * DAY, 1)
    assert "dated in the future" in status.warnings[0]


def test_three_damaged_or_future_copies_are_named() -> None:
    damaged = [copy_of(NOW - n * DAY, missing=True) for n in range(1, 5)]
    status = judged(*damaged, *[copy_of(NOW + n * DAY) for n in range(1, 5)])
    assert [sum(word in warning for warning in status.warnings) for word in ("not in the store", "in the future")] == [
        3,
        3,
    ]
    assert len(status.warnings) == 6


@pytest.mark.parametrize(
    ("newest", "second", "warned"),
    [({"verified": False}, {}, True), ({}, {"verified": False}, False), ({}, {"missing": True}, False)],
)
def test_only_the_newest_copy_must_be_verified(newest: Any, second: Any, *, warned: bool) -> None:
    status = judged(copy_of(NOW, **newest), copy_of(NOW - DAY, **second), copy_of(NOW + 9 * DAY, verified=False))
    assert ("the newest copy was never verified" in status.warnings) == warned


def test_damage_of_the_newest_copy_is_reported_once() -> None:
    newest = copy_of(NOW, missing=True)
    told = (f"{newest.manifest.archive}: its data is not in the store, or has another size",)
    assert judged(newest, copy_of(NOW - DAY)).warnings == told


def test_unreadable_object_is_reported_for_its_host_only() -> None:
    unreadable = tuple(Unreadable(f"hosts/{host}/archives/x~{n}.json", "not JSON") for host, n in (("tscm-a", 1), ("tscm-a", 2), ("b", 1)))  # fmt: skip
    found = freshness.judge(catalog_of(copy_of(NOW), unreadable=unreadable), ["tscm-a", "c"], lambda _: RPO, NOW)
    told = "2 objects of it in the store cannot be read: tscm-migrate offsite list"
    assert {status.host: status.warnings for status in found} == {"tscm-a": (told,), "c": ()}


@pytest.mark.parametrize(
    ("newest", "before", "told"),
    [
        (500, [1000, 1000], "50%"),
        (501, [1000, 1000], ""),
        (4000, [1000], "4.0 times"),
        (3999, [1000], ""),
        (4000, [1000, 4000, 4000], ""),
        (300, [1000] * 4 + [100] * 3 + [100], "30%"),  # the eighth before it is not compared with
        (9000, [], ""),
        (9000, [0, 0], ""),
    ],
)
def test_size_limits_for_a_warning(newest: int, before: list[int], told: str) -> None:
    sizes = [newest, *before]
    status = judged(*[copy_of(NOW - n * HOUR, source_size=size) for n, size in enumerate(sizes)])
    assert bool(status.warnings) == bool(told)
    assert told in "".join(status.warnings)


def test_history_has_sixty_sizes_oldest_first() -> None:
    copies = [copy_of(NOW - n * HOUR, source_size=1000 + n) for n in range(70)]
    expected = tuple((NOW - n * HOUR, 1000 + n) for n in reversed(range(60)))
    assert judged(*copies).history == expected


@pytest.mark.parametrize(
    ("drill", "warned"), [(None, True), (30, False), (30.01, True), (1, False)]
)  # fmt: skip
def test_drill_up_to_the_promised_age_counts(drill: float | None, *, warned: bool) -> None:
    copy = copy_of(NOW)
    copy = copy if drill is None else drilled(copy, drill)
    assert judged(copy, drill_every=30 * DAY).warnings == (("no good drill within 30 d",) if warned else ())
    assert judged(copy).warnings == ()


def test_failed_drill_of_the_newest_copy_is_reported() -> None:
    failed, good = drilled(copy_of(NOW), 0, ok=False), drilled(copy_of(NOW - DAY), 1)
    status = judged(failed, good)
    assert status.warnings == ("the last drill failed: gpg failed",)
    assert status.drill == NOW - DAY
    status = judged(good, drilled(copy_of(NOW - 2 * DAY), 0, ok=False))
    assert (status.warnings, status.drill) == ((), NOW - DAY)


def test_metrics_of_each_host() -> None:
    newest = drilled(copy_of(NOW - 2 * HOUR, size=1200), 1)
    statuses = [judged(newest, copy_of(NOW - DAY)), freshness.HostStatus("none", "never", RPO, warnings=("a", "b"))]
    text = freshness.prometheus(statuses, NOW)
    rows = [row for row in text.splitlines() if not row.startswith("#")]
    taken, drill, now = (int((NOW - ago).timestamp()) for ago in (2 * HOUR, DAY, timedelta(0)))
    both = {
        "newest_verified_timestamp_seconds": (taken, 0),
        "rpo_seconds": (129600, 129600),
        "late": (0, 1),
        "copies": (2, 0),
        "newest_size_bytes": (1200, 0),
        "stored_bytes": (2200, 0),
        "drill_timestamp_seconds": (drill, 0),
        "warnings": (0, 2),
    }
    expected = [f'tscm_offsite_{name}{{host="{host}"}} {value}' for name, values in both.items() for host, value in zip(("tscm-a", "none"), values, strict=True)]  # fmt: skip
    assert rows == [*expected, f"tscm_offsite_checked_timestamp_seconds {now}"]
    assert text.count("# TYPE ") == text.count("# HELP ") == 9
