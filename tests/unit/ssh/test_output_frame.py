"""The output between two marks is extracted wherever the stream is split; sudo's options fit the kind of input."""

from __future__ import annotations

import pytest

from tests.unit.ssh.test_quoting import needs_sh, said
from tscm_migrate.ssh import quoting
from tscm_migrate.ssh.quoting import Frame, Marks, SudoMarks

BEGIN, END = "tscm-out-1:", "tscm-end-1:"
STREAM = b"Welcome!\ntscm-out-1:first\ntscm-end tscm-end-tscm-end-1:007logout\n"
OUTPUT = b"first\ntscm-end tscm-end-"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 11, len(STREAM)])
def test_output_between_the_marks_is_the_same_for_each_size_of_chunks(size: int) -> None:
    frame = Frame(BEGIN, END)
    taken = [frame.take(STREAM[at : at + size]) for at in range(0, len(STREAM), size)]
    assert b"".join(taken) == OUTPUT
    assert (frame.begun, frame.ended, frame.status) == (True, True, 7)
    assert frame.take(b"more") == b""
    assert frame.rest() == b""


def test_status_is_known_at_its_third_digit() -> None:
    frame = Frame("", END)
    assert frame.begun
    assert frame.take(b"x" + END.encode() + b"01") == b"x"
    assert not frame.ended
    assert frame.take(b"2") == b""
    assert frame.status == 12


def test_end_mark_without_three_digits_is_not_an_end() -> None:
    frame = Frame("", END)
    assert frame.take(b"x" + END.encode() + b"1x2") == b"x"
    assert frame.status is None


def test_output_without_an_end_mark_is_passed_on_at_once() -> None:
    assert Frame("", END).take(b"abc") == b"abc"
    frame = Frame(BEGIN)
    assert not frame.begun
    assert frame.take(b"x" + BEGIN.encode() + b"abc") == b"abc"
    assert frame.take(b"tscm-") == b"tscm-"
    assert not frame.ended


def test_text_before_the_begin_mark_is_limited_to_one_mebibyte() -> None:
    frame = Frame(BEGIN)
    assert frame.take(b"x" * 1_048_565) == b""
    assert frame.take(BEGIN.encode() + b"abc") == b"abc"
    lost = Frame(BEGIN)
    assert lost.take(b"x" * 1_048_576) == b""
    assert lost.take(b"") == b""
    assert lost.take(b"x") == b""
    assert lost.take(BEGIN.encode() + b"abc") == b""
    assert lost.rest() == b"x" * 1_048_576


def test_longest_text_without_a_begin_mark_still_counts() -> None:
    frame = Frame(BEGIN)
    assert frame.take(b"x" * 1_048_576) == b""
    assert frame.take(BEGIN.encode() + b"abc") == b"abc"


@needs_sh
def test_marks_are_printed_around_the_output_with_the_exit_status() -> None:
    marks = Marks()
    shown = said(f"{quoting.plain('echo hello; exit 3', marks=marks)} || true")
    frame = Frame(marks.begin.word, marks.end.word)
    assert frame.take(shown.encode()) == b"hello\n"
    assert frame.status == 3


def test_timeout_is_rounded_up_and_kills_after_five_seconds() -> None:
    assert "exec timeout -k 5 1 sh -c" in quoting.plain("x", seconds=0.2)
    assert "exec timeout -k 5 2 sh -c" in quoting.plain("x", seconds=1.2)
    assert "timeout -k 5" not in quoting.plain("x")
    assert "exec" not in quoting.plain("x", marks=Marks()).partition("tscm-")[2].partition("exit")[0]


@pytest.mark.parametrize(
    ("password", "terminal", "options"),
    [(False, False, "sudo -n --"), (True, False, "sudo -k -S -p {} --"), (True, True, "sudo -k -p {} --")],
)
def test_sudo_reads_the_password_where_it_is_sent(password: bool, terminal: bool, options: str) -> None:  # noqa: FBT001
    sudo = SudoMarks()
    line = quoting.with_sudo("id", sudo, password=password, terminal=terminal)
    assert options.format(sudo.prompt) in line
    assert (" >&2; " in line) is not terminal, "on a terminal there is one output only"


def test_sudo_reads_the_password_from_its_input_unless_there_is_a_terminal() -> None:
    sudo = SudoMarks()
    line = quoting.with_sudo("id", sudo, password=True, marks=Marks())
    assert f"sudo -k -S -p {sudo.prompt}" in line
    assert line.index(sudo.started.nonce) < line.index("tscm-%s-%s: out")


def test_display_of_a_command_has_at_most_120_characters() -> None:
    assert quoting.shown("x" * 120) == "x" * 120
    assert quoting.shown("x" * 121) == "x" * 119 + "…"
