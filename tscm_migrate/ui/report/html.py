"""The report as one HTML file, with the page's own style and script; printable, light and dark."""

from __future__ import annotations

from typing import Any

from tscm_migrate.ui import page
from tscm_migrate.ui.report import chart


def render(told: dict[str, Any]) -> str:
    """Return the page."""
    return page.render(
        "report.html.j2",
        r=told,
        charts=[chart.timeline(session, told["downtime"]) for session in told["sessions"]],
        headline=headline(told),
        passed=sum(check["severity"] == "ok" for check in told["checks"]),
    )


def headline(told: dict[str, Any]) -> str:
    """Return the result of a run in one sentence."""
    old, new, todo = told["old"], told["new"], len(told["to_do"])
    here = f"{new} serves at {told['address']}" if told["address"] else f"{new} serves"
    return {
        "done": f"{here} in place of {old}.",
        "attention": f"{here} in place of {old}; {todo} item{'s' if todo != 1 else ''} left for you to do.",
        "rolled-back": "The changes of this run were undone.",
        "failed": "The run failed; its changes were undone.",
        "interrupted": "The run was interrupted before its end; see the current state.",
    }.get(told["outcome"], "The run has not ended; see the current state.")
