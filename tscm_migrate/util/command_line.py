"""Our own commands in messages: they name the inventory that the user has named.

A command such as `tscm-migrate host pin X` in a remedy has to work when it is copied. If the user has given
`--inventory FILE`, it only works with the same option.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from .operator_command import quoted

# Commands that read the inventory; `resume` and other commands about a run know the one that the run was started with.
READ_INVENTORY = (
    "archive list", "archive pull", "archive push", "backup", "campaign plan", "campaign run", "doctor", "host list",
    "host pin", "host show", "migrate", "offsite", "plan", "prompts explain", "prompts learn", "prompts record",
    "prompts replay", "rehearse", "run unlock", "schedule", "secret delete", "secret list", "secret set",
)  # fmt: skip
_COMMAND = re.compile(
    rf"\btscm-migrate (?=(?:{'|'.join(READ_INVENTORY)})\b(?![^;,)\n`]*--inventory))", re.ASCII
)  # fmt: skip
_given: list[str] = []


def use_inventory(path: str | None) -> None:
    """Remember the inventory that the user has named; None or "": none was named."""
    _given[:] = [path] if path else []


def completed(text: str) -> str:
    """Return a message whose commands have the option `--inventory`, if the user has given it."""
    if not _given or "tscm-migrate " not in text:
        return text
    file = quoted(Path(os.path.abspath(_given[0])))  # noqa: PTH100 - not resolved: links stay as they were given
    return _COMMAND.sub(lambda _: f"tscm-migrate --inventory {file} ", text)
