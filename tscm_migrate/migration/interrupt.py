"""Ctrl-C, SIGTERM, SIGHUP, a closed terminal: the first asks for a stop at a safe place, the second stops now."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any

from tscm_migrate.events import Progress, Said, Waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tscm_migrate.events import Emit, Event

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # the last two exist on one kind of system each


class Interrupts:
    """Turns signals into a wish that the engine asks for between two changes.

    Outside of `careful` a signal stops at once, since nothing was changed yet. A wait and a transfer may be left at any
    moment (what was copied so far is kept), so the wish is looked at whenever they report; a change is never cut.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._mode = "at once"
        self._unsaid: list[Event] = []
        self.asked = ""

    def emit(self, event: Event) -> None:
        """The observer to hand down: passes everything on, and ends a wait when a stop was asked for."""
        while self._unsaid:
            self._emit(self._unsaid.pop())
        self._emit(event)
        if isinstance(event, Waiting | Progress):
            self.check()

    def check(self) -> None:
        """Stop here, if that was asked for.

        Raises:
            KeyboardInterrupt: it was.
        """
        if self.asked and self._mode == "careful":
            raise KeyboardInterrupt(self.asked)

    @contextlib.contextmanager
    def careful(self) -> Iterator[None]:
        """While the block runs, the first signal waits for the next safe place."""
        before, self._mode = self._mode, "careful"
        try:
            yield
        finally:
            self._mode = before

    @contextlib.contextmanager
    def rolling_back(self) -> Iterator[None]:
        """While the block runs, the first signal only says what goes on; the second still stops."""
        before, self._mode, self.asked = self._mode, "putting back", ""
        try:
            yield
        finally:
            self._mode = before

    def _heard(self, number: int, _frame: Any) -> None:
        name = signal.Signals(number).name
        if self._mode == "at once" or self.asked:
            raise KeyboardInterrupt(name)
        self.asked = name
        now = "finishing the piece at hand" if self._mode == "careful" else "everything is being put back"
        said = Said(f"{name}: {now}; once more stops at once", "warning")
        try:
            self._emit(said)
        except RuntimeError:  # it has come upon a line that is being printed: Python lets nobody print into that
            self._unsaid.append(said)

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Listen for the signals while the block runs; in another thread than the main one nothing can be heard."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
        before: list[tuple[int, Any]] = []
        try:
            # what is ignored already stays so: `nohup` has said that the end of the terminal does not matter
            heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
            before.extend((number, signal.signal(number, self._heard)) for number in heard)
            yield
        finally:
            for number, handler in before:
                signal.signal(number, handler)
