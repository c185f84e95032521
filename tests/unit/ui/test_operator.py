"""What the person at the terminal is taken to have said."""

from __future__ import annotations

import io
import sys

import pytest

from tscm_migrate.ui.operator import Terminal


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


@pytest.mark.parametrize(("text", "answer"), [("y\n", "y"), ("\n", ""), ("!\n", None), ("", None)])
def test_an_end_of_input_answers_no_prompt(monkeypatch: pytest.MonkeyPatch, text: str, answer: str | None) -> None:
    typed(monkeypatch, text)
    assert Terminal(attended=True).answer("tscm-new", "Moon? ", "Stars.\nMoon? ") == answer


def test_nobody_answers_where_nobody_is(monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "y\n")
    assert Terminal(attended=False).answer("tscm-new", "Moon? ", "Moon? ") is None
    assert not Terminal(attended=False).confirm("Go?")


def test_an_end_of_input_confirms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "")
    assert not Terminal(attended=True).confirm("Go?")


def test_a_bare_slot_is_not_quoted_as_if_it_were_the_question(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, "y\n")
    Terminal(attended=True).answer("tscm-new", "> ", "Shall the fish be sold? [y/n]\n> ")
    shown = capsys.readouterr().err
    assert "  | Shall the fish be sold? [y/n]\n" in shown
    assert "'> '" not in shown
    assert "your answer" in shown
