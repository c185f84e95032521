"""A watcher whose output may go away: a closed terminal or pipe ends the telling, never what is told about."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from tscm_migrate.events import Emit, Event


class Steady:
    """Passes events on until that fails, and is silent from then on."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self.gone = False

    def __call__(self, event: Event) -> None:
        """One event."""
        if self.gone:
            return
        try:
            self._emit(event)
        except (OSError, ValueError):  # ValueError: the stream is closed
            self.gone = True
            mute(sys.stdout)


def mute(stream: TextIO | None) -> None:
    """Let what is still in the stream's buffer go nowhere, or Python would fail when it flushes it at the end."""
    if stream is None:
        return
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
