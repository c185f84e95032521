"""Text for people and text that they type: lists, suggestions, numbers, sizes, rates and durations."""

import contextlib
import difflib
import re
from collections.abc import Collection, Iterable
from datetime import timedelta

from tscm_migrate.errors import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_PART = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_FRACTION_BELOW = 9.95  # seconds; from there on, full seconds are exact enough
UNKNOWN = "–"
_NUMBER = re.compile(r"\d{1,9}\Z", re.ASCII)
_PLAIN = re.compile(r"\d{1,9}(\.\d{1,9})?\Z", re.ASCII)
_MOST_AT_ONCE = 256
_MOST_DAYS = 10_000
_LONGEST_WAIT = 7 * 86400.0  # seconds; a wait beyond a week is a typing error


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


def range_text(seconds: float | None, least: float | None = None, most: float | None = None) -> str:
    """Return an estimated duration: "9 s", or "8 s to 4 min" where `most` is given; "unknown" without any."""
    if least is not None and most:
        return f"{duration_text(least)} to {duration_text(most)}"
    return "unknown" if seconds is None else duration_text(seconds)


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


def seconds_of(value: object) -> float:
    """Return a duration of 7 days at most in seconds: text such as `30m`, or a number, which is in seconds.

    Raises:
        ValueError: anything else, or 0.
    """
    seconds = 0.0
    with contextlib.suppress(ValueError, OverflowError):
        if isinstance(value, str) and not _PLAIN.match(value):
            seconds = parse_duration(value).total_seconds()
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            seconds = float(value)
    if not 0 < seconds <= _LONGEST_WAIT:
        raise ValueError('not a duration up to 7 days: write "30m", "36h" or "3d"')
    return seconds


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


def count_option(option: str, text: str) -> int:
    """Parse a number from 1 to 256 that an option of the command line was given, such as that of --jobs.

    Raises:
        UsageError: not such a number.
    """
    if not (text.isdecimal() and 1 <= int(text) <= _MOST_AT_ONCE):
        raise UsageError(f"{option} {text[:20]!r} is not a number from 1 to {_MOST_AT_ONCE}", f"as in {option} 8")
    return int(text)


def days_option(option: str, text: str) -> int:
    """Parse a duration in full days that an option was given, such as 120d; a number alone is in days.

    Raises:
        UsageError: not a valid duration, or not one to 10,000 full days.
    """
    duration = timedelta(days=min(int(text), _MOST_DAYS + 1)) if _NUMBER.match(text) else duration_option(option, text)
    if not 1 <= duration.days <= _MOST_DAYS or duration != timedelta(days=duration.days):
        raise UsageError(f"{option} {text!r} is not a number of full days", f"write one as in {option} 120d")
    return duration.days


_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmMgG]?)(?:[bB](?:/s)?)?\Z", re.ASCII)
SMALLEST = 1024.0
MOST_DIGITS = 18  # fits in 64 bits; Python itself refuses more than 4300


def number(text: str) -> int | None:
    """The number that `text` is, in ASCII digits and nothing else; else, or with too many digits, None.

    `str.isdigit` is true for "²", which `int` refuses, and `int` takes digits of any script.
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS else None


def parse_limit(text: str | float) -> float:
    """Parse the value of `--limit`: bytes a second, with K, M or G (powers of 1000); "" and "0" mean no limit.

    Raises:
        UsageError: not a valid rate, or one below `SMALLEST`, which is taken for a typing error.
    """
    text = str(text)
    if text.strip() in {"", "0", "0.0"}:
        return 0.0
    match = _RATE.match(text.strip())
    rate = float(match[1]) * {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}[match[2].lower()] if match else 0.0
    if rate < SMALLEST:
        raise UsageError(f"--limit {text!r} is not a valid rate", "bytes a second with K, M or G, as in --limit 20M")
    return rate


def size_text(size: float) -> str:
    """Format a number of bytes for people: "312 B", "4.8 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean …?" with the most similar known name, or "" if none is similar enough."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


_SHOWN = 8


def listed(names: Collection[str], most: int = _SHOWN) -> str:
    """Join names with commas; of many only the first ones, and how many more there are: "a, b, … and 6 more"."""
    shown = ", ".join(list(names)[:most])
    more = len(names) - most
    return f"{shown}, … and {more} more" if more > 0 else shown
