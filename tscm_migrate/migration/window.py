"""Change windows: when a cutover may begin, and by when its downtime has to be over. Pure, but for `wait`."""

import contextlib
import os
import time as clock
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tscm_migrate.errors import UsageError, WindowClosed
from tscm_migrate.events import Emit, Waiting
from tscm_migrate.util.text import duration_text

_LONGEST = timedelta(days=7)


@dataclass
class Clock:
    """The time, replaceable in tests."""

    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    sleep: Callable[[float], None] = clock.sleep


@dataclass(frozen=True)
class Window:
    """When a cutover may begin (`opens`) and by when its downtime has to be over (`closes`).

    Aware times; None means no limit.
    """

    opens: datetime | None = None
    closes: datetime | None = None

    def text(self, zone: tzinfo) -> str:
        """Return both limits in the site's zone and in the workstation's, or "any time"."""
        limits = [(word, at) for word, at in (("from", self.opens), ("until", self.closes)) if at is not None]
        if not limits:
            return "any time"
        here = " ".join(f"{word} {at.astimezone(zone):%Y-%m-%d %H:%M}" for word, at in limits)
        there = " ".join(f"{word} {at.astimezone():%Y-%m-%d %H:%M}" for word, at in limits)
        return f"{here} {zone} ({there} on this workstation)"

    def require(self, now: datetime, seconds: float, zone: tzinfo) -> None:
        """Check that a downtime of `seconds` that begins now is over before the window closes.

        Raises:
            WindowClosed: it is not.
        """
        if self.closes is None or now + timedelta(seconds=seconds) <= self.closes:
            return
        left = max((self.closes - now).total_seconds(), 0.0)
        raise WindowClosed(
            f"the estimated downtime is {duration_text(seconds)}, and the window closes in {duration_text(left)} "
            f"(at {self.closes.astimezone(zone):%Y-%m-%d %H:%M} {zone})"
        )


def zone_of(name: str) -> tzinfo:
    """Return a time zone by its name; "" is the workstation's own.

    Raises:
        UsageError: there is no such zone.
    """
    try:
        return ZoneInfo(name) if name else _own_zone()
    except (ZoneInfoNotFoundError, ValueError, OSError):
        fix = 'use a name of the time zone database, as in zone = "Europe/Berlin"'
        raise UsageError(f"{name!r} is not a known time zone", fix) from None


def _own_zone() -> tzinfo:
    """Return the workstation's zone, by its name where the system tells it, so that clock changes are known."""
    link = Path("/etc/localtime")
    name = os.environ.get("TZ") or (str(link.resolve()).partition("/zoneinfo/")[2] if link.is_symlink() else "")
    with contextlib.suppress(ZoneInfoNotFoundError, ValueError, OSError):
        if name:
            return ZoneInfo(name.removeprefix(":"))
    return datetime.now().astimezone().tzinfo or UTC


def parse(option: str, text: str) -> datetime | time:
    """Read a time of day (22:00) or a date with a time (2026-11-28 22:00, with or without an offset).

    Raises:
        UsageError: it is neither.
    """
    for shape in ("%H:%M", "%H:%M:%S"):
        try:
            return datetime.strptime(text, shape).time()  # noqa: DTZ007 - of the site's zone, see `moment`
        except ValueError:
            continue
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        fix = f'use {option} 22:00 for the next 22:00, or {option} "2026-11-28 22:00"'
        raise UsageError(f"{option} {text!r} is not a valid time", fix) from None


def moment(value: datetime | time | None, zone: tzinfo, after: datetime) -> datetime | None:
    """Return a time in UTC: a date in the zone, or the next occurrence of a time of day after `after`.

    In UTC, because times of the same zone are compared by their clocks, which is wrong around a clock change. A time
    that a clock change skips is the same number of minutes after the change; of a time that occurs twice a date means
    the first one.

    Raises:
        UsageError: it is beyond the last year that there is, or before the first.
    """
    if value is None:
        return None
    if isinstance(value, datetime):
        try:
            return (value if value.tzinfo else value.replace(tzinfo=zone)).astimezone(UTC)
        except OverflowError:
            raise UsageError(f"{value:%Y-%m-%d} is not a valid date", "use a date of this year or the next") from None
    today = after.astimezone(zone).date()
    times = (
        datetime.combine(today + timedelta(days=day), value, zone).replace(fold=fold).astimezone(UTC)
        for day in (0, 1)
        for fold in (0, 1)
    )
    return next(at for at in times if at > after)


def of_options(not_before: str | None, not_after: str | None, zone: tzinfo, now: datetime) -> Window:
    """Return the window of `--not-before` and `--not-after`.

    Raises:
        UsageError: a time is not valid, the window closes before it opens or is over, or opens in more than a week.
    """
    opens = moment(parse("--not-before", not_before) if not_before else None, zone, now)
    closes = moment(parse("--not-after", not_after) if not_after else None, zone, opens or now)
    if closes is not None and closes <= (opens or now):
        raise UsageError("the window closes before it opens, or is over", "--not-after has to be later")
    if opens is not None and opens > now + _LONGEST:
        raise UsageError("the window opens in more than 7 days", "start it on the day of the change")
    return Window(opens, closes)


def wait(until: datetime | None, what: str, emit: Emit, times: Clock) -> None:
    """Wait until a time; emit the remaining seconds once a second at the end, and every ten seconds before."""
    if until is None:
        return
    began = times.now()
    while (left := (until - times.now()).total_seconds()) > 0:
        emit(Waiting(what, (times.now() - began).total_seconds(), (until - began).total_seconds(), planned=True))
        times.sleep(min(left, 10.0 if left > 60 else 1.0))
