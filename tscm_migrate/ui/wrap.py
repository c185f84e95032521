"""Wrap lines to the terminal at words; a command or a path stays in one piece, so that it can be copied."""

from __future__ import annotations

import re
import shutil
from typing import TextIO

_WHOLE = re.compile(r"`[^`]*`|tscm-migrate(?: [^\s;,.()]+){1,8}|--\S+ [A-Za-z0-9]\S*")
_UNIT = re.compile(r"(?<=\d) (?=(?:s|ms|min|h|kB|MB|GB|TB)\b)")  # keep a number and its unit on one line
_GLUE = "\0"


def fit(text: str, stream: TextIO | None) -> str:
    """Wrap lines for a terminal; return them unchanged for a file or a pipe."""
    if stream is None or not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "".join(f"{part}\n" for line in text.splitlines() for part in folded(line, width, "  "))


def folded(text: str, width: int, indent: str = "", *, whole: bool = True) -> list[str]:
    """Wrap one line to the given width.

    Args:
        text: without line breaks.
        width: columns.
        indent: of the second and later lines, in addition to that of the text.
        whole: keep a word or a command in one piece although it is longer than the width.
    """
    import textwrap

    if len(text) <= width:
        return [text]
    body = text.lstrip()
    own = text[: len(text) - len(body)]
    glued = _WHOLE.sub(lambda found: found[0].replace(" ", _GLUE), body) if whole else body
    lines = textwrap.wrap(
        _UNIT.sub(_GLUE, glued), max(width, 20), initial_indent=own, subsequent_indent=own + indent,
        break_long_words=not whole, break_on_hyphens=False,
    )  # fmt: skip
    return [line.replace(_GLUE, " ") for line in lines] or [text]
