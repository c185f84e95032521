"""Run a blocking call with a timeout in a daemon thread; on timeout the thread is abandoned.

The threads of an executor would be waited for when the program ends; a daemon thread is not.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

_Answer = TypeVar("_Answer")


class NoAnswerError(Exception):
    """The timeout expired; the call may still be running."""


def within(seconds: float, work: Callable[[], _Answer], name: str) -> _Answer:
    """Call `work` and return its result.

    Args:
        seconds: the timeout.
        work: called in a thread of its own.
        name: of the thread.

    Raises:
        NoAnswerError: the timeout expired. Otherwise whatever `work` raises.
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
