"""Retention: which copies each rule keeps and why; an archive with a forged date displaces no valid copy."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from tscm_migrate.errors import TimeZoneMissing
from tscm_migrate.offsite.retention import Aged, RetentionPolicy, Verdict, _unfair, in_order, retain

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOTHING = RetentionPolicy(last=0, daily=0, weekly=0, monthly=0, yearly=0, within=timedelta(0))


def aged(when: datetime, **more: object) -> Aged:
    return Aged(host="a", id=when.isoformat(), taken_at=when, **more)  # type: ignore[arg-type]


def kept(verdicts: list[Verdict]) -> list[Aged]:
    return [verdict.copy for verdict in verdicts if verdict.keep]


def test_day_is_that_of_the_configured_zone() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    evening, night = datetime(2025, 7, 1, 21, tzinfo=UTC), datetime(2025, 7, 1, 23, tzinfo=UTC)
    policy = replace(NOTHING, daily=5)
    in_utc = kept(retain([aged(evening), aged(night)], policy, NOW))
    in_berlin = kept(retain([aged(evening), aged(night)], replace(policy, zone=berlin), NOW))
    assert [c.taken_at for c in in_utc] == [night]
    assert [c.taken_at for c in in_berlin] == [night, evening]


def test_leap_day_and_the_doubled_hour() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    leap = aged(datetime(2024, 2, 29, 23, 30, tzinfo=UTC))
    first = aged(datetime(2024, 10, 27, 0, 30, tzinfo=UTC))  # 02:30 summer time
    second = aged(datetime(2024, 10, 27, 1, 30, tzinfo=UTC))  # 02:30 again
    verdicts = retain([leap, first, second], replace(NOTHING, daily=5, zone=berlin), NOW)
    assert [(v.copy, v.keep) for v in verdicts] == [(second, True), (first, False), (leap, True)]
    assert "daily 2024-03-01" in verdicts[2].reasons


def test_iso_weeks_at_new_year() -> None:
    old, new = aged(datetime(2024, 12, 30, tzinfo=UTC)), aged(datetime(2025, 1, 5, tzinfo=UTC))
    verdicts = retain([old, new], replace(NOTHING, weekly=2), NOW)
    assert [v.keep for v in verdicts] == [True, False], "both are of week 1 of 2025"


@pytest.mark.parametrize(
    ("slot", "dates", "labels"),
    [
        ("daily", ["2026-02-27", "2026-02-26", "2026-02-24"], ["2026-02-27", "2026-02-26", "2026-02-24"]),
        ("weekly", ["2026-02-26", "2026-02-17", "2026-02-10"], ["2026-09", "2026-08", "2026-07"]),
        ("weekly", ["2026-01-07", "2025-12-30", "2025-01-01"], ["2026-02", "2026-01", "2025-01"]),
        ("monthly", ["2026-02-20", "2026-01-31", "2025-02-20"], ["2026-02", "2026-01", "2025-02"]),
        ("yearly", ["2026-02-20", "2025-12-31", "2023-06-01"], ["2026", "2025", "2023"]),
    ],
)
def test_a_slot_keeps_the_newest_copy_of_each_of_its_units(slot: str, dates: list[str], labels: list[str]) -> None:
    """Two copies a date, six hours apart: of each unit the later one stays, with its label as the reason."""
    days = [datetime.fromisoformat(date).replace(hour=12, tzinfo=UTC) for date in dates]
    given_ = [aged(when - timedelta(hours=hours)) for when in days for hours in (0, 6)]
    verdicts = retain(given_, replace(NOTHING, **{slot: len(labels)}), NOW)
    found = [reason for v in verdicts if v.keep for reason in v.reasons if reason.startswith(slot)]
    assert found == [f"{slot} {label}" for label in labels]
    assert [copy.taken_at for copy in kept(verdicts)] == days
    less = retain(given_, replace(NOTHING, **{slot: len(labels) - 1}), NOW)
    assert [copy.taken_at for copy in kept(less)] == days[:-1]


def test_copies_younger_than_within_stay_however_many_there_are() -> None:
    given_ = [aged(NOW - timedelta(hours=hours)) for hours in range(1, 80)]
    verdicts = retain(given_, replace(NOTHING, within=timedelta(hours=48)), NOW)
    assert [copy.taken_at for copy in kept(verdicts)] == [NOW - timedelta(hours=hours) for hours in range(1, 49)]
    assert all("within" in verdict.reasons for verdict in verdicts if verdict.keep)
    assert {reason for verdict in verdicts[48:] for reason in verdict.reasons} == {"no place left"}


def test_a_copy_that_was_pulled_within_stays_however_old_its_name_is() -> None:
    newest = aged(NOW - timedelta(days=1))
    old = [aged(NOW - timedelta(days=90), arrived=NOW - timedelta(hours=hours)) for hours in (1, 2, 47, 48)]
    old = [replace(copy, id=str(number)) for number, copy in enumerate(old)]
    policy = replace(NOTHING, within=timedelta(hours=48))
    verdicts = {v.copy.id: v for v in retain([newest, *old], policy, NOW)}
    assert [verdicts[str(number)].keep for number in range(4)] == [True, True, True, False]
    assert "pulled within" in verdicts["1"].reasons


def test_policy_without_rules_keeps_the_newest_verified_copy() -> None:
    days = [aged(NOW - timedelta(days=n)) for n in range(1, 5)]
    assert kept(retain(days, NOTHING, NOW)) == [days[0]]


def test_unverified_newest_copy_does_not_displace_the_verified_copy() -> None:
    newest = aged(NOW - timedelta(days=1), verified=False)
    good = aged(NOW - timedelta(days=50))
    old = aged(NOW - timedelta(days=60), verified=False)
    verdicts = retain([newest, good, old], replace(NOTHING, unverified_for=timedelta(0)), NOW)
    assert [v.keep for v in verdicts] == [True, True, False]
    assert verdicts[2].reasons == ("never verified, and a newer one is",)


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(TimeZoneMissing):
        retain([aged(datetime(2025, 1, 1))], NOTHING, NOW)  # noqa: DTZ001
    with pytest.raises(TimeZoneMissing):
        retain([], NOTHING, datetime(2025, 1, 1))  # noqa: DTZ001


def test_time_with_a_fixed_offset_is_accepted() -> None:
    assert kept(retain([aged(datetime(2025, 1, 1, tzinfo=timezone(timedelta(hours=-12))))], NOTHING, NOW))


# ---------------------------------------------------------------- an appliance that names its archives as it likes


def daily(count: int) -> list[Aged]:
    """A good copy a day, pulled half an hour later."""
    days = [NOW - timedelta(days=n, hours=9) for n in range(count)]
    return [replace(aged(day), arrived=day + timedelta(minutes=30)) for day in days]


POISON = {
    "one second later each": lambda n: NOW - timedelta(days=n, hours=9) + timedelta(seconds=1),
    "later that day": lambda n: NOW - timedelta(days=n) + timedelta(hours=2),
    "between the last ones": lambda n: NOW - timedelta(hours=9) + timedelta(seconds=n),
    "on other days": lambda n: NOW - timedelta(days=n, hours=21),
    "in the future": lambda n: NOW + timedelta(days=n + 1),
    "far in the future": lambda n: datetime(2099, 1, 1, tzinfo=UTC) + timedelta(days=n),
}


@pytest.mark.parametrize("poison", POISON)
@pytest.mark.parametrize("later", [0, 3, 400])
def test_a_hostile_appliance_displaces_no_good_copy(poison: str, later: int) -> None:
    good, now = daily(107), NOW + timedelta(days=later)
    bad = [
        Aged("a", f"bad {n}", when, arrived=NOW)
        for n in range(107)
        if (when := POISON[poison](n)) <= NOW or poison.endswith("future")
    ]
    alone = {copy.id for copy in kept(retain(good, RetentionPolicy(), now))}
    together = {copy.id for copy in kept(retain(in_order([*good, *bad]), RetentionPolicy(), now))}
    # What is dated after the last good copy may be a backup that was really made; it takes that day's place.
    allowed = {copy.id for copy in good[:2]}
    assert alone - together <= allowed
    for copy in bad:
        if copy.future and copy.taken_at > now:
            assert copy.id in together, "kept, and fills no place"


def test_copy_with_a_future_date_takes_no_retention_slot() -> None:
    good = daily(3)
    bad = Aged("a", "bad", NOW + timedelta(days=40), arrived=NOW)
    later = NOW + timedelta(days=60)
    verdicts = {v.copy.id: v for v in retain([*good, bad], replace(NOTHING, last=1), later)}
    assert not verdicts["bad"].keep
    assert verdicts[good[0].id].reasons == ("newest verified",)


def test_backups_of_a_clock_that_was_set_back_stay_for_a_while() -> None:
    good = daily(20)
    fresh = Aged("a", "fresh", datetime(2020, 1, 1, tzinfo=UTC), arrived=NOW - timedelta(hours=1))
    policy = replace(NOTHING, last=1, daily=5)
    assert "fresh" in {copy.id for copy in kept(retain([*good, fresh], policy, NOW))}


HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def told(copies: list[Aged], policy: RetentionPolicy, now: datetime = NOW) -> dict[str, tuple[str, ...]]:
    """Return the reasons of each copy; a copy that goes has "gone" before them."""
    return {v.copy.id: v.reasons if v.keep else ("gone", *v.reasons) for v in retain(copies, policy, now)}


def at(id_: str, taken: datetime, arrived: datetime | None = None, **more: object) -> Aged:
    return Aged("a", id_, taken, arrived=arrived, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("ahead", "future"), [(15 * HOUR, False), (15 * HOUR + timedelta(seconds=1), True)])
def test_a_date_is_in_the_future_once_no_zone_can_explain_it(ahead: timedelta, *, future: bool) -> None:
    copy = at("x", NOW - DAY + ahead, NOW - DAY)
    assert copy.future == future
    verdicts = told([copy, at("good", NOW - 2 * DAY)], replace(NOTHING, last=1))
    assert ("newest verified" in verdicts["x"]) == (not future)
    assert ("newest verified" in verdicts["good"]) == future


GOOD = at("good", NOW - 5 * DAY, NOW - 4 * DAY)


@pytest.mark.parametrize(
    ("other", "may"),
    [
        (replace(GOOD, behind=True), True),  # it arrived at the same time
        (at("first", NOW - 9 * DAY, NOW - 5 * DAY), True),
        (at("later", NOW - 3 * DAY, NOW - 3 * DAY), True),
        (at("later, behind", NOW - 3 * DAY, NOW - 2 * DAY, behind=True), False),
        (at("as the other arrived", NOW - 4 * DAY, NOW - 3 * DAY), False),
        (at("before the other arrived", NOW - 4 * DAY - HOUR, NOW - 3 * DAY), False),
        (at("without a time of arrival", NOW - 3 * DAY), True),
    ],
)
def test_which_copies_may_displace_another(other: Aged, *, may: bool) -> None:
    assert other.may_displace(GOOD) == may
    assert GOOD.may_displace(GOOD)


def test_a_copy_is_behind_those_that_arrived_before_it_with_a_later_date() -> None:
    copies = [
        at("first", NOW - 5 * DAY, NOW - 5 * DAY),
        at("together", NOW - 6 * DAY, NOW - 5 * DAY),
        at("same date", NOW - 5 * DAY, NOW - 4 * DAY),
        at("earlier date", NOW - 5 * DAY - HOUR, NOW - 3 * DAY),
        at("told before", NOW - 3 * DAY, NOW - 3 * DAY + HOUR, behind=True),
        Aged("b", "other host", NOW - 9 * DAY, arrived=NOW - 2 * DAY),
    ]
    behind = {copy.id: copy.behind for copy in in_order(copies[::-1])}
    assert {id_ for id_, yes in behind.items() if yes} == {"earlier date", "told before"}


@pytest.mark.parametrize("more", [{"verified": False}, {"taken_at": NOW + 9 * DAY}])
def test_unverified_copy_displaces_no_other_copy(more: dict[str, object]) -> None:
    nothing = replace(at("nothing", NOW - 2 * DAY, NOW - 5 * DAY), **{"taken_at": NOW - 5 * DAY + HOUR, **more})  # type: ignore[arg-type]
    good = at("good", NOW - 5 * DAY, NOW - 4 * DAY)
    assert not any(copy.behind for copy in in_order([nothing, good]))


def test_the_default_policy_keeps_what_the_manual_says() -> None:
    copies = [aged(NOW - HOUR - n * DAY) for n in range(5 * 366)]
    reasons = [
        reason for verdict in retain(copies, RetentionPolicy(), NOW) if verdict.keep for reason in verdict.reasons
    ]
    counted = {name: sum(reason.startswith(name) for reason in reasons) for name in ("newest", "last", "daily", "weekly", "monthly", "yearly", "within")}  # fmt: skip
    assert counted == {"newest": 1, "last": 2, "daily": 7, "weekly": 5, "monthly": 12, "yearly": 3, "within": 2}
    unverified = [aged(NOW - n * DAY, verified=False) for n in (30, 31)]
    assert [v.keep for v in retain([copies[0], *unverified], RetentionPolicy(), NOW)] == [True, True, False]


def test_each_host_is_decided_alone_and_listed_newest_first() -> None:
    copies = [Aged(host, f"{n}", NOW - n * DAY) for n in (2, 1) for host in ("b", "a")]
    verdicts = retain(copies, NOTHING, NOW)
    assert [(v.copy.host, v.copy.id, v.keep) for v in verdicts] == [
        ("a", "1", True), ("a", "2", False), ("b", "1", True), ("b", "2", False)
    ]  # fmt: skip


def test_a_copy_of_this_moment_counts_and_one_of_a_second_later_does_not() -> None:
    now, later = at("now", NOW), at("later", NOW + timedelta(seconds=1))
    assert told([now, later, at("old", NOW - DAY)], NOTHING) == {
        "later": ("future",), "now": ("newest verified", "within"), "old": ("gone", "no place left")
    }  # fmt: skip


def test_copy_pulled_last_is_kept_with_any_date() -> None:
    copies = [at("newest", NOW - 5 * DAY, NOW - 5 * DAY), at("old", NOW - 9 * DAY, NOW - 3 * DAY), at("gone", NOW - 8 * DAY, NOW - 8 * DAY)]  # fmt: skip
    assert told(in_order(copies), NOTHING) == {
        "newest": ("newest verified",), "old": ("pulled last",), "gone": ("gone", "no place left")
    }  # fmt: skip
    assert told(in_order(copies), replace(NOTHING, last=2))["gone"] == ("last 2",)


def test_a_copy_that_was_displaced_unfairly_keeps_its_place_and_its_reason() -> None:
    """The one in its place is dated after it, but before it arrived, and came later."""
    good = at("good", NOW - 9 * DAY, NOW - 9 * DAY + 2 * HOUR)
    bad = at("bad", NOW - 9 * DAY + HOUR, NOW - 5 * DAY)
    assert told([good, bad], NOTHING) == {"bad": ("newest verified",), "good": ("newest verified",)}
    tagged = replace(good, tags=("keep", "other"))
    assert told([tagged, bad], NOTHING)["good"] == ("tag keep",)


@pytest.mark.parametrize("between", [0, 1, 2, 3])
def test_an_unfair_copy_is_found_behind_any_number_of_fair_ones(between: int) -> None:
    good = at("good", NOW - 20 * DAY, NOW - 20 * DAY + 2 * HOUR)
    fair = [at(f"fair {n}", NOW - n * DAY, NOW - n * DAY) for n in range(10, 10 - between, -1)]
    bad = at("bad", NOW - 20 * DAY + HOUR, NOW - 5 * DAY)
    verdicts = told([good, *fair, bad], replace(NOTHING, last=between + 1))
    assert verdicts["good"] == (f"last {between + 1}" if between else "newest verified",)
    unfair = _unfair([*fair, bad, good])
    assert unfair(good)
    assert not unfair(bad)
    assert not any(map(_unfair([good, *fair]), [good, *fair]))


@pytest.mark.parametrize(
    "other", [at("as it arrived", GOOD.arrived or NOW, NOW), at("behind", NOW - DAY, NOW - DAY, behind=True)]
)
def test_the_search_agrees_about_the_limits(other: Aged) -> None:
    unfair = _unfair([GOOD, other])
    assert unfair(GOOD)
    assert not unfair(other)


def test_verdict_on_an_unverified_copy_has_a_reason() -> None:
    good, policy = at("good", NOW - 10 * DAY), replace(NOTHING, unverified_for=timedelta(days=20))
    ages = {"newer": 9, "as old": 10, "twenty days": 20, "older": 21}
    copies = [at(id_, NOW - days * DAY, verified=False) for id_, days in ages.items()]
    assert told([good, *copies], policy) == {
        "newer": ("unverified, and none newer is verified",),
        "good": ("newest verified",),
        "as old": ("unverified",),
        "twenty days": ("unverified",),
        "older": ("gone", "never verified, and a newer one is"),
    }
    assert set(told(copies, policy).values()) == {("unverified, and none newer is verified",)}
