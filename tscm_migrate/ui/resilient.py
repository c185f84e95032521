"""Stop output after the terminal or the pipe is closed, without ending the run."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from tscm_migrate.events import Emit, Event


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
