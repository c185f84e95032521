"""Print text and data for the user: cleaned of secrets and control characters, folded for a terminal.

Every text is one write under one lock, so that lines of several threads do not mix.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from tscm_migrate.ui.wrap import fit
from tscm_migrate.util import redact
from tscm_migrate.util.operator_command import completed

_writing = threading.RLock()  # a signal may come while it is held, and prints a line too


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


def write(text: str) -> None:
    """Write cleaned text to stdout in one piece."""
    with _writing:
        sys.stdout.write(text)
        sys.stdout.flush()


def _shown(text: str) -> str:
    return redact.clean(completed(text.removesuffix("\n"))) + "\n"
