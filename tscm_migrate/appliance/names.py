"""Names of archives: which are acceptable, when they were made, which is newest. Pure.

File names that come from an appliance are hostile: nothing but the documented form is ever used in a path.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tscm_migrate.site import Archive

_NAME = re.compile(r"threatstop_backup_(\d{4})-(\d{2})-(\d{2})_(\d{2})_(\d{2})_(\d{2})\.tsbak(\.gpg)?", re.ASCII)


def taken_at(name: str) -> datetime | None:
    """When the archive `name` was made: aware UTC, from its name; None where the name is not of the documented form."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        return datetime(*(int(part) for part in match.groups()[:6]), tzinfo=UTC)  # type: ignore[misc,arg-type]
    except ValueError:
        return None


def acceptable(name: str) -> bool:
    """Whether `name` is a documented archive name, and so safe as the last part of a path."""
    return taken_at(name) is not None


def newest(archives: Iterable[Archive]) -> Archive | None:
    """The archive with the latest time in its name; never by a symlink, which may dangle or be ambiguous (fact 5)."""
    dated = [(taken_at(archive.name), archive.name, archive) for archive in archives]
    known = [(when, name, archive) for when, name, archive in dated if when is not None]
    return max(known, key=lambda item: (item[0], item[1]))[2] if known else None
