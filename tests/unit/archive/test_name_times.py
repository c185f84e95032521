"""When an archive was made, by the time in its name and that of its file, at the limits of what is a time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tscm_migrate.archive.names import corrected

MADE = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def name(time: datetime) -> str:
    return f"threatstop_backup_{time:%Y-%m-%d_%H_%M_%S}.tsbak"


def offset(*ahead: timedelta, zone: timedelta | None = None) -> timedelta | None:
    """Return the offset found for names that are this far ahead of their files."""
    return corrected([(name(MADE + one), MADE.timestamp()) for one in ahead], zone).offset


@pytest.mark.parametrize(
    ("ahead", "zone", "expected"),
    [
        (5 * MINUTE, None, 0 * HOUR),
        (5 * MINUTE + timedelta(seconds=1), None, 15 * MINUTE),
        (3 * HOUR - MINUTE, 9 * HOUR, 3 * HOUR),  # the appliance's zone is another one
        (HOUR - 2 * MINUTE, 2 * HOUR, HOUR),  # made before summer time
        (3 * HOUR - 2 * MINUTE, 2 * HOUR, 3 * HOUR),  # made in summer time
        (14 * HOUR, 14 * HOUR, 14 * HOUR),
        (14 * HOUR + 5 * MINUTE, 14 * HOUR, 14 * HOUR),
        (14 * HOUR + 6 * MINUTE, 14 * HOUR, None),
        (-13 * HOUR, -11 * HOUR, -12 * HOUR),
        (-14 * HOUR, -11 * HOUR, -12 * HOUR),
        (-14 * HOUR - MINUTE, -11 * HOUR, None),
        (20 * HOUR, None, None),
        (-20 * HOUR, None, None),
        (-8 * HOUR - MINUTE, None, -8 * HOUR),
        (-8 * HOUR - 20 * MINUTE, None, None),  # not a time zone by half hours
    ],
)
def test_offset_of_one_archive(ahead: timedelta, zone: timedelta | None, expected: timedelta | None) -> None:
    assert offset(ahead, zone=zone) == expected


@pytest.mark.parametrize(("other", "expected"), [(7, 8), (9, 8), (6, None), (3, None), (11, None)])
def test_offsets_to_the_west_count_only_if_all_are_within_an_hour(other: int, expected: int | None) -> None:
    shown = offset(-8 * HOUR - MINUTE, -8 * HOUR - MINUTE, -other * HOUR - MINUTE)
    assert shown == (None if expected is None else -expected * HOUR)


def test_archives_without_times_are_dated_by_their_names_alone() -> None:
    times = corrected([(name(MADE), 0.0), ("threatstop_latest.tsbak", 0.0)])
    assert times.taken == (MADE, datetime.fromtimestamp(0, UTC))
    assert times.offset is None
    assert corrected([]).taken == ()
