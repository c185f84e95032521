"""Rows of the page of benchmarks: what was measured, against what, what is wanted, and whether that is met."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]


def row(what: str, against: str, wanted: str, measured: str, *, met: bool) -> Row:
    return {"what": what, "against": against, "wanted": wanted, "measured": measured, "met": met}


def number(value: float, unit: str) -> str:
    """Two decimals below 10, one below 100, none above; a count stays as it is."""
    digits = 0 if value >= 100 or not unit else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}".strip()


def at_least(what: str, against: str, value: float, wanted: float | None, unit: str = "×", *, detail: str = "") -> Row:
    """A figure with its lower limit; None: as `only_shown`."""
    if wanted is None:
        return only_shown(what, against, value, unit, detail=detail)
    return row(what, against, f"at least {wanted:g} {unit}".strip(), number(value, unit) + detail, met=value >= wanted)


def at_most(what: str, against: str, value: float, wanted: float, unit: str, *, detail: str = "") -> Row:
    return row(what, against, f"at most {wanted:g} {unit}", number(value, unit) + detail, met=value <= wanted)


def only_shown(what: str, against: str, value: float, unit: str = "×", *, detail: str = "") -> Row:
    """A figure for comparison, without a limit."""
    return row(what, against, "", number(value, unit) + detail, met=True)
