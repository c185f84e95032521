"""How long a line that no rule knows is left alone before the run stops at it."""

from __future__ import annotations

import math

import pytest

from tscm_migrate.appliance.question import may_be_whole_line_prompt, patience


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
def test_a_line_of_a_busy_program_never_counts_as_a_prompt(line: str) -> None:
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
    ],
)
def test_a_clear_question_counts_within_seconds(line: str) -> None:
    assert patience(line, terminated=False) <= 3
    assert patience(line, terminated=True) <= 10


def test_a_mere_colon_gets_longer_but_not_for_ever() -> None:
    assert 10 <= patience("Device edge-asa: ", terminated=False) <= 60


@pytest.mark.parametrize(
    "line", ["[*] SSH configuration restored (6 files)", "Done.", "Unpacking 12/80", "[INFO ] : 4 devices [ok]", ""]
)
def test_a_finished_line_of_a_log_is_no_prompt(line: str) -> None:
    assert not may_be_whole_line_prompt(line)


@pytest.mark.parametrize(
    "line", ["Please type the number of the backup to restore.", "Reboot? Type y for yes or n for no.", "Passphrase:"]
)
def test_a_prompt_may_end_in_a_newline(line: str) -> None:
    assert may_be_whole_line_prompt(line)
