"""Watchers of events: plain lines and JSON. They are handed events; what they watch never calls them by name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tscm_migrate.events import Emit


def watcher(*, as_json: bool = False, quiet: bool = False, verbose: bool = False) -> Emit:
    """The watcher that fits the output: JSON lines, a live view on a terminal, plain lines everywhere else.

    It outlives its terminal, and what it sees of a run is kept for the report.

    Args:
        as_json: one event a line.
        quiet: warnings, errors and the end only.
        verbose: each command and each wait, too.
    """
    from . import lines
    from .recorder import Recorder
    from .resilient import Steady

    return Recorder(Steady(lines.json_lines if as_json else _shown(quiet=quiet, verbose=verbose)))


def _shown(*, quiet: bool, verbose: bool) -> Emit:
    from . import lines

    stream = sys.stdout
    if not (quiet or verbose) and stream is not None and stream.isatty():
        from .live import LiveView, fits

        if fits():
            return LiveView()
    return lines.Plain(quiet=quiet, verbose=verbose)
