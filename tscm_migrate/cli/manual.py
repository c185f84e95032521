"""The manual page, made from the command tree."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from tscm_migrate import __version__
from tscm_migrate.errors import Exit
from tscm_migrate.tasks.base import option_name

from . import help_pages as pages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from invoke.collection import Collection


def page(root: Collection) -> str:
    """Return the manual page, tscm-migrate(1), as roff."""
    lines = [f'.TH TSCM-MIGRATE 1 "" "tscm-migrate {__version__}" "User Commands"', ".SH NAME"]
    lines += [r"tscm\-migrate \- migrate a ThreatSTOP Centralized Manager to a new appliance", ".SH SYNOPSIS"]
    lines += [".B tscm-migrate", ".I COMMAND", "[options]"]
    for title, names in pages.groups(root).items():
        lines.append(f".SH {title.upper()}")
        for name in names:
            inner = [f"{name}.{action}" for action in root.collections[name].tasks] if name in root.collections else []
            for task in inner or [name]:
                lines += _command(root, task)
    codes = ", ".join(f"{int(code)} {code.name.lower().replace('_', ' ')}" for code in Exit)
    lines += [".SH EXIT STATUS", *_wrapped(f"{codes}.")]
    return "\n".join(lines) + "\n"


def _command(root: Collection, name: str) -> Iterator[str]:
    task = root[name]
    arguments = task.get_arguments()
    places = [one for one in arguments if one.positional or option_name(one) == task.trailing]
    words = " ".join([name.replace(".", " "), *(pages.placed(one, task) for one in places)])
    yield f".SS {_roff(words)}"
    about, examples = pages.parts(task)
    for line in about.splitlines():
        yield from _wrapped(line) if line else [".PP"]
    yield from [".PP", ".nf", *(_roff(line) for line in examples), ".fi"] if examples else []
    for one in arguments:
        shown = pages.placed(one, task) if one in places else pages.flags(one, task)
        yield from [".TP", rf"\fB{_roff(shown)}\fR", *_wrapped(one.help or "")]


def _wrapped(text: str) -> list[str]:
    return [_roff(line) for line in textwrap.wrap(text, 72, break_on_hyphens=False)]


def _roff(text: str) -> str:
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{text}" if text.startswith((".", "'")) else text
