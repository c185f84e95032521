"""Known secrets are blanked in whatever is shown or written.

The second line of defence: secrets are kept out of texts by construction; this catches what an appliance echoes
back, or what a library puts into an exception.
"""

from __future__ import annotations

import html
import json
import re
import shlex
import urllib.parse

BLANK = "•••"
_WORD_ONLY = 4  # shorter values are blanked as whole words, or ordinary text would become unreadable
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC: window titles, links
    r"|\x1b[@-Z\\-_]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def printable(text: str) -> str:
    """Text without control sequences, for a terminal or a log; newlines and tabs stay.

    Also drops the marks that reverse the direction of writing: an appliance's words are hostile input.
    """
    return _CONTROL.sub("", text.replace("\r\n", "\n"))


class Redactor:
    """Replaces every value that it was told of; safe to use from several threads."""

    def __init__(self) -> None:
        self._values: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None

    def add(self, value: str) -> None:
        """Blank this value from now on, also where it is escaped for a shell, JSON, HTML or a URL."""
        if not value.strip():
            return
        forms = {
            value,
            shlex.quote(value).strip("'"),
            json.dumps(value)[1:-1],
            json.dumps(value, ensure_ascii=False)[1:-1],
            repr(value)[1:-1],
            html.escape(value),
            urllib.parse.quote(value),
            urllib.parse.quote(value, safe=""),
            urllib.parse.quote_plus(value),
        }
        self._values |= {form for form in forms if form}
        longest_first = sorted(self._values, key=len, reverse=True)
        self._pattern = re.compile("|".join(_expression(form) for form in longest_first))

    def holds(self, value: str) -> bool:
        """Whether this is one of the values, as a whole."""
        return value in self._values

    def __call__(self, text: str) -> str:
        """The text with every known value blanked."""
        return self._pattern.sub(BLANK, text) if self._pattern else text


def _expression(value: str) -> str:
    if len(value) < _WORD_ONLY:
        return rf"(?<!\w){re.escape(value)}(?!\w)"
    return re.escape(value)


known = Redactor()  # the process's own: what one room resolves, no other room may show
