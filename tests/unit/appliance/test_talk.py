"""One dialogue's decisions: which question gets the list's number, which the passphrase, and what comes again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.unit.appliance.test_prompts import NAME, VALUES, restoring
from tscm_migrate.appliance import listing
from tscm_migrate.appliance.prompts import Table, whole_question
from tscm_migrate.appliance.rules import backup_rules
from tscm_migrate.appliance.talk import _Talk
from tscm_migrate.ssh.exchange import Answer, Exchange, Pending, Stop, Wait

if TYPE_CHECKING:
    from collections.abc import Sequence

LIST = ("   Nr  Size   File", f"    0  1234   /opt/threatstop/backup/{NAME}")


class Nobody:
    attended = False

    def answer(self, _host: str, _prompt: str, _context: str) -> str | None:
        return None


def talking(table: Table) -> _Talk:
    def pick(question: str, lines: Sequence[str]) -> str | None:
        if not listing.asks_for_archive(question, lines):
            return None
        entry = listing.pick(lines, NAME, "/opt/threatstop/backup")
        return entry and entry.number

    return _Talk(cast("Any", None), table, cast("Any", Nobody()), pick)


def say(talk: _Talk, *lines: str) -> str | None:
    """What it types at the last of these lines; None where it would stop."""
    verdict = talk(Pending(lines[-1], "\n".join(lines), lines[:-1], settled=True, quiet=60.0))
    if isinstance(verdict, Answer):
        talk.sent(Exchange(lines[-1].strip(), verdict.rule, verdict.shown))
        return verdict.text
    assert isinstance(verdict, Stop)
    return None


@pytest.mark.parametrize("wording", ["Passphrase of this backup: ", "Enter the password for archive 0: "])
def test_a_passphrase_behind_the_list_is_no_number(wording: str) -> None:
    talk = talking(restoring())
    assert say(talk, *LIST, "Which Nr. shall be taken (0-0)? ") == "0"
    assert say(talk, wording) == "pass phrase"


def test_a_bare_slot_below_another_question_gets_no_number() -> None:
    talk = talking(restoring())
    assert say(talk, *LIST, "#? ") == "0"
    assert say(talk, "Unpacking ...", "Shall the moon be painted green? [y/n]", "> ") is None
    assert say(talk, "Unpacking ...", "The moon is green.", "> ") is None
    assert say(talk, "> ") is None
    assert say(talking(restoring()), *LIST, "Would you like tea? [y/n]", "> ") is None


def test_a_number_that_was_not_taken_is_given_once_more() -> None:
    talk = talking(restoring())
    assert say(talk, *LIST, "Passphrase: ") == "pass phrase"
    assert say(talk, "> ") == "0"
    assert say(talk, "No such number: 0", "> ") == "0"


def test_a_list_that_asks_again_and_again_is_given_up() -> None:
    talk = talking(restoring())
    answers = [say(talk, *LIST, "Which Nr. shall be taken (0-0)? ") for _ in range(3)]
    assert answers == ["0", "0", None]


@pytest.mark.parametrize(
    "again", ["And once more, for the safety: ", "Again: ", "Confirm: ", "Retype to verify: ", "Please repeat it: "]
)
def test_the_passphrase_is_given_again_only_right_after_it(again: str) -> None:
    talk = talking(Table(backup_rules(encrypt=True), VALUES))
    assert say(talk, again) is None
    assert say(talk, "Please give in the new passphrase: ") == "pass phrase"
    assert say(talk, again) == "pass phrase"
    assert say(talk, "Again, the number of your customer account: ") is None


def test_a_slot_that_comes_below_other_questions_is_not_the_same_question_again() -> None:
    talk = talking(restoring())
    assert say(talk, "Shall the SSH host keys be restored?", "> ") == "y"
    assert say(talk, "Shall the cron files be restored?", "> ") == "n"


def test_a_warning_before_a_slot_that_says_how_to_answer_is_understood() -> None:
    text = (
        "WARNING: This system has devices that are already configured. Their configuration is going to be overwritten."
    )
    ask = ("Do you really wish to proceed?", "(please answer 'yes' or 'no') => ")
    assert say(talking(restoring()), text, *ask) == "yes"
    assert say(talking(restoring()), "All logs of this system are going to be deleted.", *ask) is None


def test_a_question_is_shown_with_what_leads_to_it() -> None:
    lines = (
        "Unpacking ...",
        "The archive has the schedule (/etc/cron.d).",
        "Say yes where you",
        "have changed it. Restore it?",
    )
    assert (
        whole_question("> ", lines)
        == "The archive has the schedule (/etc/cron.d). Say yes where you have changed it. Restore it? >"
    )
    assert whole_question("> ", ("Unpacking ...", "Restore it?")) == "Restore it? >"
    assert whole_question("Restore cron? ", ("SSH is restored.",)) == "Restore cron?"


def test_sudo_may_ask_for_each_of_its_calls_but_not_again_for_a_password_that_it_refused() -> None:
    talk = talking(restoring())
    assert [say(talk, "[sudo] Passwort für threatstop: ") for _ in range(12)] == ["sudo word"] * 12
    assert say(talk, "Sorry, try again.", "[sudo] password for threatstop: ") is None
    assert say(talk, "Das hat nicht funktioniert, bitte nochmal probieren.", "[sudo] Passwort für threatstop: ") is None
    assert say(talking(restoring()), "Das ist das Menü.", "[sudo] Passwort für threatstop: ") == "sudo word"


def test_an_unknown_question_above_a_bare_slot_is_not_waited_for_longer_than_one_in_the_line() -> None:
    lines = ("One thing more.", "Shall the fish be sold? [y/n]")
    verdicts = [talking(restoring())(Pending("> ", "", lines, settled=True, quiet=quiet)) for quiet in (1.0, 3.0)]
    assert isinstance(verdicts[0], Wait)
    assert isinstance(verdicts[1], Stop)
