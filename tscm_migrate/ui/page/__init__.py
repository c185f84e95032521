"""HTML pages: one style sheet and one script for the report, the campaign's index and the freshness page.

A page is one file. It loads nothing, its Content-Security-Policy allows only this style and this script, and everything
in it can be read without the script.
"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources
from typing import TYPE_CHECKING, Any

from tscm_migrate.util.text import duration_text, size_text

if TYPE_CHECKING:
    from markupsafe import Markup

_COMMAND = re.compile(r"(`[^`]+`|tscm-migrate (?:[a-z-]+ ){1,2}[0-9]{8}-[0-9]{6}-[0-9a-f]{4})")


def render(template: str, **values: Any) -> str:
    """Fill a template of this folder; every value is escaped. `style`, `script` and `policy` are added to them."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("tscm_migrate.ui", "page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {"seconds": duration_text, "size": size_text, "clock": clock, "commands": commands}
    folder = resources.files(__package__)
    style, script = (folder.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    policy = (
        f"default-src 'none'; style-src 'sha256-{_hash(style)}'; script-src 'sha256-{_hash(script)}'; base-uri 'none'; "
        "form-action 'none'"
    )
    return environment.get_template(template).render(**values, style=style, script=script, policy=Markup(policy))  # noqa: S704 - nothing from outside


def _hash(text: str) -> str:
    """Return the hash by which a Content-Security-Policy knows an inline script or style."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def commands(text: str) -> Markup:
    """Mark the commands in a sentence, and the text between backticks, as code."""
    from markupsafe import Markup, escape

    parts = _COMMAND.split(text)  # every second part is a command
    return Markup("").join(
        Markup("<code{}>{}</code>").format(_copied(part), part.strip("`")) if number % 2 else escape(part)
        for number, part in enumerate(parts)
    )


def _copied(command: str) -> Markup:
    """Return the class of a command that is run on the workstation: it gets a button to copy it."""
    from markupsafe import Markup

    return Markup(' class="copy"') if command.startswith("tscm-migrate ") else Markup("")


def clock(value: str) -> str:
    """Return date and time of an ISO text, without the fraction of a second."""
    return value[:19].replace("T", " ")
