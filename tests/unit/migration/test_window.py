"""Change windows: times in the zone of the site, also across clock changes; and which downtime still fits."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tscm_migrate.errors import Exit, Interrupted, UsageError, WindowClosed
from tscm_migrate.events import Event, Message, Waiting
from tscm_migrate.migration.context import Session
from tscm_migrate.migration.run import migrate_in_window, with_fixed_end
from tscm_migrate.migration.window import Clock, Window, of_options, wait, zone_of
from tscm_migrate.options import MigrateOptions

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 26, 18, 0, tzinfo=UTC)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("opens", "closes", "expected"),
    [
        ("22:00", "23:30", (at(26, 22), at(26, 23, 30))),
        ("18:30", "19:30", (at(27, 18, 30), at(27, 19, 30))),  # 18:30 is over today: it is 19:00 in Berlin
        ("23:00", "01:00", (at(26, 23), at(27, 1))),
        ("2026-11-28 22:00", "2026-11-29T01:00", (at(28, 22), at(29, 1))),
        ("2026-11-28T22:00+00:00", None, (datetime(2026, 11, 28, 22, tzinfo=UTC), None)),
        (None, "20:00", (None, at(26, 20))),
        (None, None, (None, None)),
    ],
)
def test_times_are_in_the_zone_of_the_site(
    opens: str | None, closes: str | None, expected: tuple[datetime | None, datetime | None]
) -> None:
    window = of_options(opens, closes, BERLIN, NOW)
    assert (window.opens, window.closes) == expected


@pytest.mark.parametrize(
    ("opens", "closes"),
    [("25:00", None), ("soon", None), ("22", None), (None, "2026-11-26 18:00"), ("2026-11-28 22:00", "2026-11-28 21:00"), ("2027-01-01 10:00", None), ("٢٢:00", None)],
)  # fmt: skip
def test_invalid_window_is_refused_with_an_example(opens: str | None, closes: str | None) -> None:
    with pytest.raises(UsageError) as error:
        of_options(opens, closes, BERLIN, NOW)
    assert error.value.remedy()


def test_time_of_day_is_kept_across_a_clock_change() -> None:
    before = datetime(2026, 10, 24, 20, 0, tzinfo=UTC)  # summer time ends in the night
    window = of_options("2026-10-25 02:30", "2026-10-25 04:00", BERLIN, before)
    assert window.closes is not None
    assert window.opens is not None
    assert (window.closes.astimezone(UTC) - window.opens.astimezone(UTC)) == timedelta(hours=2, minutes=30)


@pytest.mark.parametrize(
    ("now", "opens", "closes", "expected"),
    [  # in UTC: summer time ends on 2026-10-25 at 01:00, and begins on 2027-03-28 at 01:00
        ("2026-10-24T20:00", "02:30", "03:30", ("2026-10-25T00:30", "2026-10-25T02:30")),
        ("2026-10-25T00:35", "02:45", "02:50", ("2026-10-25T00:45", "2026-10-25T00:50")),
        ("2026-10-25T00:45", "02:30", "03:30", ("2026-10-25T01:30", "2026-10-25T02:30")),
        ("2026-10-25T01:15", "02:30", "02:45", ("2026-10-25T01:30", "2026-10-25T01:45")),
        ("2026-10-25T01:30", "02:30", None, ("2026-10-26T01:30", None)),
        ("2027-03-27T20:00", "02:30", "04:00", ("2027-03-28T01:30", "2027-03-28T02:00")),
        ("2027-03-28T01:15", "03:30", "04:00", ("2027-03-28T01:30", "2027-03-28T02:00")),
    ],
)
def test_time_of_day_is_found_around_a_clock_change(
    now: str, opens: str, closes: str | None, expected: tuple[str, str | None]
) -> None:
    window = of_options(opens, closes, BERLIN, datetime.fromisoformat(now).replace(tzinfo=UTC))
    found = (window.opens, window.closes)
    assert found == tuple(datetime.fromisoformat(at).replace(tzinfo=UTC) if at else None for at in expected)


def test_window_that_closes_before_it_opens_because_of_a_clock_change_is_refused() -> None:
    """The clock goes from 02:00 to 03:00, so the skipped 02:30 is 03:30."""
    now = datetime(2027, 3, 27, 20, 0, tzinfo=UTC)
    with pytest.raises(UsageError, match="closes before it opens"):
        of_options("2027-03-28 02:30", "2027-03-28 03:15", BERLIN, now)
    shown = of_options("2027-03-28 02:30", None, BERLIN, now).text(BERLIN)
    assert shown.startswith("from 2027-03-28 03:30 Europe/Berlin"), "02:30 does not exist on this day"


def test_downtime_must_end_inside_the_window() -> None:
    window = Window(at(26, 22), at(26, 23))
    window.require(at(26, 22, 58), 120.0, BERLIN)
    with pytest.raises(WindowClosed) as error:
        window.require(at(26, 22, 58), 126.0, BERLIN)
    assert error.value.exit_code == Exit.REFUSED
    assert "2 min 6 s" in error.value.message()
    Window().require(at(26, 22), 1e9, BERLIN)


class Ticking:
    """A clock that only sleeping advances."""

    def __init__(self) -> None:
        self.now = NOW
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)

    def clock(self) -> Clock:
        return Clock(lambda: self.now, self.sleep)


@pytest.mark.parametrize(
    ("seconds", "slept"),
    [(80.0, [10.0, 10.0, *[1.0] * 60]), (60.5, [10.0, *[1.0] * 50, 0.5]), (2.5, [1.0, 1.0, 0.5]), (0.0, []), (-5.0, [])],
)  # fmt: skip
def test_waiting_ends_at_the_time_and_emits_the_remaining_time(seconds: float, slept: list[float]) -> None:
    ticking = Ticking()
    told: list[Waiting] = []

    def emit(event: Event) -> None:
        assert isinstance(event, Waiting)
        assert len(told) < 100, "the wait does not end"
        told.append(event)

    wait(NOW + timedelta(seconds=seconds), "the window", emit, ticking.clock())
    assert ticking.slept == slept
    assert [event.elapsed for event in told] == [sum(slept[:number]) for number in range(len(slept))]
    assert {(event.what, event.limit) for event in told} <= {("the window", seconds)}


def test_no_wait_without_a_time() -> None:
    ticking = Ticking()
    told: list[Event] = []
    wait(None, "nothing", told.append, ticking.clock())
    assert (told, ticking.slept) == ([], [])


def test_time_of_day_in_the_present_minute_is_tomorrow() -> None:
    assert of_options("22:00:30", None, BERLIN, NOW).opens == at(26, 22) + timedelta(seconds=30)
    assert of_options("19:00", None, BERLIN, NOW).opens == at(27, 19)


@pytest.mark.parametrize(
    ("opens", "closes"), [("2026-11-28 22:00", "2026-11-28 22:00"), (None, "2026-11-26 19:00")]
)  # fmt: skip
def test_empty_window_is_refused(opens: str | None, closes: str) -> None:
    with pytest.raises(UsageError, match="closes before it opens"):
        of_options(opens, closes, BERLIN, NOW)


def test_window_must_open_within_a_week() -> None:
    in_a_week = datetime(2026, 12, 3, 19, tzinfo=BERLIN)
    assert of_options("2026-12-03 19:00", None, BERLIN, NOW).opens == in_a_week
    assert of_options(None, "2026-12-31 19:00", BERLIN, NOW).opens is None
    with pytest.raises(UsageError, match="more than 7 days"):
        of_options("2026-12-03 19:01", None, BERLIN, NOW)


@pytest.mark.parametrize(
    ("now", "left"), [(at(26, 22, 58), "2 min"), (at(26, 23), "0 s"), (at(26, 23, 30), "0 s")]
)  # fmt: skip
def test_refusal_shows_the_remaining_time_of_the_window(now: datetime, left: str) -> None:
    with pytest.raises(WindowClosed) as error:
        Window(None, at(26, 23)).require(now, 150.0, BERLIN)
    assert "the estimated downtime is 2 min 30 s" in error.value.message()
    assert f"the window closes in {left} (at 2026-11-26 23:00 Europe/Berlin)" in error.value.message()


@pytest.mark.parametrize("name", ["Asia/Kathmandu", ":Asia/Kathmandu"])
def test_workstation_zone_comes_from_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", name)
    assert str(zone_of("")) == "Asia/Kathmandu"
    assert str(zone_of("Europe/Berlin")) == "Europe/Berlin"


@pytest.mark.skipif(os.name == "nt", reason="Windows does not take its zone from the environment")
def test_workstation_zone_without_a_name_is_its_present_offset() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "SITE-5:45")  # POSIX: 5 h 45 min to the east
        time.tzset()
        own = zone_of("")
    time.tzset()
    assert NOW.astimezone(own).utcoffset() == timedelta(hours=5, minutes=45)


@pytest.mark.skipif(not Path("/etc/localtime").is_symlink(), reason="the system does not tell its zone's name")
def test_workstation_zone_has_the_name_given_by_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TZ", raising=False)
    own = zone_of("")
    assert isinstance(own, ZoneInfo), "a fixed offset is wrong after the next clock change"
    assert Path("/etc/localtime").resolve().as_posix().endswith(f"/zoneinfo/{own.key}")


def test_end_of_the_window_is_a_date_from_the_start_on() -> None:
    """When the cutover is checked after 23:30, this must not mean the next day."""
    given = MigrateOptions(from_="a", to="b", not_after="23:30")
    fixed = with_fixed_end(given, "Europe/Berlin", NOW)
    assert fixed.not_after == "2026-11-26T22:30:00+00:00"
    assert with_fixed_end(fixed, "Europe/Berlin", NOW) == fixed
    waits = MigrateOptions(from_="a", to="b", not_before="22:00", not_after="23:30")
    assert with_fixed_end(waits, "Europe/Berlin", NOW) == waits, "fixed when it begins to wait"


@pytest.mark.parametrize(
    "times", [{"not_after": "soon"}, {"not_after": "2026-11-26 18:00"}, {"not_before": "22:00", "stage_at": "25:00"}]
)
def test_invalid_time_is_refused_before_anything_else(times: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        with_fixed_end(MigrateOptions(from_="a", to="b", **times), "Europe/Berlin", NOW)


def test_both_zones_are_shown() -> None:
    text = Window(at(26, 22), at(27, 1)).text(BERLIN)
    assert text.startswith("from 2026-11-26 22:00 until 2026-11-27 01:00 Europe/Berlin (from ")
    assert text.endswith(" on this workstation)")
    assert Window(at(26, 22), None).text(BERLIN).startswith("from 2026-11-26 22:00 Europe/Berlin (from ")
    assert Window().text(BERLIN) == "any time"
    with pytest.raises(UsageError, match="not a known time zone"):
        zone_of("Europe/Atlantis")


def test_ctrl_c_while_waiting_reports_that_nothing_is_paused() -> None:
    def stop(_seconds: float) -> None:
        raise KeyboardInterrupt

    emitted: list[Event] = []
    later = datetime.now(UTC) + timedelta(hours=1)
    options = MigrateOptions(from_="a", to="b", yes=True, rehearsal=False, not_before=later.isoformat())
    inventory: Any = SimpleNamespace(policy=SimpleNamespace(zone="UTC"))
    unused: Any = None
    with pytest.raises(Interrupted, match="nothing is paused or locked"):
        migrate_in_window(options, Session(inventory, unused, emitted.append, unused), times=Clock(sleep=stop))
    assert Message("stopped waiting for the change window", "warning") in emitted
