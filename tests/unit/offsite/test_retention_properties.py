"""Retention: properties of all policies and copies. Single rules are tested in test_retention.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from tscm_migrate.offsite.retention import Aged, RetentionPolicy, Verdict, _unfair, in_order, retain

if TYPE_CHECKING:
    from collections.abc import Callable

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]
ANY = settings(phases=[Phase.generate], max_examples=1000)  # the first that is found, not the smallest

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
def test_future_protected_and_last_copies_are_kept(given_: list[Aged], policy: RetentionPolicy, now: datetime) -> None:
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
    assert find(st.tuples(copies, policies, times), CASES[case], settings=ANY)


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
def test_copy_that_arrives_late_with_an_early_date_displaces_nothing(
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
    assert find(pulled, lambda one: any(_unfair(in_order(one))(copy) == answer for copy in one), settings=ANY)
