"""What a person sees who is asked about a remote prompt."""

from __future__ import annotations

import os
import sys

import pytest

from tests.support.terminal import Terminal as Person

ASK = """
import sys
from tscm_migrate.tsadmin.teaching import asks_for_a_secret
from tscm_migrate.tsadmin.intent import Understood
from tscm_migrate.ui.operator import Terminal
question = Understood(sys.argv[1])
unseen = asks_for_a_secret(sys.argv[1])
print(len(Terminal(attended=True).answer("tscm-new", question, [sys.argv[1]], unseen=unseen)), "letters")
"""


def asked(*words: str) -> Person:
    person = Person([sys.executable, "-c", ASK, *words], dict(os.environ))
    person.wait_for("answer> ", limit=30)
    person.type("swordfish")
    person.wait_for("9 letters")
    assert person.finish() == 0, person.shown
    return person


@pytest.mark.parametrize("prompt", ["Archive password (attempt 1 of 3): ", "Passphrase? ", "Decryption key> ", "PIN: "])
def test_what_is_typed_at_a_question_for_a_secret_is_not_seen(prompt: str) -> None:
    assert "swordfish" not in asked(prompt).shown


@pytest.mark.parametrize("prompt", ["Site banner: ", "Show the password? [y/n] ", "Press any key: "])
def test_what_is_typed_at_any_other_question_is_seen(prompt: str) -> None:
    assert "swordfish" in asked(prompt).shown
