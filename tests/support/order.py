"""The order of the tests for workers side by side: the slow ones first, shared out evenly.

pytest-xdist's `--dist worksteal` gives each worker one contiguous part of the collection, in its order, and takes from
the end of the longest part for a worker that has nothing left; the last two tests of a part are never taken. In the
order of the files a worker that gets the folder `lab` last would run long tests alone at the end.
"""

from __future__ import annotations

from itertools import groupby, islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = TypeVar("Item")

HEAVY = 160  # weight at which a piece ends: a worker that got many long tests would run alone at the end
PIECE = 8  # tests of one module that stay together, so that its servers start once for all of them


def dealt(
    items: Sequence[Item], workers: int, *, module: Callable[[Item], object], weight: Callable[[Item], int]
) -> list[Item]:
    """Return the items in the order in which `workers` parts of equal length begin with their share of slow tests.

    Args:
        items: as pytest has collected them.
        workers: how many run side by side.
        module: what the item's module-scoped fixtures belong to.
        weight: about how long the item takes, compared with others; 0 for a quick one.
    """
    slow = [item for item in items if weight(item)]
    hands: list[list[Item]] = [[] for _ in range(workers)]
    loads = [0] * workers
    for piece in sorted(_pieces(slow, module, weight), key=lambda piece: -sum(map(weight, piece))):
        lightest = loads.index(min(loads))
        hands[lightest] += piece
        loads[lightest] += sum(map(weight, piece))
    quick = iter([item for item in items if not weight(item)])
    ordered: list[Item] = []
    for number, hand in enumerate(hands):
        length = (len(items) - len(ordered)) // (workers - number)
        ordered += hand
        ordered += islice(quick, max(0, length - len(hand)))
    return [*ordered, *quick]


def _pieces(items: Sequence[Item], module: Callable[[Item], object], weight: Callable[[Item], int]) -> list[list[Item]]:
    """Split the items into pieces of one module each, of at most PIECE items, or less where they are heavy."""
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
