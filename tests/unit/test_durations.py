"""Durations: one format for all output, one for options and settings."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tscm_migrate.errors import UsageError
from tscm_migrate.util.text import days_option, duration_option, duration_text, parse_duration, seconds_of


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"), (0, "0 s"), (0.004, "0 s"), (0.04, "0.04 s"), (0.444, "0.44 s"), (4, "4 s"), (9.94, "9.9 s"), (9.96, "10 s"),
        (12.4, "12 s"), (59.4, "59 s"), (59.6, "1 min"), (97, "1 min 37 s"), (119.9, "2 min"), (3599.7, "1 h"),
        (3600, "1 h"), (3601, "1 h"), (7325, "2 h 2 min"), (86399, "23 h 59 min"), (86400, "1 d"),
        (129600, "1 d 12 h"), (86400 + 59 * 60, "1 d"), (400 * 86400, "400 d"), (-97, "-1 min 37 s"),
    ],
)  # fmt: skip
def test_duration_is_shown_in_its_two_largest_units(seconds: float | None, text: str) -> None:
    assert duration_text(seconds) == text
    if seconds is not None:
        assert duration_text(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("90m", 5400), ("36h", 129600), ("2d", 172800), ("1w", 604800), ("1d12h", 129600)],
)
def test_duration_with_unit_is_parsed(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)
    assert duration_option("--older", text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "36", "h", "36 h", "-1d", "1.5h", "1d 12h", "1D", "٣h", "9" * 30 + "d", "x1d", 36]
)
def test_text_that_is_not_a_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="not a valid duration"):
        parse_duration(text)
    with pytest.raises(UsageError, match=r"--older .*not a valid duration"):
        duration_option("--older", text)  # type: ignore[arg-type]


def test_duration_too_long_for_python_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        parse_duration("999999999w999999999w")


@pytest.mark.parametrize(("text", "days"), [("120d", 120), ("2w", 14), ("30", 30), ("48h", 2)])
def test_full_days_are_parsed_with_and_without_unit(text: str, days: int) -> None:
    assert days_option("--older", text) == days


@pytest.mark.parametrize("text", ["0", "0d", "36h", "many", "10001d", "999999999", "-3", "1.5"])
def test_value_that_is_not_full_days_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--older"):
        days_option("--older", text)


@pytest.mark.parametrize(
    ("value", "seconds"), [("30m", 1800), ("36h", 129600), ("3d", 259200), ("1h30m", 5400), (60, 60), (1.5, 1.5), ("90", 90), ("7d", 604800)]
)  # fmt: skip
def test_setting_is_a_duration_or_a_number_of_seconds(value: object, seconds: float) -> None:
    assert seconds_of(value) == seconds


@pytest.mark.parametrize(
    "value", [0, "0", -1, "8d", 604801, "soon", "30 m", "inf", float("nan"), True, None, ["30m"], 10**400]
)
def test_setting_that_is_not_a_duration_is_refused_with_an_example(value: object) -> None:
    with pytest.raises(ValueError, match='write "30m"'):
        seconds_of(value)
