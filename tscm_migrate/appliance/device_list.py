"""Parses the names in the output of `tsadmin list`, whose form is not documented. Pure."""

import re
from collections.abc import Collection, Sequence

from tscm_migrate.appliance import tables
from tscm_migrate.appliance.device_discovery import FAMILY
from tscm_migrate.appliance.parsers import LOG_TAG, SAFE_DEVICE

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


def read(text: str, known: Collection[str] = ()) -> tuple[str, ...] | None:
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
    """Return the names in lines without a table, one a line."""
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
