"""What is asked about answers that were given already, in one dialogue: for any wish."""

from __future__ import annotations

import pytest

from tests.unit.appliance.test_other_words import WISHES
from tests.unit.appliance.test_prompts import NAME, VALUES, answer, restoring
from tests.unit.appliance.test_talk import LIST, say, talking
from tscm_migrate.appliance.prompts import Table
from tscm_migrate.appliance.rules import backup_rules


@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize("complaint", [(), ("Invalid answer.",), ("y/n",), ("Sorry, I don't understand.",)])
def test_an_answer_that_was_not_taken_is_spelled_as_is_asked(wish: dict[str, bool], complaint: tuple[str, ...]) -> None:
    talk = talking(restoring(**wish))
    assert say(talk, "Skip the SSH keys? ") == ("n" if wish["restore_ssh"] else "y")
    assert say(talk, *complaint, "Please type 'yes' or 'no': ") == ("no" if wish["restore_ssh"] else "yes")


@pytest.mark.parametrize(
    "told",
    ["Old logs will be deleted.", "Please answer whether we may call you.", "May we call you?", "The moon is green."],
)
def test_a_slot_below_something_new_does_not_get_the_last_answer(told: str) -> None:
    talk = talking(restoring())
    assert say(talk, "Restore the SSH keys? ") == "y"
    assert say(talk, told, "[y/n]: ") is None


@pytest.mark.parametrize("wish", WISHES)
def test_who_asks_whether_one_is_sure_of_the_answer_just_given_hears_yes(wish: dict[str, bool]) -> None:
    talk = talking(restoring(**wish))
    assert say(talk, *LIST, "#? ") == "0"
    assert say(talk, "Are you sure? (y/n) ") == "y"
    say(talk, "Restore cron configuration (y/n)? ")
    assert say(talk, "Are you sure (yes/no)? ") == "yes"
    assert say(talk, "Fish will be sold.", "Are you sure? (y/n) ") is None
    assert say(talk, "Are you sure you do not want to restore cron? (y/n) ") is None


def test_nobody_is_sure_of_what_a_person_answered() -> None:
    talk = talking(restoring())
    assert say(talk, "Restore the SSH keys? ") == "y"
    talk.table.forget()
    assert say(talk, "Are you sure? (y/n) ") is None
    assert say(talk, "Please type 'yes' or 'no': ") is None


SUMMARY = f"Archive : {NAME}\nAddress : {{address}}\nSSH keys: {{ssh}}\nCron    : {{cron}}\n"


@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize("asks", ["Apply? [y/N] ", "Proceed with the restore? [y/N] ", "Is this correct? [y/N] "])
def test_a_summary_is_confirmed_where_it_says_what_is_wanted(wish: dict[str, bool], asks: str) -> None:
    said = {
        "ssh": "restore" if wish["restore_ssh"] else "skip",
        "cron": "yes" if wish["restore_cron"] else "no",
        "address": "10.1.1.50" if wish["bypass_netconf"] else "10.1.1.43/24",
    }
    reversed_ = {"ssh": "skip" if wish["restore_ssh"] else "restore"}
    assert answer(restoring(**wish), SUMMARY.format(**said) + asks) == "y"
    assert answer(restoring(**wish), SUMMARY.format(**{**said, **reversed_}) + asks) is None
    assert answer(restoring(**wish), SUMMARY.format(**{**said, "ssh": "as chosen"}) + asks) is None
    assert answer(restoring(**wish), SUMMARY.format(**{**said, "address": "10.9.9.9"}) + asks) is None
    assert answer(restoring(**wish), SUMMARY.format(**said) + "Abort? [y/N] ") is None


NETWORK_MENU = "Network mismatch!\n backup : 10.1.1.43\n system : 10.1.1.50\n{} backup settings\n2) Keep current settings\n3) Abort\nChoose [1-3]: "


def test_a_menu_of_two_ways_is_answered_by_its_row() -> None:
    assert answer(restoring(), NETWORK_MENU.format("1) Apply")) == "1"
    assert answer(restoring(bypass_netconf=True), NETWORK_MENU.format("1) Apply")) == "2"
    assert answer(restoring(), NETWORK_MENU.format("1) Wipe")) is None
    assert answer(restoring(), "SSH keys\n1) Use current ones\n2) Keep backup's ones\nChoice: ") is None
    encrypted = "How should backups be stored?\n  1) Encrypted (recommended)\n  2) Plain\nSelection [1]: "
    assert answer(Table(backup_rules(encrypt=True), VALUES), encrypted) == "1"
    assert answer(Table(backup_rules(encrypt=False), VALUES), encrypted) == "2"


@pytest.mark.parametrize(
    ("unwanted", "text"),
    [
        ({"restore_ssh": False}, "Press any key to restore the SSH host keys, Ctrl-C to abort"),
        ({"restore_cron": False}, "Press Enter to restore cron or Ctrl-C to abort: "),
        ({"bypass_netconf": True}, "Press Enter to continue with the network configuration: "),
    ],
)
def test_no_key_is_pressed_for_what_is_not_wanted(unwanted: dict[str, bool], text: str) -> None:
    wanted = {name: not value for name, value in unwanted.items()}
    assert answer(restoring(**unwanted), text) is None
    assert answer(restoring(**wanted), text) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Restore devices? [Y/n] ", "y"),
        ("Skip restoring devices? [y/N] ", "n"),
        (f"Restore latest backup ({NAME})? [Y/n] ", "y"),
        ("Is the TSCM this backup was taken from offline? [y/n] ", "y"),
        ("Passphase: ", "pass phrase"),
    ],
)
def test_more_words(text: str, expected: str) -> None:
    assert answer(restoring(), text) == expected
