"""Watchers of events: plain lines and JSON. They are handed events; what they watch never calls them by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tscm_migrate.events import Emit


def watcher(*, as_json: bool = False) -> Emit:
    """The watcher that fits the output: JSON lines where asked for, else plain lines.

    It outlives its terminal, and what it sees of a run is kept for the report.
    """
    from . import lines
    from .recorder import Recorder
    from .steady import Steady

    return Recorder(Steady(lines.json_lines if as_json else lines.plain_lines))
