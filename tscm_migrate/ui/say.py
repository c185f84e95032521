"""What a task tells a person by itself, beside the events: no secret, no control character, folded for a terminal."""

from __future__ import annotations

import sys

from tscm_migrate import redact
from tscm_migrate.ui.fold import fit


def say(text: str) -> None:
    """Print the lines of `text` at once; nothing for none."""
    if text:
        sys.stdout.write(fit(redact.printable(redact.known(text)) + "\n", sys.stdout))
        sys.stdout.flush()
