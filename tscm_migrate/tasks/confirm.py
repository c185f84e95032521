"""Asking before something is deleted or installed; unattended, `--yes` has to say it."""

from __future__ import annotations

import shlex
import sys

from tscm_migrate.errors import Unconfirmed


def agreed(question: str, words: list[str], *, yes: bool) -> bool:
    """Whether the operator agrees.

    Args:
        question: what would be done, as a question.
        words: the command with which it would be done without being asked.
        yes: whether that was said already.

    Raises:
        Unconfirmed: there is no terminal.
    """
    from tscm_migrate.ui.operator import Terminal

    if yes:
        return True
    if sys.stdin is None or not sys.stdin.isatty():
        raise Unconfirmed(question.rstrip("?"), shlex.join(["tscm-migrate", *words]))
    return Terminal(attended=True).confirm(question)
