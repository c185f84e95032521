"""How the input of the operator at the terminal is interpreted."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from tscm_migrate.tsadmin.dialect import Kind
from tscm_migrate.tsadmin.intent import Understood
from tscm_migrate.ui.operator import Terminal
from tscm_migrate.util import redact

MOON = Understood("Moon?", why="no row knows this question")


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


@pytest.mark.parametrize(("text", "answer"), [("y\n", "y"), ("\n", ""), ("!\n", None), ("", None)])
def test_end_of_input_answers_no_prompt(monkeypatch: pytest.MonkeyPatch, text: str, answer: str | None) -> None:
    typed(monkeypatch, text)
    assert Terminal(attended=True).answer("tscm-new", MOON, ["Stars.", "Moon? "]) == answer


def test_hidden_answer_becomes_a_known_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The appliance has it now, and may print it into the journal, the report and the output."""
    monkeypatch.setattr(redact, "known", redact.Redactor())
    typed(monkeypatch, "Kq7-vex-zorn\nplain-word-9\n")
    terminal = Terminal(attended=True)
    assert terminal.answer("tscm-new", MOON, ["Moon? "], unseen=True) == "Kq7-vex-zorn"
    assert terminal.answer("tscm-new", MOON, ["Moon? "]) == "plain-word-9"
    assert redact.clean("it says Kq7-vex-zorn and plain-word-9") == f"it says {redact.BLANK} and plain-word-9"


def test_prompt_without_an_operator_has_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "y\n")
    assert Terminal(attended=False).answer("tscm-new", MOON, ["Moon? "]) is None
    assert not Terminal(attended=False).confirm("Go?")


def test_end_of_input_is_not_a_confirmation(monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "")
    assert not Terminal(attended=True).confirm("Go?")


def test_lines_since_the_last_answer_are_shown_with_the_proposal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, "\n\n\n")
    shown = [f"line {number}" for number in range(40)]
    Terminal(attended=True).answer("tscm-new", MOON, [*shown, "\x1b[31mMoon? "])
    unknown = capsys.readouterr().err
    assert "tscm-new asks something that no dialect knows" in unknown
    assert all(f"  | {line}\n" in unknown for line in shown)
    assert "\x1b" not in unknown
    assert unknown.endswith("answer> ")
    Terminal(attended=True).answer("tscm-new", Understood("Moon?", suggestion="y"), shown)
    assert "suggestion: 'y' (Enter takes it)" in capsys.readouterr().err
    known = Understood("Passphrase:", Kind.PASSPHRASE, answer="swordfish", secret=True)
    Terminal(attended=True).answer("tscm-new", known, ["Passphrase: "])
    told = capsys.readouterr().err
    assert "no dialect knows" not in told
    assert "known as passphrase; Enter types '(secret)'" in told
    assert "swordfish" not in told


@pytest.mark.parametrize(
    ("text", "kinds", "expected"),
    [
        ("\n", [Kind.SSH], Kind.SSH),
        ("y\nCron\n", [Kind.LITERAL, Kind.CRON], Kind.CRON),
        ("y\n\n", [Kind.LITERAL, Kind.CRON], Kind.LITERAL),
        ("\nwhat\ncron\n", [Kind.LITERAL, Kind.CRON], Kind.CRON),
        ("\na\nb\nc\n", [Kind.LITERAL, Kind.CRON], None),
        ("n\n", [Kind.SSH], None),
        ("", [Kind.SSH], None),
        ("y\n", [Kind.LITERAL, Kind.CRON], None),
    ],
)
def test_answer_is_saved_with_the_typed_kind(
    monkeypatch: pytest.MonkeyPatch, text: str, kinds: list[Kind], expected: Kind | None
) -> None:
    typed(monkeypatch, text)
    assert Terminal(attended=True).remember("tscm-new", "Moon?", kinds) is expected


def test_answer_saved_at_the_second_attempt_is_not_reported_unsaved() -> None:
    person = Terminal(attended=True)
    person.inform("the network settings may be next")
    person.inform("it would not match", "Moon?", saved=False)
    person.inform("it is a secret", "Sun?", saved=False)
    person.inform("remembered", "Moon?")
    assert person.unsaved == {"Sun?": "it is a secret"}


BACKGROUND = """
import os, pty, sys
child, terminal = pty.fork()
if not child:  # it leads the session; its own child is in the background
    job = os.fork()
    if not job:
        os.setpgid(0, 0)
        from tscm_migrate.ui import operator
        with operator.keys_unseen():
            os._exit(0)
    try:
        os.setpgid(job, job)
    except OSError:
        pass  # it has done so itself
    _, status = os.waitpid(job, os.WUNTRACED)
    stopped = os.WIFSTOPPED(status)
    if stopped:
        os.kill(job, 9)
    os._exit(3 if stopped else os.waitstatus_to_exitcode(status))
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no job control")
def test_run_in_the_background_is_not_stopped_by_its_terminal() -> None:
    done = subprocess.run([sys.executable, "-c", BACKGROUND], timeout=60, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"3: it was stopped\n{done.stderr}"
