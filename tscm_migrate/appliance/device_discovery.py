"""Finds the devices of an appliance whose layout is not documented, by heuristics; parses `tsadmin list`. Pure.

A name counts as a device if two independent sources contain it: the etc tree (a file or folder has that name), and
`tsadmin list` or the output of the restore. A name from a single source is a guess, and callers report it as such.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

from tscm_migrate.appliance import tables
from tscm_migrate.appliance.parsers import LOG_TAG, SAFE_DEVICE, without_ending
from tscm_migrate.model import Paths

# The documented families: a folder of this name contains devices, or is a device of that name.
FAMILY = re.compile(
    r"(?:cisco[_-]?)?(?:asa(?:[_-]?rest(?:[_-]?api)?)?|isr|ios|ftd|firepower)|cisco|forti(?:gate|net|os)|palo[_-]?alto|"
    r"pan(?:[_-]?os)?|infoblox|nios|a10|acos|check[_-]?point|gaia|(?:isc[_-]?)?bind[_-]?9?|auto|web[_-]?auto(?:mation)?",
    re.IGNORECASE,
)
_ROLE = re.compile(  # names of files in a device's folder that name their role, not the device
    r"(?:settings?|config(?:uration)?|policy|policies|device|credentials?|main|meta|info|state|data)", re.IGNORECASE
)
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]*", re.ASCII)


# Files beside those of devices: of the logging, BIND's original files, backup copies.
NO_DEVICE = re.compile(
    r"log4(?:perl|j|perl[._-].*)\w*\.\w+|bind_stock_configs\b.*|.+\.(?:tgz|tar|gz|zip|bz2|xz|bak|old|orig|save|tmp|sw[op]|lock|pid|"
    r"pem|crt|log|rpm(?:new|save|orig)|dpkg-\w+)|.*~",
    re.IGNORECASE,
)


def in_tree(paths: Iterable[str]) -> frozenset[str]:
    """Return all names in these paths that can be a device's: folders, and files with and without their ending."""
    names: set[str] = set()
    for path in paths:
        parts = PurePosixPath(path).parts
        if parts and NO_DEVICE.fullmatch(parts[-1]):
            parts = parts[:-1]
            names.update(parts)
            continue
        names.update(parts)
        names.update(without_ending(part) for part in parts[-1:])
    return frozenset(name for name in names if SAFE_DEVICE.fullmatch(name))


def etc_devices(text: str, _paths: Paths | None = None) -> dict[str, Any]:
    """Parse paths, one on each line: device names are their last parts without an ending such as .conf."""
    files = [PurePosixPath(line.strip()).name for line in text.split("\n")]
    names = {without_ending(name) for name in files if not NO_DEVICE.fullmatch(name)}
    return {"in_etc": tuple(sorted(name for name in names if SAFE_DEVICE.fullmatch(name)))}


def in_text(text: str, known: Collection[str]) -> tuple[str, ...]:
    """Return the names of the etc tree that a program has printed, in that order, also in capitals."""
    capitals: dict[str, list[str]] = {}
    for name in known:
        capitals.setdefault(name.upper(), []).append(name)
    spelled = {upper: names[0] for upper, names in capitals.items() if len(names) == 1}
    words = (word.rstrip(".-") for word in _WORD.findall(tables.unlabelled(text)))
    found = (
        one if one in known else spelled[one]
        for word in words for one in (word, without_ending(word)) if one in known or one in spelled
    )  # fmt: skip
    return tuple(dict.fromkeys(found))


def appeared(before: Iterable[str], after: Iterable[str]) -> tuple[str, ...]:
    """Return the names that were added to an etc tree, on the first level at which the new paths differ.

    Args:
        before: paths of the files, as they were.
        after: the same later.
    """
    had = {str(parent) for path in before for parent in (PurePosixPath(path), *PurePosixPath(path).parents)}
    came = [PurePosixPath(path) for path in after if path not in had]
    new = [path.parts for path in came if not NO_DEVICE.fullmatch(path.name)]
    tops = _tops(new, had)
    leaves = set(new)
    names = {without_ending(top[-1]) if top in leaves else top[-1] for top in tops}
    return tuple(sorted(name for name in names if SAFE_DEVICE.fullmatch(name)))


def _tops(new: Collection[tuple[str, ...]], had: Collection[str]) -> set[tuple[str, ...]]:
    """Return the beginnings of the new paths: where they differ first, or one level below folders of families."""
    tops = {parts[: _first_new(parts, had)] for parts in new}
    while len(tops) == 1 and (deeper := _one_deeper(tops, new)):
        tops = deeper
    families = all(FAMILY.fullmatch(top[-1]) and top not in new for top in tops)
    return _one_deeper(tops, new) if families else tops


def _one_deeper(tops: set[tuple[str, ...]], paths: Collection[tuple[str, ...]]) -> set[tuple[str, ...]]:
    return {p[: len(top) + 1] for top in tops for p in paths if len(p) > len(top) and p[: len(top)] == top}


def _first_new(parts: tuple[str, ...], had: Collection[str]) -> int:
    return next(n for n in range(1, len(parts) + 1) if str(PurePosixPath(*parts[:n])) not in had)


@dataclass(frozen=True)
class Witnesses:
    """All sources for the devices of a migration.

    Attributes:
        known: from the facts of the old appliance or from the inventory; these count without a second source.
        archived: from the members of the archive.
        mentioned: names of the old appliance's etc tree that the restore has printed.
        before: paths below the new appliance's etc folder before the restore, with their hashes if these are known.
        after: the same after the restore.
    """

    known: Sequence[str]
    archived: Sequence[str]
    mentioned: Sequence[str]
    before: Collection[str]
    after: Collection[str]


def choose(seen: Witnesses) -> tuple[tuple[str, ...], bool]:
    """Return the devices to update, and whether they are a guess from a single source."""
    here = in_tree(seen.after)
    archived = [name for name in seen.archived if name in here or not here]
    if seen.known or archived:
        return tuple(dict.fromkeys([*seen.known, *archived])), False
    fresh = in_tree(seen.after) - in_tree(seen.before) | in_tree(_overwritten(seen.before, seen.after))
    if both := [name for name in seen.mentioned if name in fresh]:
        return _one_a_path(both, seen.after), False
    if laid := appeared(seen.before, seen.after):
        return laid, True
    return tuple(name for name in seen.mentioned if name in here), True


def _overwritten(before: Collection[str], after: Collection[str]) -> list[str]:
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        return []
    return [path for path in after if before.get(path, after[path]) != after[path]]


def _one_a_path(names: Sequence[str], paths: Collection[str]) -> tuple[str, ...]:
    """Return one name for each path that contains several: a family's folder, a device, one of its files."""
    left = _outermost(names, _nested(names, paths))
    rest = _nested(left, paths)
    dropped = {below if len(rest) == 1 else above for above, below in rest}
    return tuple(name for name in left if name not in dropped)


def _outermost(names: Sequence[str], pairs: set[tuple[str, str]]) -> list[str]:
    """Return the names without the files of devices, and without the folders of families."""
    shared = {below for _, below in pairs if _ROLE.fullmatch(below) or len(_above(below, pairs)) > 1}
    owners = {above for above, below in pairs if below in shared}
    inside = {below for above, below in pairs if above in owners}
    families = {above for above, _ in pairs if FAMILY.fullmatch(above)} - owners
    return [name for name in names if name not in inside | families]


def _above(name: str, pairs: set[tuple[str, str]]) -> set[str]:
    return {above for above, below in pairs if below == name}


def _nested(names: Collection[str], paths: Iterable[str]) -> set[tuple[str, str]]:
    """Return which of these names are directly above which others, without those in between."""
    pairs: set[tuple[str, str]] = set()
    for path in paths:
        parts = PurePosixPath(path).parts
        chain = [name for name in (*parts[:-1], without_ending(parts[-1])) if name in names]
        pairs.update(pairwise(dict.fromkeys(chain)))
    return pairs


def about(files: dict[str, str], names: Collection[str]) -> dict[str, str]:
    """Return the files whose path contains one of these devices' names; all files if none does."""
    chosen = {path: digest for path, digest in files.items() if in_tree([path]) & set(names)}
    return chosen or files


_NO_LIST = re.compile(
    r"(?<![\w.-])(?:unknown|invalid|unrecogni[sz]ed|usage|not\s+(?:found|supported|known|recogni[sz]ed|a\s+valid)|no\s+such|do(?:es)?\s+not\s+know|"
    r"cannot|can(?:'t|\s+not)|could\s*n(?:o|')t|unable\s+to|fail(?:ed|ure)|errors?|denied|refused|timed\s+out)(?![\w-]|\.\w)"
    r"|\[\s*(?:ERROR|FATAL)\s*\]|\bat\s+\S+\s+line\s+\d+",
    re.IGNORECASE,
)
_NOTHING = re.compile(
    r"\W*(?:0\s+(?:\w+\s+)?(?:devices?|firewalls?|device\(s\))\b.*|(?:there\s+are\s+)?no\s+(?:\w+\s+)?(?:devices?|firewalls?)\b.*|"
    r"(?:\w+\s+)?(?:devices?|total)\s*[:=]\s*(?:0|none)|none|nothing)\W*",
    re.IGNORECASE,
)
_SUMMARY = re.compile(
    r"\W*(?:\d+\s+(?:\w+\s+)?(?:devices?|firewalls?|rows?|entries|device\(s\))\b.*|.*\btotal\b.*|.*:)\W*", re.IGNORECASE
)
_SENTENCE = re.compile(r"[a-z]{2}[.!?:]$|^(?:[A-Za-z',]+ ){4}")  # a sentence, which is not a row of a table
_NAME_HEADINGS = (
    "nickname", "device nickname", "device name", "devicename", "name", "device", "firewall", "hostname", "host name",
    "host", "appliance", "reference", "internal device reference",
)  # fmt: skip
_OTHER_HEADINGS = frozenset(
    ("id", "device id", "tdid", "key", "type", "device type", "model", "manufacturer", "vendor", "product", "family",
     "status", "state", "address", "ip", "ip address", "no", "nr", "", "version", "policy", "last update", "updated")
)  # fmt: skip
_HEADINGS = frozenset(
    {*(word for heading in _NAME_HEADINGS for word in heading.split()), "names", "devices", "firewalls", "total",
     "configured", "type", "no", "nr", "id", "#", "model", "manufacturer", "vendor", "status", "state", "address",
     "ip", "tdid", "version", "policy"}
)  # fmt: skip
_KEYED = re.compile(r"\W*(?:device\s*|nick\s*)?name\s*[:=]\s*['\"]?(\S+?)['\",]*\s*", re.IGNORECASE)
_ENUMERATED = re.compile(r"\W*(?:\w+\s+){0,2}(?:devices?|firewalls?)(?:\s*\(\d+\))?\s*:\s*(\S.*)", re.IGNORECASE)
_BULLET = re.compile(r"^\s*(?:[*•+-]\s+|\[?\d{1,4}[\]).:]\s+)?")


def names_in_list(text: str, known: Collection[str] = ()) -> tuple[str, ...] | None:
    """Return the names; () if the output says that there are none, None if it is not understood as a list.

    Args:
        text: a table or plain lines, perhaps with numbers, types and states.
        known: names of the etc tree: if no heading marks the column of the names, the column with most of these is
            used, and only these count.
    """
    every = [*tables.ruled(text)] or [*tables.headed(text, _NAME_HEADINGS)]
    filled = [table for table in every if table.rows]
    if every and not filled:
        return ()
    if not filled:
        return _without_table(text, known)
    headed = _headed(filled)
    if headed is not None and (names := _names_in(*headed)) is not None:
        return names
    if best := _most_known(filled[0].rows, known):
        return best
    return None if headed else _names_in(filled[0], _likeliest(filled[0]))


def _headed(filled: Sequence[tables.Table]) -> tuple[tables.Table, int] | None:
    """Return the first table that has a column of names, with its index."""
    columns = ((table, table.column(*_NAME_HEADINGS)) for table in filled)
    return next(((table, column) for table, column in columns if column is not None), None)


def _without_table(text: str, known: Collection[str]) -> tuple[str, ...] | None:
    if names := _explicit(text) or _most_known(_rows(text), known):
        return names
    return None if _NO_LIST.search(text) else _names_in_lines(text)


def _names_in(table: tables.Table, column: int) -> tuple[str, ...] | None:
    """Return the names in one column; None if a cell contains more than a name."""
    names: list[str] = []
    for row, cell in zip(table.rows, table.cells(column), strict=True):
        if _SUMMARY.fullmatch(" ".join(row)) or _NOTHING.fullmatch(" ".join(row)):
            continue
        name = tables.without_labels(cell).strip("'\"*[]():,")
        if SAFE_DEVICE.fullmatch(name):
            names.append(name)
        elif name or any(row):
            return None
    return tuple(dict.fromkeys(names))


def _likeliest(table: tables.Table) -> int:
    """Return the index of the first column that can be names: not numbers, types, or one word for all rows."""

    def fits(cells: list[str]) -> bool:
        names = [tables.without_labels(cell) for cell in cells]
        plain = all(SAFE_DEVICE.fullmatch(name) for name in names)
        kinds = all(name.isdigit() or FAMILY.fullmatch(name) for name in names)
        return plain and not kinds and (len(names) == 1 or len(set(names)) > 1)

    width = max(len(row) for row in table.rows)
    columns = [at for at in range(width) if at >= len(table.heading) or table.label(at) not in _OTHER_HEADINGS]
    return next((at for at in columns if fits(table.cells(at))), 0)


def _rows(text: str) -> list[tuple[str, ...]]:
    return [tuple(tables.words(line.replace("|", " ").replace(",", " "))) for line in tables.plain(text)]


def _most_known(rows: Sequence[tuple[str, ...]], known: Collection[str]) -> tuple[str, ...]:
    """Return the known names of the column that has most of them."""
    columns: dict[int, list[str]] = {}
    for row in rows:
        for index, cell in enumerate(row):
            if (name := tables.without_labels(cell).strip("'\"*[]():,")) in known:
                columns.setdefault(index, []).append(name)
    best = max(columns, key=lambda index: (len(set(columns[index])), -index), default=None)
    return tuple(dict.fromkeys(columns[best])) if best is not None else ()


def _explicit(text: str) -> tuple[str, ...]:
    """Return the names in lines such as `name: NAME` and `devices: NAME, NAME`; () if there are none."""
    names: list[str] = []
    for raw in tables.plain(text):
        line = LOG_TAG.sub("", raw)
        if _NOTHING.fullmatch(line):
            continue
        if match := _KEYED.fullmatch(line):
            names.append(match[1])
        elif match := _ENUMERATED.fullmatch(line):
            names += [name for name in re.split(r"[\s,;]+|\band\b", tables.without_labels(match[1])) if name]
    return tuple(dict.fromkeys(names)) if all(SAFE_DEVICE.fullmatch(name) for name in names) else ()


def _names_in_lines(text: str) -> tuple[str, ...] | None:
    """Return the names in lines without a table, one on each line."""
    names: list[str] = []
    odd = nothing = False
    for raw in tables.plain(text):
        untagged = LOG_TAG.sub("", raw)
        if _NOTHING.fullmatch(untagged):
            nothing = True
        elif untagged != raw:
            odd = odd or _may_name(untagged)
        elif raw.strip(" -=+|"):
            name = _name_in(raw)
            odd = odd or name is None
            names += [name] if name else []
    if not names:
        return () if nothing or not odd else None
    return tuple(dict.fromkeys(names)) if all(map(SAFE_DEVICE.fullmatch, names)) else None


def _name_in(raw: str) -> str | None:
    """Return the name in a line; "" for a heading or a total, None for something else."""
    line = _BULLET.sub("", raw).strip()
    if _SENTENCE.search(line):
        return None
    cells = _cells(line)
    if not cells or all(cell.lower() in _HEADINGS for cell in cells) or _SUMMARY.fullmatch(line):
        return ""
    first = next((cell for cell in cells if not FAMILY.fullmatch(cell)), cells[0])
    return first if SAFE_DEVICE.fullmatch(first) else None


def _cells(line: str) -> list[str]:
    """Return the cells of a line without the vendor's labels, and without the word "device" before a name."""
    words = tables.words(tables.without_labels(line).replace("|", " "))
    cells = [cell for word in words if (cell := word.strip("'\"|,[]():"))]
    return cells[1:] if len(cells) > 1 and cells[0].lower() == "device" else cells


def _may_name(untagged: str) -> bool:
    """Return whether a log line may be a row of the list: one word, or a word with a digit or a mark."""
    cells = tables.without_labels(untagged).split()
    named = len(cells) == 1 or any(re.search(r"\w[-_.\d]", cell) for cell in cells)
    return named and not _SUMMARY.fullmatch(untagged)
