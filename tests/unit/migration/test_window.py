"""Change windows: times of day and dates in the site's zone, across clock changes; what still fits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tscm_migrate.errors import Exit, UsageError, WindowClosed
from tscm_migrate.migration.window import Clock, Window, of_options, wait, zone_of

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
def test_times_are_of_the_sites_zone(
    opens: str | None, closes: str | None, expected: tuple[datetime | None, datetime | None]
) -> None:
    window = of_options(opens, closes, BERLIN, NOW)
    assert (window.opens, window.closes) == expected


@pytest.mark.parametrize(
    ("opens", "closes"),
    [("25:00", None), ("soon", None), ("22", None), (None, "2026-11-26 18:00"), ("2026-11-28 22:00", "2026-11-28 21:00"), ("2027-01-01 10:00", None), ("٢٢:00", None)],
)  # fmt: skip
def test_a_window_that_cannot_be_is_refused_with_an_example(opens: str | None, closes: str | None) -> None:
    with pytest.raises(UsageError) as error:
        of_options(opens, closes, BERLIN, NOW)
    assert error.value.remedy()


def test_a_time_of_day_keeps_its_meaning_when_the_clocks_change() -> None:
    before = datetime(2026, 10, 24, 20, 0, tzinfo=UTC)  # summer time ends in the night
    window = of_options("2026-10-25 02:30", "2026-10-25 04:00", BERLIN, before)
    assert window.closes is not None
    assert window.opens is not None
    assert (window.closes.astimezone(UTC) - window.opens.astimezone(UTC)) == timedelta(hours=2, minutes=30)


def test_only_a_downtime_that_ends_inside_the_window_may_begin() -> None:
    window = Window(at(26, 22), at(26, 23))
    window.require(at(26, 22, 58), 120.0, BERLIN)
    with pytest.raises(WindowClosed) as error:
        window.require(at(26, 22, 58), 126.0, BERLIN)
    assert error.value.exit_code == Exit.REFUSED
    assert "2 min 6 s" in error.value.message()
    Window().require(at(26, 22), 1e9, BERLIN)


def test_waiting_ends_at_the_time_and_tells_what_is_left() -> None:
    now = NOW
    told = []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += timedelta(seconds=seconds)

    wait(NOW + timedelta(seconds=95), "the window", told.append, Clock(lambda: now, sleep))
    assert now == NOW + timedelta(seconds=95)
    assert len(told) > 35
    assert all(event.limit == 95 for event in told)
    wait(None, "nothing", told.append, Clock(lambda: now, sleep))


def test_both_zones_are_shown() -> None:
    text = Window(at(26, 22), None).text(BERLIN)
    assert "2026-11-26 22:00 Europe/Berlin" in text
    assert "on this workstation" in text
    with pytest.raises(UsageError, match="not a known time zone"):
        zone_of("Europe/Atlantis")
