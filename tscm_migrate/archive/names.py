"""Names of archives: which are valid, and when they were made. Pure.

File names from an appliance are hostile: only names of the documented form are used in a path.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tscm_migrate.model import Archive

_NAME = re.compile(r"threatstop_backup_(\d{4})-(\d{2})-(\d{2})_(\d{2})_(\d{2})_(\d{2})\.tsbak(\.gpg)?", re.ASCII)

_FIRST, _LAST = 1990, 9000  # years; later or earlier times cannot be converted to every time zone


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
    """Return when an archive was made (UTC): by its name, or by its file's time, too (see `dated`)."""
    return datetime.fromtimestamp(archive.taken, UTC) if archive.taken else taken_at(archive.name)
