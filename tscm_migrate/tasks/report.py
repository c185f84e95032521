"""`report open`, `report show`: what a run did, as a page or as lines."""

from __future__ import annotations

from typing import Any

from invoke.collection import Collection

from .base import command

_RUN = "The run's id (default: the newest)."


def collection() -> Collection:
    """The tasks about reports."""
    return Collection("report", opened, show)


@command(name="open", help={"run": _RUN, "print_path": "Only print where it is."})
def opened(_context: Any, run: str | None = None, print_path: bool = False) -> None:
    """Write a run's report anew and open it in the browser; says where it is.

    Examples:
        tscm-migrate report open
        tscm-migrate report open 20240501-030000-1a2b --print-path
    """
    import webbrowser

    from tscm_migrate.ui import report
    from tscm_migrate.ui.console import as_it_is

    path = report.write(report.find(run))
    as_it_is(str(path))
    if not print_path:
        webbrowser.open(path.absolute().as_uri())


@command(help={"run": _RUN, "json": "Print the report's JSON."})
def show(_context: Any, run: str | None = None, json: bool = False) -> None:
    """Show the gist of a run's report: outcome, times, steps, what is left to do.

    Examples:
        tscm-migrate report show
        tscm-migrate report show 20240501-030000-1a2b --json
    """
    from tscm_migrate.ui import report
    from tscm_migrate.ui.console import as_json, say
    from tscm_migrate.ui.report import text

    told = report.read(report.find(run))
    if json:
        as_json(told)
    else:
        say("\n".join(text.lines(told)))
