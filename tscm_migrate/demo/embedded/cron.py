"""A small cron: reads an appliance's cron.d at each minute, and returns the commands to start."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9_-]+")  # as on Debian: a file with a dot in its name is not read
_VARIABLE = re.compile(r"\s*[A-Za-z_]\w*\s*=")


def _matches(field: str, value: int, low: int, high: int) -> bool:
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, last = low, high
        if span != "*":
            begin, _, end = span.partition("-")
            first, last = int(begin), int(end or begin)
        if first <= value <= last and (value - first) % int(step or 1) == 0:
            return True
    return False


def is_due(fields: list[str], now: datetime) -> bool:
    """Return whether five fields (minute, hour, day, month, weekday) match this minute; days as in Vixie cron.

    Raises:
        ValueError: a field does not consist of numbers.
    """
    minute, hour, day, month, weekday = fields
    if not (
        _matches(minute, now.minute, 0, 59) and _matches(hour, now.hour, 0, 23) and _matches(month, now.month, 1, 12)
    ):
        return False
    today = now.isoweekday()
    by_day = _matches(day, now.day, 1, 31)
    by_week = _matches(weekday, today, 0, 7) or (today == 7 and _matches(weekday, 0, 0, 7))
    return by_day or by_week if "*" not in (day[0], weekday[0]) else by_day and by_week


def due(folder: Path, now: datetime) -> list[str]:
    """Return the commands of all entries that are due; files that cannot be read or parsed are skipped."""
    commands = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not _NAME.fullmatch(path.name) or not path.is_file():
            continue
        text = path.read_text("utf-8", "replace")
        if not text.endswith("\n"):
            continue  # as in cron: an entry without a final newline is ignored
        for line in text.splitlines():
            words = line.split(None, 6)
            if line.lstrip().startswith("#") or _VARIABLE.match(line) or len(words) < 7:
                continue
            try:
                if is_due(words[:5], now):
                    commands.append(words[6])
            except ValueError:
                continue
    return commands
