"""A person who teaches: a script at a terminal that types what a table says, and remembers all of it."""

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


class Taught(NamedTuple):
    """What is typed where the shown question has this text, and as what kind it is remembered."""

    text: str
    answer: str
    kind: str


def learn(
    lab: NamespaceLab, known: Sequence[Taught], *options: str, env: dict[str, str], limit: float = 200, status: int = 0
) -> str:
    """Run `prompts learn` to its end with this exit status; returns all that was shown.

    Raises:
        AssertionError: a question came that the table does not have, or it did not end well.
    """
    command = lab.workstation.tool("prompts", "learn", "tscm-new", "--from", "tscm-old", *options)
    screen = Terminal(command, {**lab.env(), **env, "TERM": "dumb", "COLUMNS": "160"})
    asked = ""
    end, seen, what = time.monotonic() + limit, 0, Taught("", "", "")
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
                found = [one for one in known if re.search(one.text, asked)]
                assert found, asked
                what = max(found, key=lambda one: [m.start() for m in re.finditer(one.text, asked)][-1])
            answer = _number(asked) if what.answer == NEWEST else what.answer
            screen.type({"answer> ": answer, "kind> ": what.kind}.get(prompt, "y"))
        assert time.monotonic() < end, screen.shown
        assert screen.finish(20) == status, screen.shown
        assert ("cannot be remembered" in screen.shown) == bool(status), screen.shown
        return screen.shown
    finally:
        screen.close()


def _number(shown: str) -> str:
    """Of the newest archive in a list; a letter where it has letters."""
    rows = re.findall(r"^\W*(\w{1,2})\W+[^\n]*?(\d{4}-\d\d-\d\d[_ ]\d\d[_:]\d\d)(?![^\n]*->)", shown, re.MULTILINE)
    return str(max(rows, key=lambda row: re.sub(r"\D", "", row[1]))[0])
