"""Ask the operator at the terminal, while the live view pauses: before changes, and about questions of tsadmin."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from tscm_migrate.util import redact

if TYPE_CHECKING:
    from tscm_migrate.tsadmin.dialect import Kind
    from tscm_migrate.tsadmin.intent import Understood

_MOST_LINES = 300  # lines shown above a question
_SECRET = 4  # characters; a shorter answer, such as y or n, is not a secret
_MOST_TRIES = 3


def _framed(shown: Sequence[str]) -> list[str]:
    """Return the last lines that an appliance has printed, cleaned, each behind a bar."""
    lines = redact.outside("\n".join(shown), lines=True).splitlines()
    left_out = [f"  | … {len(lines) - _MOST_LINES} lines before"] if len(lines) > _MOST_LINES else []
    return [*left_out, *(f"  | {line}" for line in lines[-_MOST_LINES:])]


@dataclass(frozen=True)
class Terminal:
    """Asks on stderr and reads stdin; if `attended` is False, every question is answered with "no"."""

    attended: bool
    unsaved: dict[str, str] = field(default_factory=dict)  # questions whose answer could not be saved, and why

    def confirm(self, question: str) -> bool:
        """Ask for yes or no."""
        return self.attended and self._confirms(f"{question} [y/N] ")

    def answer(self, host: str, understood: Understood, shown: Sequence[str], *, unseen: bool = False) -> str | None:
        """Show a remote question with all lines since the last answer, and read what is to be typed.

        Returns:
            None to stop the run: a lone `!`, or the end of the input. "" accepts the suggestion.
        """
        if not self.attended:
            return None
        what = "asks" if understood.kind else "asks something that no dialect knows"
        with paused():
            self._tell("\n".join([f"\n{host} {what}:", "  +----", *_framed(shown), "  +----"]))
            if understood.kind is not None:
                self._tell(f"  known as {understood.kind}; Enter types {redact.outside(understood.shown or '')!r}")
            elif understood.suggestion is not None:
                self._tell(f"  suggestion: {redact.outside(understood.suggestion)!r} (Enter takes it)")
            self._tell("  type the answer as it is to be sent; ! stops the run")
            typed = self._ask("answer> ", unseen=unseen)
        if unseen and typed and len(typed) >= _SECRET:
            redact.known.add(typed)  # the appliance has it from now on, and may print it
        return None if typed is None or typed.strip() == "!" else typed

    def remember(self, host: str, question: str, kinds: Sequence[Kind]) -> Kind | None:
        """Ask whether to save an answer in the dialect, and as which kind if several are possible."""
        with paused():
            self._tell(
                f"  {host}: {redact.outside(question)}\n  later runs give a remembered answer without asking you"
            )
            answer = self._ask("remember? [Y/n] ")
            if answer is None or answer.strip().lower() not in {"", "y", "yes"}:
                return None
            if len(kinds) == 1:
                return kinds[0]
            named = textwrap.fill(", ".join(kinds), 76, initial_indent="    ", subsequent_indent="    ")
            self._tell(f"  what does it ask for? (Enter: {kinds[0]})\n{named}")
            for _ in range(_MOST_TRIES):
                answer = self._ask("kind> ")
                named = kinds[0] if answer is not None and not answer.strip() else (answer or "").strip().lower()
                if answer is None or named in kinds:
                    return next((kind for kind in kinds if kind == named), None)
                self._tell(f"  not a kind: {redact.outside(named)!r}")
        return None

    def inform(self, text: str, question: str = "", *, saved: bool = True) -> None:
        """Show whether an answer was saved, and keep the question if it was not."""
        if question and saved:
            self.unsaved.pop(question, None)
        elif question:
            self.unsaved[question] = text
        with paused():
            self._tell(f"  {redact.outside(text)}")

    def instruct(self, text: str) -> bool:
        """Ask the operator to do something manually."""
        return self.attended and self._confirms(f"{text}\ndone? [y/N] ")

    def _confirms(self, question: str) -> bool:
        return (self._ask(question) or "").strip().lower() in {"y", "yes"}

    def _tell(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201

    def _ask(self, question: str, *, unseen: bool = False) -> str | None:
        """Read a line; return None at the end of the input."""
        with paused():
            try:
                return ask_unseen(question) if unseen else ask(question)
            except EOFError:
                return None


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
        try:
            return input()
        except (EOFError, KeyboardInterrupt):
            sys.stderr.write("\n")  # what is printed next begins on a line of its own
            raise


@contextlib.contextmanager
def keys_unseen() -> Iterator[None]:
    """Show no typed character inside this context, except at a question: it may be a secret."""
    with _echo(on=False):
        yield


@contextlib.contextmanager
def _echo(*, on: bool) -> Iterator[bool]:
    """Turn the terminal's echo on or off, and keep unread input.

    Return False if that is impossible: on Windows, with a pipe, and for a run in the background. Windows echoes a
    key only when it is read.
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
    if not _is_in_front(terminal):
        yield False
        return
    wanted = [*before]
    wanted[3] = wanted[3] | termios.ECHO if on else wanted[3] & ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSADRAIN, wanted)
    try:
        yield True
    finally:
        with contextlib.suppress(*errors):  # it may have gone away
            if _is_in_front(terminal):
                termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _is_in_front(terminal: int) -> bool:
    """Return whether this process may change its terminal: a process in the background is stopped if it does."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):  # not its controlling terminal, and only that one stops it
            return os.tcgetpgrp(terminal) == os.getpgrp()
    return True
