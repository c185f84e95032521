"""The report as one HTML file: no network, readable without its script, printable, light and dark."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources
from typing import TYPE_CHECKING, Any

from tscm_migrate.util.durations import duration_text

from . import chart

if TYPE_CHECKING:
    from markupsafe import Markup

_COMMAND = re.compile(r"(`[^`]+`|tscm-migrate (?:[a-z-]+ ){1,2}[0-9]{8}-[0-9]{6}-[0-9a-f]{4})")


def render(told: dict[str, Any]) -> str:
    """Return the page; every value is escaped by the template engine, and only our own style and script may run."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"seconds": duration_text, "size": size, "clock": clock, "commands": commands}
    folder = resources.files(__package__)
    template, style, script = (
        folder.joinpath(name).read_text(encoding="utf-8") for name in ("report.html.j2", "report.css", "report.js")
    )
    return environment.from_string(template).render(
        r=told,
        charts=[chart.timeline(session, told["downtime"]) for session in told["sessions"]],
        headline=headline(told),
        passed=sum(check["severity"] == "ok" for check in told["checks"]),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _hash(text: str) -> str:
    """Return the hash by which a Content-Security-Policy knows an inline script or style."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def headline(told: dict[str, Any]) -> str:
    """Say in one sentence what came of a run."""
    old, new, todo = told["old"], told["new"], len(told["to_do"])
    here = f"{new} serves at {told['address']}" if told["address"] else f"{new} serves"
    return {
        "done": f"{here} in place of {old}.",
        "attention": f"{here} in place of {old}; {todo} item{'s' if todo != 1 else ''} left for you to do.",
        "rolled-back": "The changes of this run were undone.",
        "failed": "The run failed; its changes were undone.",
        "interrupted": "The run was interrupted before its end; see the current state.",
    }.get(told["outcome"], "The run has not ended; see the current state.")


def commands(text: str) -> Markup:
    """A sentence whose commands, and what stands between backticks, look like what they are."""
    from markupsafe import Markup, escape

    parts = _COMMAND.split(text)  # every second part is a command
    return Markup("").join(
        Markup("<code{}>{}</code>").format(_copied(part), part.strip("`")) if number % 2 else escape(part)
        for number, part in enumerate(parts)
    )


def _copied(command: str) -> Markup:
    """Return the class of a command that somebody will type on the workstation: it gets a button to copy it."""
    from markupsafe import Markup

    return Markup(' class="copy"') if command.startswith("tscm-migrate ") else Markup("")


def size(value: float) -> str:
    """Bytes in powers of ten."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def clock(value: str) -> str:
    """The date and time of an ISO text, without the fraction."""
    return value[:19].replace("T", " ")
