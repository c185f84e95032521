"""Lists of names in one line of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_SHOWN = 8


def listed(names: Collection[str], most: int = _SHOWN) -> str:
    """Join names with commas; of many only the first ones, and how many more there are: "a, b, … and 6 more"."""
    shown = ", ".join(list(names)[:most])
    more = len(names) - most
    return f"{shown}, … and {more} more" if more > 0 else shown
