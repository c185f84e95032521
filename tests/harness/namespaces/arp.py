"""What the watcher saw on the wire, and whether two hosts answered for one address (pure)."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Seen:
    """One answer to an ARP request, or one announcement.

    `at` is unix time, `round` the number of the question that was open, `mac` in lower case with colons.
    """

    at: float
    round: int
    kind: str
    ip: str
    mac: str


@dataclass(frozen=True)
class Collision:
    """Two or more hardware addresses answered to one question; `at` is the first answer's time."""

    at: float
    ip: str
    macs: tuple[str, ...]


def read(lines: Iterable[str]) -> list[Seen]:
    """The watcher's file; a line that is still being written is left out."""
    return [Seen(**json.loads(line)) for line in lines if line.endswith("}\n")]


def collisions(seen: Iterable[Seen]) -> list[Collision]:
    """Every question that more than one host answered, in order of time."""
    asked: dict[tuple[int, str], list[Seen]] = defaultdict(list)
    for one in seen:
        if one.kind == "reply":
            asked[one.round, one.ip].append(one)
    found = [
        Collision(answers[0].at, address, tuple(sorted({one.mac for one in answers})))
        for (_, address), answers in asked.items()
        if len({one.mac for one in answers}) > 1
    ]
    return sorted(found, key=lambda one: one.at)
