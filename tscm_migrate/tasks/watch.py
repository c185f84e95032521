"""Choose what shows a run's events: JSON lines, a live view on a terminal, or plain lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tscm_migrate.events import Emit


def watcher(*, as_json: bool = False, quiet: bool = False, verbose: bool = False) -> Emit:
    """Return the observer that fits the output; it also keeps the run's commands, and writes the report at the end.

    It keeps working when the terminal or the pipe is closed.

    Args:
        as_json: print one event a line.
        quiet: print warnings, errors and the end only.
        verbose: print each command and each wait, too.
    """
    from tscm_migrate.migration.recorder import Recorder
    from tscm_migrate.ui import lines
    from tscm_migrate.ui.console import Steady
    from tscm_migrate.ui.run_report import render

    return Recorder(Steady(lines.json_lines if as_json else _shown(quiet=quiet, verbose=verbose)), render)


def _shown(*, quiet: bool, verbose: bool) -> Emit:
    from tscm_migrate.ui import lines

    stream = sys.stdout
    if not (quiet or verbose) and stream is not None and stream.isatty():
        from tscm_migrate.ui.live import LiveView, fits

        if fits():
            return LiveView()
    return lines.Plain(quiet=quiet, verbose=verbose)
