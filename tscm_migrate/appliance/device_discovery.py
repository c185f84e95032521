"""Finds the devices of an appliance whose layout is not documented, by heuristics. Pure.

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
from tscm_migrate.appliance.parsers import SAFE_DEVICE, without_ending
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
    """Parse paths, one a line: device names are their last parts without an ending such as .conf."""
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
