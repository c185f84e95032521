"""Scripts are quoted so that any login shell passes them to sh unchanged."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tscm_migrate.ssh import quoting

needs_sh = pytest.mark.skipif(shutil.which("sh") is None, reason="no sh")


def said(line: str, shell: str = "sh") -> str:
    return subprocess.run([shell, "-c", line], capture_output=True, check=True, timeout=100).stdout.decode()


@needs_sh
@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60))
def test_script_receives_any_text_unchanged(text: str) -> None:
    from shlex import quote

    assert said(quoting.plain(f"printf '%s|' {quote(text)}")).replace("\r\n", "\n") == f"{text}|".replace("\r\n", "\n")


@needs_sh
def test_percent_signs_and_trailing_newlines_are_kept() -> None:
    assert said(quoting.plain("\nprintf '%s%%\\n' 1\n\n")) == "1%\n"


def test_quoted_command_has_no_character_that_other_shells_interpret() -> None:
    line = quoting.with_sudo("a\\b !c\n'd' é", quoting.SudoMarks(), password=True, seconds=9)
    assert not set(line) & set("!\n")
    assert "\\\\" not in line
    assert line.isascii()


def test_each_command_has_its_own_marks() -> None:
    assert quoting.SudoMarks() != quoting.SudoMarks()


def test_display_of_a_script_is_one_line_of_limited_length() -> None:
    assert quoting.shown("one\ntwo") == "one …"
    assert len(quoting.shown("x" * 500)) == 120
    assert quoting.shown("") == ""
