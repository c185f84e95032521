"""Print text and data for the user: cleaned of secrets and control characters, wrapped for a terminal.

Every text is one write under one lock, so that lines of several threads do not mix. A command or a path is not broken
over two lines, so that it can be copied.
"""

import contextlib
import json
import os
import re
import shutil
import sys
import threading
from typing import Any, TextIO

from tscm_migrate.events import Emit, Event
from tscm_migrate.util import redact
from tscm_migrate.util.operator_command import completed

_writing = threading.RLock()  # a signal handler may print a line while the lock is locked


def say(text: str) -> None:
    """Print the lines of `text` at once; nothing if it is empty."""
    if text:
        write(fit(_shown(text), sys.stdout))


def as_it_is(text: str) -> None:
    """Print as `say` does, but not folded: a table, or what is to be copied."""
    if text:
        write(_shown(text))


def as_json(value: Any, *, indent: int | None = 2) -> None:
    """Print data as JSON. Its texts are cleaned first, so that it stays valid whatever a secret is."""
    if isinstance(value, dict) and isinstance(value.get("remedy"), str):
        value = {**value, "remedy": completed(value["remedy"])}
    write(json.dumps(redact.tree(value), indent=indent, default=str) + "\n")


def columns() -> int | None:
    """Return the width of the terminal, or None where the output is a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else None


def write(text: str) -> None:
    """Write cleaned text to stdout in one piece."""
    with _writing:
        sys.stdout.write(text)
        sys.stdout.flush()


def _shown(text: str) -> str:
    return redact.clean(completed(text.removesuffix("\n"))) + "\n"


_WHOLE = re.compile(r"`[^`]*`|tscm-migrate(?: [^\s;,.()]+){1,8}|--\S+ [A-Za-z0-9]\S*")
_UNIT = re.compile(r"(?<=\d) (?=(?:s|ms|min|h|kB|MB|GB|TB)\b)")  # keep a number and its unit on one line
_NUMBERED = re.compile(r"\d+\. +")
_GLUE = "\0"


def fit(text: str, stream: TextIO | None) -> str:
    """Wrap lines for a terminal; return them unchanged for a file or a pipe."""
    if stream is None or not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "".join(f"{part}\n" for line in text.splitlines() for part in folded(line, width, "  "))


def folded(text: str, width: int, indent: str = "", *, keep_words: bool = True) -> list[str]:
    """Wrap one line to `width` columns; `indent` is added to that of the text, from the second line on.

    With `keep_words`, a word or a command stays in one piece although it is longer than the width.
    """
    import textwrap

    if len(text) <= width:
        return [text]
    body = text.lstrip()
    own = text[: len(text) - len(body)]
    glued = _WHOLE.sub(lambda part: part[0].replace(" ", _GLUE), body) if keep_words else body
    further = own + (" " * len(number[0]) if (number := _NUMBERED.match(body)) else indent)
    lines = textwrap.wrap(
        _UNIT.sub(_GLUE, glued), max(width, 20), initial_indent=own, subsequent_indent=further,
        break_long_words=not keep_words, break_on_hyphens=False,
    )  # fmt: skip
    return [line.replace(_GLUE, " ") for line in lines] or [text]


class Steady:
    """Passes events on until that fails; drops them from then on."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self.gone = False

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if self.gone:
            return
        try:
            self._emit(event)
        except (OSError, ValueError):  # ValueError: the stream is closed
            self.gone = True
            mute(sys.stdout)


def mute(stream: TextIO | None) -> None:
    """Redirect a stream to the null device, so that Python can flush its buffer at the end without an error."""
    if stream is None:
        return
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
