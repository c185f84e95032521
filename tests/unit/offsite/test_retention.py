from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from tscm_migrate.errors import TimeZoneMissing
from tscm_migrate.offsite.retention import Aged, RetentionPolicy, Verdict, _unfair, in_order, retain

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOTHING = RetentionPolicy(last=0, daily=0, weekly=0, monthly=0, yearly=0, within=timedelta(0))
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]

times = st.integers(0, 3 * 366 * 24 * 60).map(
    lambda minutes: datetime(2023, 6, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)
copies = st.lists(
    st.builds(
        Aged,
        host=st.sampled_from(["a", "b"]),
        id=st.uuids().map(str),
        taken_at=times,
        verified=st.booleans(),
        tags=st.sampled_from([(), ("keep",), ("other",)]),
    ),
    max_size=40,
)
policies = st.builds(
    RetentionPolicy,
    last=st.integers(0, 5),
    daily=st.integers(0, 10),
    weekly=st.integers(0, 6),
    monthly=st.integers(0, 6),
    yearly=st.integers(0, 3),
    within=st.timedeltas(timedelta(0), timedelta(days=20)),
    unverified_for=st.timedeltas(timedelta(0), timedelta(days=40)),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
)


def aged(when: datetime, **more: object) -> Aged:
    return Aged(host="a", id=when.isoformat(), taken_at=when, **more)  # type: ignore[arg-type]


def kept(verdicts: list[Verdict]) -> list[Aged]:
    return [verdict.copy for verdict in verdicts if verdict.keep]


@given(copies, policies, times)
def test_every_copy_gets_one_verdict_with_reasons(given_: list[Aged], policy: RetentionPolicy, now: datetime) -> None:
    verdicts = retain(given_, policy, now)
    assert sorted(v.copy.id for v in verdicts) == sorted(c.id for c in given_)
    assert all(v.reasons for v in verdicts)
    assert all(len(v.reasons) == 1 for v in verdicts if not v.keep)


@given(copies, policies, times)
def test_the_newest_verified_copy_of_each_host_stays(
    given_: list[Aged], policy: RetentionPolicy, now: datetime
) -> None:
    stays = kept(retain(given_, policy, now))
    for host in ("a", "b"):
        past = [c for c in given_ if c.host == host and c.verified and c.taken_at <= now]
        if past:
            newest = max(c.taken_at for c in past)
            assert any(c.host == host and c.verified and c.taken_at == newest for c in stays)


@given(copies, policies, times)
def test_future_protected_and_last_hope_copies_stay(given_: list[Aged], policy: RetentionPolicy, now: datetime) -> None:
    gone = [v.copy for v in retain(given_, policy, now) if not v.keep]
    for copy in gone:
        assert copy.taken_at <= now
        assert "keep" not in copy.tags
        newer = [c for c in given_ if c.host == copy.host and c.verified and copy.taken_at <= c.taken_at <= now]
        assert newer, "nothing goes unless a verified one as new stays"


CASES: dict[str, Callable[[tuple[list[Aged], RetentionPolicy, datetime]], bool]] = {
    "a copy goes": lambda case: len(kept(retain(*case))) < len(case[0]),
    "a copy is dated later": lambda case: any(copy.taken_at > case[2] for copy in case[0]),
    "a copy has the tag": lambda case: any("keep" in copy.tags for copy in case[0]),
    "a verified copy is past": lambda case: any(copy.verified and copy.taken_at <= case[2] for copy in case[0]),
    "one is not verified": lambda case: len({copy.verified for copy in case[0]}) == 2,
}


@pytest.mark.parametrize("case", CASES)
def test_the_generated_copies_meet_the_case_that_a_property_is_about(case: str) -> None:
    assert find(st.tuples(copies, policies, times), CASES[case])


@given(copies, policies, times)
def test_unverified_copies_change_nothing_for_the_others(
    given_: list[Aged], policy: RetentionPolicy, now: datetime
) -> None:
    with_them = {v.copy.id: v.keep for v in retain(given_, policy, now) if v.copy.verified}
    without = {v.copy.id: v.keep for v in retain([c for c in given_ if c.verified], policy, now)}
    assert with_them == without


@given(copies, policies, times)
def test_order_does_not_matter_and_a_second_prune_deletes_nothing(
    given_: list[Aged], policy: RetentionPolicy, now: datetime
) -> None:
    first = retain(given_, policy, now)
    assert first == retain(given_[::-1], policy, now)
    stays = kept(first)
    again = retain(stays, policy, now)
    assert all(v.keep for v in again)


@given(copies, policies, times, st.sampled_from(["last", "daily", "weekly", "monthly", "yearly"]))
def test_a_more_generous_policy_keeps_at_least_as_much(
    given_: list[Aged], policy: RetentionPolicy, now: datetime, name: str
) -> None:
    less = {c.id for c in kept(retain(given_, policy, now))}
    more = {c.id for c in kept(retain(given_, replace(policy, **{name: getattr(policy, name) + 2}), now))}
    assert less <= more


@given(copies, policies, times, st.sampled_from(ZONES))
def test_the_zone_in_which_a_time_is_written_does_not_matter(
    given_: list[Aged], policy: RetentionPolicy, now: datetime, zone: str
) -> None:
    moved = [replace(c, taken_at=c.taken_at.astimezone(ZoneInfo(zone))) for c in given_]
    keeps = [v.keep for v in retain(given_, policy, now)]
    assert keeps == [v.keep for v in retain(moved, policy, now.astimezone(ZoneInfo(zone)))]


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(st.sampled_from(ZONES), st.integers(0, 23), st.sampled_from([6, 12, 24, 36]))
def test_three_years_day_by_day(zone: str, hour: int, every: int) -> None:
    """Prune after every backup for three years (a leap day and six changes of the clock among them)."""
    policy = RetentionPolicy(last=2, daily=7, weekly=4, monthly=6, yearly=3, within=timedelta(0), zone=ZoneInfo(zone))
    stays: list[Aged] = []
    now = datetime(2023, 6, 1, hour, tzinfo=UTC)
    seen_days: set[object] = set()
    while now < datetime(2026, 6, 1, tzinfo=UTC):
        stays.append(aged(now))
        stays = kept(retain(stays, policy, now))
        seen_days.add(now.astimezone(policy.zone).date())
        days = sorted(seen_days)[-7:]
        have = {c.taken_at.astimezone(policy.zone).date() for c in stays}
        assert set(days) <= have, "each of the last 7 days with a backup still has one"
        assert len(stays) <= 2 + 7 + 4 + 6 + 3
        now += timedelta(hours=every)
    months = {(c.taken_at.astimezone(policy.zone).year, c.taken_at.astimezone(policy.zone).month) for c in stays}
    assert len(months) >= 6
    assert {c.taken_at.astimezone(policy.zone).year for c in stays} >= {2024, 2025, 2026}


def test_a_day_is_the_zone_s_day() -> None:
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
    old = [aged(NOW - timedelta(days=90), arrived=NOW - timedelta(hours=hours)) for hours in (1, 47, 48)]
    old = [replace(copy, id=str(number)) for number, copy in enumerate(old)]
    policy = replace(NOTHING, within=timedelta(hours=48))
    verdicts = {v.copy.id: v for v in retain([newest, *old], policy, NOW)}
    assert [verdicts[str(number)].keep for number in range(3)] == [True, True, False]
    assert "pulled within" in verdicts["1"].reasons


def test_with_everything_off_the_newest_verified_stays() -> None:
    days = [aged(NOW - timedelta(days=n)) for n in range(1, 5)]
    assert kept(retain(days, NOTHING, NOW)) == [days[0]]


def test_an_unverified_newest_does_not_push_out_the_verified_one() -> None:
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


def test_fixed_offsets_are_fine() -> None:
    assert kept(retain([aged(datetime(2025, 1, 1, tzinfo=timezone(timedelta(hours=-12))))], NOTHING, NOW))


# ---------------------------------------------------------------- an appliance that names its archives as it likes

arrivals = st.integers(-3 * 24 * 60, 400 * 24 * 60).map(lambda minutes: timedelta(minutes=minutes))
pulled = st.lists(
    st.builds(
        lambda id_, when, late, verified: Aged("a", str(id_), when, verified, (), when + late),
        st.uuids(), times, arrivals, st.booleans(),
    ),
    max_size=30,
)  # fmt: skip


@given(pulled, policies, times)
def test_with_times_of_arrival_a_second_prune_deletes_nothing(
    given_: list[Aged], policy: RetentionPolicy, now: datetime
) -> None:
    first = retain(given_, policy, now)
    assert first == retain(given_[::-1], policy, now)
    assert all(verdict.keep for verdict in retain(kept(first), policy, now))


@given(pulled, policies, times, st.lists(times, max_size=60))
def test_what_arrives_late_with_an_early_date_displaces_nothing(
    given_: list[Aged], policy: RetentionPolicy, now: datetime, dates: list[datetime]
) -> None:
    arrived = max([now, *(copy.known_at for copy in given_)]) + timedelta(hours=1)
    before = {copy.id for copy in kept(retain(given_, policy, arrived))}
    poison = [Aged("a", f"p{n}", date, arrived=arrived, behind=True) for n, date in enumerate(dates)]
    after = {copy.id for copy in kept(retain([*given_, *poison], policy, arrived))}
    assert before <= after


@given(pulled)
def test_the_quick_search_finds_the_copies_that_another_may_not_displace(given_: list[Aged]) -> None:
    ordered = in_order(given_)
    unfair = _unfair(ordered)
    for copy in ordered:
        assert unfair(copy) == any(not other.may_displace(copy) for other in ordered)


@pytest.mark.parametrize("answer", [True, False])
def test_the_generated_arrivals_meet_both_answers(*, answer: bool) -> None:
    assert find(pulled, lambda one: any(_unfair(in_order(one))(copy) == answer for copy in one))


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


def test_a_copy_dated_in_the_future_never_fills_a_place() -> None:
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
