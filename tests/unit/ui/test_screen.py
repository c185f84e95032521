"""The terminal between questions: typed text is not shown and not lost."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name == "nt", reason="its console echoes a key only when it is read")

PROGRAM = """
import sys, time
from pathlib import Path
from tscm_migrate.ui import operator as screen
with screen.keys_unseen():
    print("identify", flush=True)
    while not Path(sys.argv[1]).exists():
        time.sleep(0.02)
    secret = screen.ask_unseen("passphrase: ")
    more = screen.ask_unseen("once more: ")
    plain = screen.ask("go? ")
print(f"GOT {len(secret)} {secret == more} {plain}", flush=True)
import termios
print("ECHO", bool(termios.tcgetattr(0)[3] & termios.ECHO), flush=True)
"""


def test_text_typed_before_a_question_is_hidden_and_answers_it(tmp_path: Path) -> None:
    from tests.support.terminal import Terminal

    go = tmp_path / "go"
    one = Terminal([sys.executable, "-c", PROGRAM, str(go)], {**os.environ})
    one.wait_for("identify")
    os.write(one.master, b"hunter2-early\n")
    end = time.monotonic() + 1
    while time.monotonic() < end:
        one.read(0.1)
    assert "hunter2" not in one.shown
    go.touch()
    one.wait_for("once more: ")
    os.write(one.master, b"hunter2-early\n")
    one.wait_for("go? ")
    os.write(one.master, b"seen-answer\n")
    one.wait_for("GOT 13 True seen-answer")
    one.wait_for("ECHO True")
    assert "hunter2" not in one.shown
    assert one.shown.count("seen-answer") == 2, "an answer to an ordinary question is echoed"
    assert one.process.wait(60) == 0
