"""Work that a stranger may never let end: it gets its time, and is left behind.

An executor's thread would be waited for at the end of the program; a thread of its own, a daemon, is not.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Answer = TypeVar("_Answer")


class NoAnswerError(Exception):
    """The time was over; what was begun may still go on."""


def within(seconds: float, work: Callable[[], _Answer], name: str) -> _Answer:
    """What `work` returns.

    Args:
        seconds: how long it may take.
        work: called in a thread of its own.
        name: the thread's.

    Raises:
        NoAnswerError: it has not come to an end. Else what `work` raises.
    """
    answers: list[_Answer] = []
    errors: list[Exception] = []

    def go() -> None:
        try:
            answers.append(work())
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            errors.append(error)

    thread = threading.Thread(target=go, daemon=True, name=name)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise NoAnswerError
    return answers[0]
