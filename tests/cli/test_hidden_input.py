"""The terminal shows what is typed at a remote question, but not an answer to a question for a secret."""

from __future__ import annotations

import os
import sys

import pytest

from tests.support.terminal import Terminal as TypingTerminal

ASK = """
import sys
from tscm_migrate.tsadmin.teaching import asks_for_a_secret
from tscm_migrate.tsadmin.intent import Understood
from tscm_migrate.ui.operator import Terminal
question = Understood(sys.argv[1])
unseen = asks_for_a_secret(sys.argv[1])
print(len(Terminal(attended=True).answer("tscm-new", question, [sys.argv[1]], unseen=unseen)), "characters")
"""


def answer_question(*words: str) -> TypingTerminal:
    terminal = TypingTerminal([sys.executable, "-c", ASK, *words], dict(os.environ))
    terminal.wait_for("answer> ", limit=30)
    terminal.type("swordfish")
    terminal.wait_for("9 characters")
    assert terminal.finish() == 0, terminal.shown
    return terminal


@pytest.mark.parametrize("prompt", ["Archive password (attempt 1 of 3): ", "Passphrase? ", "Decryption key> ", "PIN: "])
def test_answer_to_a_question_for_a_secret_is_hidden(prompt: str) -> None:
    assert "swordfish" not in answer_question(prompt).shown


@pytest.mark.parametrize("prompt", ["Site banner: ", "Show the password? [y/n] ", "Press any key: "])
def test_answer_to_any_other_question_is_visible(prompt: str) -> None:
    assert "swordfish" in answer_question(prompt).shown
