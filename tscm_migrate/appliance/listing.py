"""The numbered list of archives that `tsadmin restore` shows: parsed, and chosen from by file name. Pure.

Whether it starts at 0 or 1, how it is sorted, whether it shows links and doubles is not documented; an archive may lie
in the home folder and in the backup folder and so be listed twice (fact 8). Never by position.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NAME = r"threatstop_backup_\d{4}-\d{2}-\d{2}_\d{2}_\d{2}_\d{2}\.tsbak(?:\.gpg)?"
_ENTRY = re.compile(
    rf"(?:^|(?<=\s))[\[(<#*]*(?P<number>\d{{1,6}})\s*[\])>.:,=|-]*\s+(?:[^\s\d][^\n]*?\s)??['\"]?(?P<folder>(?:[^\s'\"]*/)?)(?P<name>{_NAME})(?![\w.-])"
)
_TRAILING = re.compile(
    rf"(?P<folder>(?:[^\s'\"]*/)?)(?P<name>{_NAME})(?![\w.-]).*?[\[(#]\s*(?P<number>\d{{1,6}})\s*[\])]?\s*$"
)
_ASKS_NUMBER = re.compile(
    r"\b(?:number|select\w*|choose|choice|pick|which|index|option|enter|type|specify|backup|archive|restore\s+from|#)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Entry:
    """A row: its `number` as shown, the archive's `folder` ("" where only the name is shown) and `name`."""

    number: int
    folder: str
    name: str


def entries(lines: Iterable[str]) -> list[Entry]:
    """The numbered archives among `lines`; rows that show a symlink (`… -> …`, threatstop_latest) are left out."""
    found = []
    for line in lines:
        if "threatstop_latest" in line or "->" in line:
            continue
        matches = list(_ENTRY.finditer(line)) or list(_TRAILING.finditer(line))
        found += [Entry(int(m["number"]), m["folder"].rstrip("/"), m["name"]) for m in matches]
    return found


def pick(lines: Sequence[str], name: str, folder: str) -> Entry | None:
    """The row of the archive `name`, the one in `folder` where several are shown; None where it is not listed.

    A row without a folder counts when no row of that name shows one.
    """
    named = [entry for entry in entries(lines) if entry.name == name]
    here = [entry for entry in named if entry.folder == folder]
    bare = [entry for entry in named if not entry.folder]
    return next(iter(here or bare or named), None)


def asks_for_archive(question: str, lines: Sequence[str]) -> bool:
    """Whether `question`, after `lines`, wants one of the listed archives."""
    if not entries(lines):
        return False
    return bool(_ASKS_NUMBER.search(question)) or bool(re.fullmatch(r"\W*(?:\[?\d+\s*-\s*\d+\]?)?\W*", question))
