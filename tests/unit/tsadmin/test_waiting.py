"""How long a live session waits at a line that no row matches, and when it ends the dialogue."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest

from tests.unit.tsadmin.support import reader
from tscm_migrate.ssh.dialogue import Answer, HangUp, Pending, Wait
from tscm_migrate.tsadmin.session import NoOperator, _Session, may_be_complete_prompt, patience


@pytest.mark.parametrize(
    "line",
    [
        "Restoring device edge-asa: ",
        "[INFO ] : Restoring devices:",
        "Unpacking ...",
        "Unpacking…",
        "Devices (3/10)",
        "Devices 40%",
        "[##########            ]",
        "Please wait while the devices are restored (this takes a while): ",
        "Copying files",
        "A restore is in progress (phase 2): ",
    ],
)
def test_progress_line_never_counts_as_a_prompt(line: str) -> None:
    assert patience(line, terminated=False) == math.inf
    assert patience(line, terminated=True) == math.inf


@pytest.mark.parametrize(
    "line",
    [
        "Send the logs to support [y/n]: ",
        "Restoring will delete the logs. Continue? (yes/no) ",
        "What is your favourite colour? ",
        "A restore is in progress (phase 2). Continue it? ",
        "1 [x] network  2 [x] site banner - toggle with a number, g to go: ",
        "Attach the site banner? (none) ",
        "Enter the licence key: ",
        "Type the name of the site",
        "Lock the archive? {aye|nay} ",
        "Lock the archive? {a,b}: ",
    ],
)
def test_clear_question_counts_as_a_prompt_within_seconds(line: str) -> None:
    assert patience(line, terminated=False) <= 3
    assert patience(line, terminated=True) <= 10


def test_line_ending_in_a_colon_counts_as_a_prompt_within_a_minute() -> None:
    assert 10 <= patience("Device edge-asa: ", terminated=False) <= 60
    assert 10 <= patience("Lock the archive {aye|nay} ", terminated=False) <= 60
    assert 10 <= patience("Shall it be locked? 1=aye 2=nay, or 3 for later", terminated=False) <= 60


@pytest.mark.parametrize(
    "line", ["[*] SSH configuration restored (6 files)", "Done.", "Unpacking 12/80", "[INFO ] : 4 devices [ok]", ""]
)
def test_finished_log_line_is_not_a_prompt(line: str) -> None:
    assert not may_be_complete_prompt(line)


@pytest.mark.parametrize(
    "line", ["Please type the number of the backup to restore.", "Reboot? Type y for yes or n for no.", "Passphrase:"]
)
def test_prompt_may_end_in_a_newline(line: str) -> None:
    assert may_be_complete_prompt(line)


def verdict(text: str, *, quiet: float, settled: bool = True) -> Answer | Wait | HangUp:
    *lines, last = text.split("\n")
    session = _Session(cast("Any", None), reader(), NoOperator(), lambda _understood: None)
    return session(Pending(last, text, tuple(lines), settled=settled, quiet=quiet))


def test_question_is_answered_at_once_only_if_its_choice_is_complete() -> None:
    assert isinstance(verdict("Restore SSH", quiet=0.0, settled=False), Wait)
    assert isinstance(verdict("Restore SSH configuration? ", quiet=0.0, settled=False), Wait)
    assert isinstance(verdict("Restore SSH configuration[y/n]: ", quiet=0.0, settled=False), Answer)


@pytest.mark.parametrize(
    ("begun", "seconds"), [("Restore SSH configuration? ", 0.9), ("Enter decryption passphrase", 3.0)]
)
def test_known_question_without_its_end_is_answered_after_a_pause(begun: str, seconds: float) -> None:
    assert isinstance(verdict(begun, quiet=seconds), Wait)
    assert isinstance(verdict(begun, quiet=6.0), Answer)
    assert isinstance(verdict("Enter decryption passphrase: ", quiet=0.2), Answer)


def test_unknown_question_ends_the_dialogue_after_a_pause() -> None:
    text = "One thing more.\nShall the fish be sold? [y/n]\n> "
    assert isinstance(verdict(text, quiet=1.0), Wait)
    assert isinstance(verdict(text, quiet=3.0), HangUp)
