"""What a task tells a person by itself, beside the events: no secret, no control character, folded for a terminal."""

from __future__ import annotations

import json
import sys
from typing import Any

from tscm_migrate.ui.wrap import fit
from tscm_migrate.util import redact


def say(text: str) -> None:
    """Print the lines of `text` at once; nothing for none."""
    if text:
        sys.stdout.write(fit(_shown(text), sys.stdout))
        sys.stdout.flush()


def as_it_is(text: str) -> None:
    """As `say`, but not folded: a table, or what is to be copied."""
    if text:
        sys.stdout.write(_shown(text))
        sys.stdout.flush()


def as_json(value: Any, *, indent: int | None = 2) -> None:
    """Print data as JSON; the texts in it are cleaned before, so that it stays valid whatever a secret is."""
    sys.stdout.write(json.dumps(redact.tree(value), indent=indent, default=str) + "\n")
    sys.stdout.flush()


def _shown(text: str) -> str:
    return redact.clean(text.removesuffix("\n")) + "\n"
