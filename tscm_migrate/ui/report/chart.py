"""The timeline as data for an inline SVG: drawn to scale, the time without a TSCM as a band."""

from __future__ import annotations

from datetime import datetime
from typing import Any

WIDTH, LEFT, RIGHT, ROW, TOP = 960, 150, 70, 22, 26
_TICKS = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


def timeline(session: dict[str, Any], downtime: dict[str, Any] | None) -> dict[str, Any]:
    """Bars, ticks and the band of one session, in the SVG's own units."""
    began = _at(session["began"])
    length = max(session["seconds"], 0.001)
    scale = (WIDTH - LEFT - RIGHT) / length
    steps = session["steps"]
    bars = []
    for row, step in enumerate(steps):
        x = LEFT + (_at(step["began"]) - began) * scale
        bars.append({"x": round(x, 1), "y": TOP + row * ROW, "width": round(max(step["seconds"] * scale, 2), 1),
                     "label": step["id"], "title": step["title"], "seconds": step["seconds"],
                     "state": step["state"]})  # fmt: skip
    return {
        "width": WIDTH, "height": TOP + len(steps) * ROW + 26, "left": LEFT, "right": WIDTH - RIGHT, "top": TOP,
        "bottom": TOP + len(steps) * ROW, "bars": bars, "ticks": _ticks(length, scale),
        "band": _band(began, length, scale, downtime),
    }  # fmt: skip


def _at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _ticks(length: float, scale: float) -> list[dict[str, Any]]:
    every = next((t for t in _TICKS if length / t <= 10), length / 10)
    count = int(length / every)
    return [{"x": round(LEFT + n * every * scale, 1), "text": _text(n * every)} for n in range(count + 1)]


def _text(value: float) -> str:
    if value < 120:
        return f"{value:g} s"
    return f"{value / 60:g} min" if value < 7200 else f"{value / 3600:g} h"


def _band(began: float, length: float, scale: float, downtime: dict[str, Any] | None) -> dict[str, Any] | None:
    """The part of the time without a TSCM that falls into this session."""
    if downtime is None:
        return None
    start = _at(downtime["began"]) - began
    end = (_at(downtime["ended"]) - began) if downtime["ended"] else length
    start, end = max(start, 0.0), min(end, length)
    if end <= start:
        return None
    return {"x": round(LEFT + start * scale, 1), "width": round((end - start) * scale, 1), "seconds": end - start}
