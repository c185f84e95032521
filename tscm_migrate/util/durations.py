"""Durations as text: one format for all output, and one for options and settings."""

from __future__ import annotations

import re
from datetime import timedelta

from tscm_migrate.errors import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_PART = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_FRACTION_BELOW = 9.95  # seconds; from there on, full seconds are exact enough
UNKNOWN = "–"
_NUMBER = re.compile(r"\d{1,9}\Z", re.ASCII)
_MOST_DAYS = 10_000


def duration_text(duration: timedelta | float | None) -> str:
    """Format a duration for people, in its two largest units: "0.44 s", "4.2 s", "1 min 37 s", "2 h 5 min", "1 d 12 h".

    Args:
        duration: in seconds, or as a timedelta; None if it is not known, which is shown as a dash.
    """
    if duration is None:
        return UNKNOWN
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
    if seconds < 0:
        return f"-{duration_text(-seconds)}"
    if seconds < _FRACTION_BELOW:
        return f"{round(seconds, 2):.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    first = next(at for at, (number, _) in enumerate(units) if number)
    return " ".join(f"{number} {unit}" for number, unit in units[first : first + 2] if number)


def parse_duration(text: object) -> timedelta:
    """Parse `90m`, `36h`, `2d`, `1w` or several of them together: `1d12h`.

    Raises:
        ValueError: anything else.
    """
    parts = _PART.findall(text) if isinstance(text, str) else []
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError('not a valid duration: write "90m", "36h", "2d" or "1d12h"')
    try:
        return timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in parts))
    except OverflowError:
        raise ValueError("not a valid duration: too long") from None


def duration_option(option: str, text: str) -> timedelta:
    """Parse the duration that an option of the command line was given.

    Raises:
        UsageError: not a valid duration.
    """
    try:
        return parse_duration(text)
    except ValueError:
        fix = f"write it as in {option} 90m, 36h, 2d or 1d12h"
        raise UsageError(f"{option} {text!r} is not a valid duration", fix) from None


def days_option(option: str, text: str) -> int:
    """Parse a duration in full days that an option was given, such as 120d; a number alone is in days.

    Raises:
        UsageError: not a valid duration, or not one to 10,000 full days.
    """
    duration = timedelta(days=min(int(text), _MOST_DAYS + 1)) if _NUMBER.match(text) else duration_option(option, text)
    if not 1 <= duration.days <= _MOST_DAYS or duration != timedelta(days=duration.days):
        raise UsageError(f"{option} {text!r} is not a number of full days", f"write one as in {option} 120d")
    return duration.days
