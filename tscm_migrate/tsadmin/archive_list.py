"""Parses the numbered list of archives that `tsadmin restore` shows, and chooses from it by file name. Pure.

It is not documented whether the list starts at 0 or 1, how it is sorted, and whether it shows links; an archive can be
in the home folder and in the backup folder, and so be listed twice. So no choice is made by position.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tscm_migrate.tsadmin.spelling import vocabulary, words_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

_NAME = re.compile(
    r"(?P<folder>(?:[^\s'\"]*/)?)(?P<name>threatstop_backup_\d{4}-\d\d-\d\d_\d\d_\d\d_\d\d\.tsbak(?:\.gpg)?)(?![\w.-])",
    re.IGNORECASE | re.ASCII,  # some programs print in capitals
)
# A row that shows the time of an archive without its name.
_TIME = re.compile(
    r"(?<![\w.-])(?P<day>\d{4}[-/.]\d\d[-/.]\d\d)[T\s_,]+(?:at\s+)?(?P<time>\d\d:\d\d(?::\d\d)?)(?![\d:])",
    re.IGNORECASE | re.ASCII,
)
# Before the number of a row: brackets, a marker of the default, the border of a table, "Backup #".
_LEADING = re.compile(
    r"^\W*(?:[A-Za-z.]+\s*#?\s*(?=\d))?(?P<key>\d{1,6}|[A-Za-z](?=\s*[)\].:]))(?![\w/]|[-:.]\d)", re.ASCII
)
_OPTION = re.compile(r"^\W*(?P<key>\d{1,6}|[A-Za-z])\s*[)\].:=-]\s*\S", re.ASCII)
_BEHIND = re.compile(r"[\[(#]\s*(?P<key>\d{1,6})\s*[\])]?\s*$", re.ASCII)
_NEXT = re.compile(r"(?<![\w.-])[\[(<#]*(?P<key>\d{1,6})\s*[)\].:>]+\s*(?:\S*/)?$", re.ASCII)
_LINK = re.compile(r"threatstop_latest|\.tsbak(?:\.gpg)?['\"]?\s*(?:->|→|=>)")


@dataclass(frozen=True)
class ListedArchive:
    """A row: its `number` as shown, the archive's `folder` ("" if only the name is shown) and `name`.

    If only a time is shown, `name` is the beginning of an archive name: date, hour, minute, perhaps second.
    """

    number: str
    folder: str
    name: str


def entries(lines: Iterable[str]) -> list[ListedArchive]:
    """Return the numbered archives in `lines`, without rows that show a symbolic link (`… -> …`, threatstop_latest)."""
    return [entry for line in lines if not _LINK.search(line) for entry in _row(line)]


def key(line: str) -> str | None:
    """Return what is typed for a row of a menu; None if the line is not one."""
    found = _OPTION.match(line)
    return found["key"].lower() if found else None


def keys(lines: Iterable[str]) -> set[str]:
    """Return what is typed for the rows of the list."""
    lines = list(lines)
    return {row.number.lower() for row in (*entries(lines), *dated(lines))}


def dated(lines: Iterable[str]) -> list[ListedArchive]:
    """Return the rows of a list without file names, by the time that they show: a key, a date, an hour and a minute."""
    found: list[ListedArchive] = []
    for line in lines:
        key, times = _LEADING.match(line), list(_TIME.finditer(line))
        if _NAME.search(line):
            return []
        if key is not None and len(times) == 1 and key.end() <= times[0].start():
            when = re.sub(r"[/.]", "-", times[0]["day"]) + "_" + times[0]["time"].replace(":", "_")
            found.append(ListedArchive(key["key"], "", f"threatstop_backup_{when}"))
    return found


def _row(line: str) -> list[ListedArchive]:
    """Return the archives of one line: usually one; several if a menu has columns."""
    rows, end = [], 0
    for match in _NAME.finditer(line):
        ahead = line[end : match.start()]
        key = _LEADING.match(ahead) if end == 0 else (_NEXT.search(ahead) or _LEADING.match(ahead.strip()))
        if key is None and end == 0:
            key = _BEHIND.search(line[match.end() :])
        if key is not None:
            rows.append(ListedArchive(key["key"], match["folder"].rstrip("/"), match["name"].lower()))
        end = match.end()
    return rows


# A row with other words may be an action: "1) Delete threatstop_backup_…".
_WORDS = vocabulary(
    "backup backups archive file nr no latest newest current default full plain encrypted gpg kb mb gb kib mib gib bytes utc "
    "at from of mon tue wed thu fri sat sun jan feb mar apr may jun jul aug sep oct nov dec"
)
# A heading with other words may be about another choice: "Backups to delete:". The titles of columns are not a heading.
_COLUMNS = vocabulary(
    "no nr number id file filename name backup archive size date time created taken type encrypted folder path host age"
)
_HEADING = (
    _COLUMNS
    | _WORDS
    | vocabulary(
        "archives available existing present known stored saved made recent several total count all these the following are is there was were "
        "found find list listed listing below on in this that machine system box tscm threatstop tsadmin host appliance here sorted by order oldest "
        "first last most select choose pick one a an which to be restore restored restoring you we i have has can may want and files names index "
        "utc local time zone do would like please enter type with home catalog catalogue points point sets options menu your my our directory disk "
        "local valid s usable used use exist exists saved configuration configurations config version core inventory set which new old "
        "scanning searching looking reading loading checking collecting gathering indexing done complete ok recovery choices starting started process welcome for"
    )
)


# A title above the heading: "Delete a backup" and then "Available backups:".
_TITLE = re.compile(
    r"(?:delete|remove|erase|wipe|purge|prune|drop|discard|destroy|compare|send|upload|export|copy|download|rename|move|share|mount)\b",
    re.IGNORECASE,
)


def unknown_heading(lines: Sequence[str]) -> str:
    """Return the last of these lines that is a heading of the list below them, if it has a word that is not known.

    Above the heading, a title that names another action is returned.
    """
    if title := next((line for line in lines if _TITLE.match(line)), ""):
        return title
    for line in reversed(lines):
        words = set(words_of(re.sub(r"\S*/\S*", " ", line)))
        if not words <= _HEADING:
            return line
        if not words <= _COLUMNS:
            return ""
    return ""


def says_more(line: str) -> bool:
    """Return whether a row of the list has words that do not describe an archive."""
    rest = _TIME.sub(" ", _NAME.sub(" ", line))
    return any(word not in _WORDS and len(word) > 1 for word in words_of(rest))


def names(lines: Iterable[str]) -> set[str]:
    """Return every archive name, numbered or not."""
    return {match["name"].lower() for line in lines if not _LINK.search(line) for match in _NAME.finditer(line)}


def is_row(line: str) -> bool:
    """Return whether a line is a row of a list of archives, or of a link to one."""
    return bool(entries([line]) or _LINK.search(line) or dated([line]))


def has_rows(lines: Sequence[str]) -> bool:
    """Return whether archives are listed in these lines."""
    return bool(entries(lines) or dated(lines))


def pick(lines: Sequence[str], name: str, folder: str, there: Collection[str] = ()) -> ListedArchive | None:
    """Return the row of the archive `name`, in `folder` if several are shown; None if it is not listed.

    A row without a folder counts if no row of that name shows one.

    Args:
        lines: all lines that were shown.
        name: of the archive.
        folder: where it is.
        there: all archives on the appliance. A list that shows only times is read only if each of them is the time of
            one of these in UTC: shifted by an hour, it would show another archive at our time.
    """
    if rows := dated(lines):
        return _of_time(rows, name, there)
    named = [entry for entry in entries(lines) if entry.name == name]
    here = [entry for entry in named if entry.folder == folder]
    bare = [entry for entry in named if not entry.folder]
    return next(iter(here or bare or named), None)


def _of_time(rows: Sequence[ListedArchive], name: str, there: Collection[str]) -> ListedArchive | None:
    ours = [row for row in rows if name.startswith(row.name)]
    known = all(any(one.startswith(row.name) for one in there) for row in rows)
    return ours[0] if known and len(ours) == 1 else None
