"""ARP answers that the watcher recorded, and whether two hosts answered for one address (pure)."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class ArpReply:
    """An answer to an ARP request, or an announcement.

    `at` is unix time, `round` the number of the last request, `mac` is in lower case with colons.
    """

    at: float
    round: int
    kind: str
    ip: str
    mac: str


@dataclass(frozen=True)
class Collision:
    """Several hardware addresses that answered one request; `at` is the time of the first answer."""

    at: float
    ip: str
    macs: tuple[str, ...]


def read(lines: Iterable[str]) -> list[ArpReply]:
    """Read the watcher's file, without a line that is still being written."""
    return [ArpReply(**json.loads(line)) for line in lines if line.endswith("}\n")]


def collisions(replies: Iterable[ArpReply]) -> list[Collision]:
    """Return each request that more than one host answered, in order of time."""
    by_request: dict[tuple[int, str], list[ArpReply]] = defaultdict(list)
    for one in replies:
        if one.kind == "reply":
            by_request[one.round, one.ip].append(one)
    collided = [
        Collision(answers[0].at, address, tuple(sorted({one.mac for one in answers})))
        for (_, address), answers in by_request.items()
        if len({one.mac for one in answers}) > 1
    ]
    return sorted(collided, key=lambda one: one.at)
