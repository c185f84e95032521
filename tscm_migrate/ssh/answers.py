"""Answers to what a server asks at a login: the password, and one-time codes, which only the operator knows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tscm_migrate.util.redact import outside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tscm_migrate.model import Host
    from tscm_migrate.ssh.auth import Credentials

_PASSWORD = re.compile(r"\b(?:password|passwort|kennwort|mot de passe|contrase.a|wachtwoord)\b", re.IGNORECASE)
_OTHER = re.compile(r"one.?time|\botp\b|code|token|pin\b|duo|factor", re.IGNORECASE)
_CHANGE = re.compile(r"\b(?:new|retype|current)\b.*password|password.*expired|required to change", re.IGNORECASE)


class HungUpError(Exception):
    """The server closed the connection during authentication."""


class PasswordChangeError(Exception):
    """The server wants a new password before it lets anybody in."""


class NoAnswerError(Exception):
    """The server asks something that nobody can answer."""


class Answers:
    """Answers the questions of one keyboard-interactive login.

    Attributes:
        password_given: whether the password was among the answers.
    """

    def __init__(self, host: Host, credentials: Credentials) -> None:
        self._host, self._credentials = host, credentials
        self.password_given = False

    def __call__(self, title: str, instructions: str, prompts: Sequence[tuple[str, bool]]) -> list[str]:
        """The answers, in order.

        Raises:
            PasswordChangeError, NoAnswerError: see there.
        """
        said = " ".join(part.strip() for part in (title, instructions) if part.strip())
        if _CHANGE.search(" ".join([said, *(text for text, _ in prompts)])):
            raise PasswordChangeError(outside(said or prompts[0][0], 200))
        return [self._answer(said, text) for text, _ in prompts]

    def _answer(self, said: str, text: str) -> str:
        question = outside(text.strip(), 200)
        if _PASSWORD.search(text) and not _OTHER.search(text):
            if self.password_given:
                raise NoAnswerError("the password was asked for again")
            found = self._credentials.login_password(self._host)
            self.password_given = found is not None
        else:
            found = self._credentials.login_answer(self._host, outside(f"{said} {text}".strip(), 400))
        if found is None:
            raise NoAnswerError(f"nobody could answer {question!r}")
        return found.reveal()
