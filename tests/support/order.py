"""Which tests run, and their order for parallel workers: each worker starts with its share of the slow tests.

With `--dist worksteal` pytest-xdist gives each worker one contiguous part of the collection. A worker that has finished
takes tests from the end of the longest part; the last two tests of a part are never taken. In the order of the files,
the worker that gets the folder `lab` would run long tests alone at the end.
"""

from __future__ import annotations

import random
from itertools import groupby, islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = TypeVar("Item")

HEAVY = 160  # weight at which a piece ends, so that long tests of one module are run by several workers
PIECE = 8  # tests of one module that stay together, so that its servers start once for them


def sampled(items: Sequence[Item], count: int, seed: int, *, family: Callable[[Item], str]) -> list[Item]:
    """Return the items with at most `count` of each family; the same seed gives the same choice.

    Args:
        items: the collected tests.
        count: number of items of each family.
        seed: seed of the random choice.
        family: returns the name of the parametrised test that an item is a case of.
    """
    families: dict[str, list[int]] = {}
    for number, item in enumerate(items):
        families.setdefault(family(item), []).append(number)
    chosen = {
        number
        for name, cases in families.items()
        for number in (cases if len(cases) <= count else random.Random(f"{seed}:{name}").sample(cases, count))
    }
    return [item for number, item in enumerate(items) if number in chosen]


def balanced(
    items: Sequence[Item], workers: int, *, module: Callable[[Item], object], weight: Callable[[Item], int]
) -> list[Item]:
    """Return the items in the order in which `workers` parts of equal length begin with their share of slow tests.

    Args:
        items: the collected tests.
        workers: number of parallel workers.
        module: returns the module of a test, whose fixtures the tests of a piece share.
        weight: returns about how many seconds a test takes; 0 for a quick one.
    """
    slow = [item for item in items if weight(item)]
    shares: list[list[Item]] = [[] for _ in range(workers)]
    loads = [0] * workers
    for piece in sorted(_pieces(slow, module, weight), key=lambda piece: -sum(map(weight, piece))):
        lightest = loads.index(min(loads))
        shares[lightest] += piece
        loads[lightest] += sum(map(weight, piece))
    quick = iter([item for item in items if not weight(item)])
    ordered: list[Item] = []
    for number, share in enumerate(shares):
        length = (len(items) - len(ordered)) // (workers - number)
        ordered += share
        ordered += islice(quick, max(0, length - len(share)))
    return [*ordered, *quick]


def _pieces(items: Sequence[Item], module: Callable[[Item], object], weight: Callable[[Item], int]) -> list[list[Item]]:
    """Split the items into pieces of one module each: at most PIECE items, fewer if their weight reaches HEAVY."""
    pieces: list[list[Item]] = []
    for _, group in groupby(items, module):
        piece: list[Item] = []
        for item in group:
            piece.append(item)
            if len(piece) == PIECE or sum(map(weight, piece)) >= HEAVY:
                pieces.append(piece)
                piece = []
        pieces += [piece] if piece else []
    return pieces
