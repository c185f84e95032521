"""Handle Ctrl-C, SIGTERM and SIGHUP: the first stops the run between two changes, the second at once."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from tscm_migrate.events import Emit, Event, Message, Progress, Waiting

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # the last two exist on one kind of system each


class Interrupts:
    """Records signals, which the engine checks between two changes.

    Outside of `careful` a signal stops at once, since nothing was changed yet. A wait and a transfer can be stopped at
    any time (copied data is kept), so signals are also checked when they report; a change is never interrupted.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._mode = "at once"
        self._pending: list[Event] = []
        self.asked = ""

    def emit(self, event: Event) -> None:
        """Pass on an event, and end a wait or a transfer if a signal was received."""
        while self._pending:
            self._emit(self._pending.pop())
        self._emit(event)
        if isinstance(event, Waiting | Progress):
            self.check()

    def check(self) -> None:
        """Stop if a signal was received.

        Raises:
            KeyboardInterrupt: with the signal's name.
        """
        if self.asked and self._mode == "careful":
            raise KeyboardInterrupt(self.asked)

    @contextlib.contextmanager
    def careful(self) -> Iterator[None]:
        """Within the block, the first signal stops the run at the next check."""
        before, self._mode = self._mode, "careful"
        try:
            yield
        finally:
            self._mode = before

    @contextlib.contextmanager
    def rolling_back(self) -> Iterator[None]:
        """Within the block, the first signal only prints a message; the second stops at once."""
        before, self._mode, self.asked = self._mode, "rolling back", ""
        try:
            yield
        finally:
            self._mode = before

    def _receive(self, number: int, _frame: Any) -> None:
        name = signal.Signals(number).name
        if self._mode == "at once" or self.asked:
            raise KeyboardInterrupt(name)
        self.asked = name
        now = "finishing the current action" if self._mode == "careful" else "changes are being undone"
        message = Message(f"{name} received: {now}. Repeat it to stop at once.", "warning")
        try:
            self._emit(message)
        except RuntimeError:  # the signal arrived during a print, in which Python forbids another
            self._pending.append(message)

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals within the block; outside of the main thread no signal can be handled."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
        before: list[tuple[int, Any]] = []
        try:
            # ignored signals stay ignored, as SIGHUP under nohup
            handled = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
            before.extend((number, signal.signal(number, self._receive)) for number in handled)
            yield
        finally:
            for number, handler in before:
                signal.signal(number, handler)
