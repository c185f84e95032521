"""The output of a terminal as text: control sequences, the echo of an answer, secrets, and limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tscm_migrate.ssh.terminal import MASK, ScreenBuffer


def shown(*packets: bytes) -> str:
    terminal = ScreenBuffer()
    for packet in packets:
        terminal.feed(packet)
    return terminal.text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain", "plain"),
        (b"one\r\ntwo", "one\ntwo"),
        (b"\x1b[1;31mred\x1b[0m? ", "red? "),
        (b"\x1b]0;a title\x07prompt: ", "prompt: "),
        (b"\x1b]0;a title\x1b\\prompt: ", "prompt: "),
        (b" 10%\r 20%\r 100%\r\ndone", " 100%\ndone"),
        (b" 10%\r\x1b[Kgo on? ", "go on? "),
        (b"old\x1b[2Knew", "new"),
        (b"abx\bc", "abc"),
        (b"bell\x07 nul\x00", "bell nul"),
        ("Grüße »".encode(), "Grüße »"),
        (b"bad \xff byte", "bad \ufffd byte"),
        ("ye\u202es\u200b? ".encode(), "yes? "),
        (b"wait\r", "wait"),
    ],
)
def test_terminal_output_is_shown_as_text(raw: bytes, text: str) -> None:
    assert shown(raw) == text


@pytest.mark.parametrize(
    "raw", ["\x1b[1;31mProceed\x1b[0m [y/n] é? ".encode(), b"a\r\nb\r\n \x1b]0;t\x1b\\c\r 5%\rd: "]
)
def test_division_into_packets_does_not_change_the_text(raw: bytes) -> None:
    whole = shown(raw)
    for at in range(len(raw)):
        assert shown(raw[:at], raw[at:]) == whole
    assert shown(*(raw[i : i + 1] for i in range(len(raw)))) == whole


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_any_bytes_are_shown_without_control_characters(packets: list[bytes]) -> None:
    text = shown(*packets)
    assert all(c.isprintable() or c in "\n\t" or not c.isascii() for c in text)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_give_the_same_text_wherever_they_are_divided(raw: bytes, at: int) -> None:
    assert shown(raw[:at], raw[at:]) == shown(raw)


def test_echo_of_the_answer_is_removed_when_it_is_divided() -> None:
    terminal = ScreenBuffer()
    terminal.feed(b"Go on? ")
    terminal.mark("yes")
    for packet in (b"y", b"es", b"\r", b"\nyes, going on\r\n", b"Next: "):
        terminal.feed(packet)
    assert terminal.text == "yes, going on\nNext: "


def test_text_that_only_starts_like_the_echo_is_kept() -> None:
    terminal = ScreenBuffer()
    terminal.mark("y")
    terminal.feed(b"y")
    terminal.feed(b"our name: ")
    assert terminal.text == "your name: "


def test_secret_in_later_output_is_masked() -> None:
    terminal = ScreenBuffer()
    terminal.hide("hunter22")
    terminal.mark("hunter22")
    finished = [line for packet in (b"got hun", b"ter22 ok\r\n", b"again hunter22") for line in terminal.feed(packet)]
    assert finished == [f"got {MASK} ok"]
    assert terminal.line == f"again {MASK}"


def test_length_and_number_of_stored_lines_are_limited() -> None:
    terminal = ScreenBuffer(limit=1000)
    for _ in range(100):
        terminal.feed(b"x" * 500)
    assert len(terminal.line) == 1000
    for _ in range(100):
        terminal.feed(b"y" * 99 + b"\n")
    assert len(terminal.text) <= 1100


def test_unterminated_escape_sequence_does_not_hide_later_text() -> None:
    terminal = ScreenBuffer()
    terminal.feed(b"\x1b]" + b"z" * 5000)
    terminal.feed(b"prompt? ")
    assert terminal.line.endswith("prompt? ")
