"""Names of archives: which are valid, and when the archives were made. Pure.

File names from an appliance are hostile: only names of the documented form are used in a path.

By the documents, the time in a name is in UTC. An appliance that uses its local time is ahead of UTC or behind it; the
modification time of the file (written shortly after the name was chosen) shows by how much. A file that was copied
later has a later time, which must not be taken for a time zone.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from tscm_migrate.model import Archive

_NAME = re.compile(r"threatstop_backup_(\d{4})-(\d{2})-(\d{2})_(\d{2})_(\d{2})_(\d{2})\.tsbak(\.gpg)?", re.ASCII)

_FIRST, _LAST = 1990, 9000  # years; later or earlier times cannot be converted to every time zone
_HOUR, _QUARTER, _NONE = timedelta(hours=1), timedelta(minutes=15), timedelta(0)
_EARLY = timedelta(minutes=5)  # a file's time may be that much before its name's: clocks differ
_LONG = timedelta(hours=2)  # longest duration of a backup
_EAST, _WEST = timedelta(hours=14), timedelta(hours=-12)  # the extreme time zones


def taken_at(name: str) -> datetime | None:
    """Return the time in the name, as aware UTC; None if the name is not of the documented form."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        found = datetime(*(int(part) for part in match.groups()[:6]), tzinfo=UTC)  # type: ignore[misc,arg-type]
    except ValueError:
        return None
    return found if _FIRST <= found.year < _LAST else None


def acceptable(name: str) -> bool:
    """Return whether `name` is a documented archive name, and so safe as the last part of a path."""
    return taken_at(name) is not None


def when(archive: Archive) -> datetime | None:
    """Return when an archive was made (UTC): by its name, or by its file's time, too (see `corrected`)."""
    return datetime.fromtimestamp(archive.taken, UTC) if archive.taken else taken_at(archive.name)


@dataclass(frozen=True)
class Times:
    """One time for each archive, aware UTC, and by how much the names are ahead of UTC; None if it is not known."""

    taken: tuple[datetime, ...]
    offset: timedelta | None = None


def corrected(named_times: Sequence[tuple[str, float]], zone: timedelta | None = None) -> Times:
    """Return when archives were made.

    Args:
        named_times: names, and modification times in seconds of the epoch; 0 if not known.
        zone: time zone of the appliance, as `date +%z` prints it; None if not known.
    """
    named = [taken_at(name) or datetime.fromtimestamp(0, UTC) for name, _ in named_times]
    ahead = [_ahead(name, modified) for name, (_, modified) in zip(named, named_times, strict=True)]
    offsets = _offsets(ahead, zone)
    usual = Counter(offset for offset in offsets if offset is not None).most_common(1)
    common = usual[0][0] if usual else None
    own = [common or _NONE if offset is None else offset for offset in offsets]
    return Times(tuple(_before(name, offset) for name, offset in zip(named, own, strict=True)), common)


def _offsets(ahead: Sequence[timedelta | None], zone: timedelta | None) -> list[timedelta | None]:
    offsets = [_shown(difference, zone) for difference in ahead]
    return _alike(ahead) if all(offset is None for offset in offsets) else offsets


def _before(name: datetime, offset: timedelta) -> datetime:
    """Return the name's time in UTC; unchanged at the ends of the range of datetime."""
    try:
        return name - offset
    except OverflowError:
        return name


def with_time(archive: Archive, when: datetime) -> Archive:
    """Return the archive with the time at which it was made."""
    return replace(archive, taken=when.timestamp())


def _ahead(name: datetime, modified: float) -> timedelta | None:
    """Return by how much the name's time, read as UTC, is ahead of the file's; None if no time zone is that far."""
    if not 0 < modified < 1 << 36:
        return None
    difference = name - datetime.fromtimestamp(modified, UTC)
    return difference if _WEST - _LONG <= difference <= _EAST + _EARLY else None


def _shown(ahead: timedelta | None, zone: timedelta | None) -> timedelta | None:
    """Return the offset that fits: none, the appliance's own with or without summer time, or any to the east.

    A file is never older than its name, so a name that is ahead of its file is in local time.
    """
    if ahead is None:
        return None
    known = {_NONE} if not zone else {_NONE, zone, zone - _HOUR, zone + _HOUR}
    fits = [offset for offset in known if -_EARLY <= offset - ahead <= _LONG]
    if ahead > _EARLY and not (fits and zone):
        return _next(ahead)
    return min(fits, key=lambda offset: abs(offset - ahead), default=None)


def _next(ahead: timedelta) -> timedelta:
    """Return the smallest offset of quarters of an hour with which the file is not older than its name."""
    return -(-(ahead - _EARLY) // _QUARTER) * _QUARTER


def _alike(ahead: Sequence[timedelta | None]) -> list[timedelta | None]:
    """Return the offsets to the west if all names show the same one, by half hours; otherwise none counts.

    They may differ by summer time.
    """
    shown = [None if difference is None else _next(difference) for difference in ahead]
    west = [offset for offset in shown if offset is not None]
    alike = west and max(west) - min(west) <= _HOUR and not any(offset % (2 * _QUARTER) for offset in west)
    return shown if alike else [None] * len(shown)
