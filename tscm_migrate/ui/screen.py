"""The process's one terminal: who draws on it makes room while a question is asked."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Drawing(Protocol):
    """What is drawn again and again in one place of the terminal."""

    def hide(self) -> None:
        """Take it off the terminal."""

    def show(self) -> None:
        """Draw it again."""


_drawn: list[Drawing] = []


def draw(drawing: Drawing) -> None:
    """From now on this is what makes room."""
    _drawn[:] = [drawing]


def over(drawing: Drawing) -> None:
    """It is not drawn any more."""
    if drawing in _drawn:
        _drawn.remove(drawing)


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Nothing is drawn meanwhile."""
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
    """`getpass` with room made for it."""
    from getpass import getpass

    with paused():
        return getpass(question)
