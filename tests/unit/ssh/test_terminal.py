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
def test_a_terminal_shows_it_so(raw: bytes, text: str) -> None:
    assert shown(raw) == text


@pytest.mark.parametrize(
    "raw", ["\x1b[1;31mProceed\x1b[0m [y/n] é? ".encode(), b"a\r\nb\r\n \x1b]0;t\x1b\\c\r 5%\rd: "]
)
def test_the_cut_of_packets_changes_nothing(raw: bytes) -> None:
    whole = shown(raw)
    for at in range(len(raw)):
        assert shown(raw[:at], raw[at:]) == whole
    assert shown(*(raw[i : i + 1] for i in range(len(raw)))) == whole


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_any_bytes_become_text_without_control_characters(packets: list[bytes]) -> None:
    text = shown(*packets)
    assert all(c.isprintable() or c in "\n\t" or not c.isascii() for c in text)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_cut_anywhere_show_the_same(raw: bytes, at: int) -> None:
    assert shown(raw[:at], raw[at:]) == shown(raw)


def test_the_echo_of_what_was_typed_is_taken_out_even_in_pieces() -> None:
    terminal = ScreenBuffer()
    terminal.feed(b"Go on? ")
    terminal.mark("yes")
    for packet in (b"y", b"es", b"\r", b"\nyes, going on\r\n", b"Next: "):
        terminal.feed(packet)
    assert terminal.text == "yes, going on\nNext: "


def test_what_only_begins_like_the_echo_is_kept() -> None:
    terminal = ScreenBuffer()
    terminal.mark("y")
    terminal.feed(b"y")
    terminal.feed(b"our name: ")
    assert terminal.text == "your name: "


def test_a_secret_is_masked_wherever_it_comes_back() -> None:
    terminal = ScreenBuffer()
    terminal.hide("hunter22")
    terminal.mark("hunter22")
    finished = [line for packet in (b"got hun", b"ter22 ok\r\n", b"again hunter22") for line in terminal.feed(packet)]
    assert finished == [f"got {MASK} ok"]
    assert terminal.line == f"again {MASK}"


def test_an_endless_line_and_endless_lines_stay_bounded() -> None:
    terminal = ScreenBuffer(limit=1000)
    for _ in range(100):
        terminal.feed(b"x" * 500)
    assert len(terminal.line) == 1000
    for _ in range(100):
        terminal.feed(b"y" * 99 + b"\n")
    assert len(terminal.text) <= 1100


def test_an_escape_that_never_ends_does_not_swallow_everything() -> None:
    terminal = ScreenBuffer()
    terminal.feed(b"\x1b]" + b"z" * 5000)
    terminal.feed(b"prompt? ")
    assert terminal.line.endswith("prompt? ")
