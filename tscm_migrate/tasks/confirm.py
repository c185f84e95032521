"""Ask for confirmation before something is changed."""

from __future__ import annotations

import shlex
import sys

from tscm_migrate.errors import Cancelled, Unconfirmed, UsageError


def attended() -> bool:
    """Return whether there is a terminal to ask on."""
    return sys.stdin is not None and sys.stdin.isatty()


def require_terminal(*, yes: bool, otherwise: str = "add --yes") -> None:
    """Refuse a command that would ask, before it does anything.

    Raises:
        UsageError: neither a terminal nor --yes.
    """
    if not yes and not attended():
        raise UsageError("not running in a terminal, so can't ask for confirmation", otherwise)


def confirm(question: str, *, yes: bool) -> None:
    """Ask a question, unless it was answered by --yes.

    Raises:
        UsageError: no terminal. Cancelled: the user declined.
    """
    from tscm_migrate.ui.operator import Terminal

    require_terminal(yes=yes)
    if not yes and not Terminal(attended=True).confirm(question):
        raise Cancelled


def agreed(question: str, words: list[str], *, yes: bool) -> bool:
    """Return whether the user agrees.

    Args:
        question: what would be done, as a question.
        words: the command that does it without asking.
        yes: whether --yes was given.

    Raises:
        Unconfirmed: no terminal.
    """
    from tscm_migrate.ui.operator import Terminal

    if yes:
        return True
    if not attended():
        raise Unconfirmed(question.rstrip("?"), shlex.join(["tscm-migrate", *words]))
    return Terminal(attended=True).confirm(question)
