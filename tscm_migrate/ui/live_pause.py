"""Pause the live display while a question is asked on the terminal."""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import TYPE_CHECKING, Any, Protocol

from tscm_migrate.util import redact

if TYPE_CHECKING:
    from collections.abc import Iterator


class Drawing(Protocol):
    """A display that is redrawn in one place of the terminal."""

    def hide(self) -> None:
        """Remove it from the terminal."""

    def show(self) -> None:
        """Draw it again."""


_drawn: list[Drawing] = []


def draw(drawing: Drawing) -> None:
    """Pause this display from now on."""
    _drawn[:] = [drawing]


def over(drawing: Drawing) -> None:
    """Forget a display that has ended."""
    if drawing in _drawn:
        _drawn.remove(drawing)


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Draw nothing inside this context."""
    drawn = list(_drawn)
    for drawing in drawn:
        drawing.hide()
    try:
        yield
    finally:
        for drawing in drawn:
            if drawing in _drawn:
                drawing.show()


def ask_unseen(question: str) -> str:
    """Ask for a secret without showing it; characters typed before the question are part of the answer.

    Raises:
        EOFError: the input is at its end.
    """
    with paused(), _echo(on=False) as changed:
        if not changed:
            from getpass import getpass

            return getpass(question)
        sys.stderr.write(redact.clean(question))
        sys.stderr.flush()
        line = sys.stdin.readline()
        sys.stderr.write("\n")
        if not line:
            raise EOFError
        return line.rstrip("\n")


def ask(question: str) -> str:
    """Ask for a line that is shown while it is typed.

    Raises:
        EOFError: the input is at its end.
    """
    with paused(), _echo(on=True):
        sys.stderr.write(redact.clean(question))
        sys.stderr.flush()
        return input()


@contextlib.contextmanager
def keys_unseen() -> Iterator[None]:
    """Show no typed character inside this context, except at a question: it may be a secret."""
    with _echo(on=False):
        yield


@contextlib.contextmanager
def _echo(*, on: bool) -> Iterator[bool]:
    """Turn the terminal's echo on or off, and keep unread input. Return False if that is impossible: Windows, a pipe.

    Windows echoes a key only when it is read.
    """
    try:
        termios: Any = importlib.import_module("termios")
    except ImportError:
        yield False
        return
    errors: tuple[type[Exception], ...] = (termios.error, OSError, ValueError, AttributeError)
    try:
        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
    except errors:
        yield False
        return
    wanted = [*before]
    wanted[3] = wanted[3] | termios.ECHO if on else wanted[3] & ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSADRAIN, wanted)
    try:
        yield True
    finally:
        with contextlib.suppress(*errors):  # it may have gone away
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
