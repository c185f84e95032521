"""A scripted operator at a terminal who answers the questions of `prompts learn` from a table."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, NamedTuple

from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.harness.namespaces import NamespaceLab


FRAMED = re.compile(r"^  \+----\r?$(.*?)^  \+----\r?$", re.MULTILINE | re.DOTALL)
NEWEST = "(the number of the newest archive)"


class TaughtAnswer(NamedTuple):
    """The answer to a question with this text, and the kind as which it is remembered."""

    text: str
    answer: str
    kind: str


def learn(
    lab: NamespaceLab,
    known: Sequence[TaughtAnswer],
    *options: str,
    env: dict[str, str],
    limit: float = 200,
    status: int = 0,
) -> str:
    """Run `prompts learn` to its end, check its exit status, and return all that it printed.

    Raises:
        AssertionError: a question is not in the table, or the exit status is another.
    """
    command = lab.workstation.tool("prompts", "learn", "tscm-new", "--from", "tscm-old", *options)
    screen = Terminal(command, {**lab.env(), **env, "TERM": "dumb", "COLUMNS": "160"})
    asked = ""
    end, seen, taught = time.monotonic() + limit, 0, TaughtAnswer("", "", "")
    try:
        while screen.process.poll() is None and time.monotonic() < end:
            try:
                prompt = screen.wait_for("answer> ", "remember? [Y/n] ", "kind> ", limit=end - time.monotonic())
            except AssertionError:
                break  # it has ended
            if prompt == "answer> ":
                shown = screen.shown[seen:]
                seen = len(screen.shown)
                asked = FRAMED.findall(shown)[-1]
                matching = [one for one in known if re.search(one.text, asked)]
                assert matching, asked
                taught = max(matching, key=lambda one: [m.start() for m in re.finditer(one.text, asked)][-1])
            answer = _number(asked) if taught.answer == NEWEST else taught.answer
            screen.type({"answer> ": answer, "kind> ": taught.kind}.get(prompt, "y"))
        assert time.monotonic() < end, screen.shown
        assert screen.finish(20) == status, screen.shown
        assert ("cannot be remembered" in screen.shown) == bool(status), screen.shown
        return screen.shown
    finally:
        screen.close()


def _number(shown: str) -> str:
    """Return the number (or letter) of the newest archive in a list."""
    rows = re.findall(r"^\W*(\w{1,2})\W+[^\n]*?(\d{4}-\d\d-\d\d[_ ]\d\d[_:]\d\d)(?![^\n]*->)", shown, re.MULTILINE)
    return str(max(rows, key=lambda row: re.sub(r"\D", "", row[1]))[0])
