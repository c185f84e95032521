"""The report as one HTML file: no script, no network, printable, light and dark."""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING, Any

from tscm_migrate.util.durations import duration_text

from . import chart

if TYPE_CHECKING:
    from markupsafe import Markup

_COMMAND = re.compile(r"(`[^`]+`|tscm-migrate [a-z-]+ [0-9]{8}-[0-9]{6}-[0-9a-f]{4})")


def render(told: dict[str, Any]) -> str:
    """The whole page; every value is escaped by the template engine."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"seconds": duration_text, "size": size, "clock": clock, "commands": commands}
    template = resources.files(__package__).joinpath("report.html.j2").read_text(encoding="utf-8")
    charts = [chart.timeline(session, told["downtime"]) for session in told["sessions"]]
    return environment.from_string(template).render(r=told, charts=charts)


def commands(text: str) -> Markup:
    """A sentence whose commands, and what stands between backticks, look like what they are."""
    from markupsafe import Markup, escape

    parts = _COMMAND.split(text)  # every second part is a command
    return Markup("").join(
        Markup("<code>{}</code>").format(part.strip("`")) if number % 2 else escape(part)
        for number, part in enumerate(parts)
    )


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
