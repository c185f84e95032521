"""The timeline of a session in percent of its length: one bar a step, the downtime as a band behind them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

_TICKS = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_MOST_TICKS = 5
_THINNEST = 0.6  # percent, so that a short step is seen


def timeline(session: dict[str, Any], downtime: dict[str, Any] | None) -> dict[str, Any]:
    """Return `bars` (one a step: `x`, `width`), `ticks` (`x`, `text`) and `band` (`x`, `width`; or None), in percent.

    Args:
        session: as `data` makes it.
        downtime: of the run.
    """
    began = _at(session["began"])
    length = max(_at(session["ended"]) - began, 0.001)
    bars = [_part((_at(step["began"]) - began) / length, step["seconds"] / length) for step in session["steps"]]
    return {"bars": bars, "ticks": _ticks(length), "band": _band(began, length, downtime)}


def _at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _part(start: float, share: float) -> dict[str, float]:
    x = min(max(100 * start, 0.0), 100 - _THINNEST)
    return {"x": round(x, 2), "width": round(min(max(100 * share, _THINNEST), 100 - x), 2)}


def _ticks(length: float) -> list[dict[str, Any]]:
    every = next((tick for tick in _TICKS if length / tick <= _MOST_TICKS), length / _MOST_TICKS)
    count = int(length / every)
    return [{"x": round(100 * n * every / length, 2), "text": _text(n * every)} for n in range(count + 1)]


def _text(value: float) -> str:
    if value < 120:
        return f"{value:g} s"
    return f"{value / 60:g} min" if value < 7200 else f"{value / 3600:g} h"


def _band(began: float, length: float, downtime: dict[str, Any] | None) -> dict[str, float] | None:
    """The part of the downtime that falls into this session."""
    if downtime is None:
        return None
    start = max(_at(downtime["began"]) - began, 0.0)
    end = min(_at(downtime["ended"]) - began, length) if downtime["ended"] else length
    return _part(start / length, (end - start) / length) if end > start else None
