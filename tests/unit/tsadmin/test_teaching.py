"""An answer of the operator becomes an exact row with slots, without secrets, that is valid for other options, too."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.taught import PASSPHRASE, RECORDED, reader_of, teach, typed
from tests.unit.tsadmin.corpora import NAME
from tests.unit.tsadmin.support import SHIPPED, answer, intent, reader, say
from tscm_migrate.model import Secret
from tscm_migrate.tsadmin.dialect import Kind, load
from tscm_migrate.tsadmin.reader import QuestionReader
from tscm_migrate.tsadmin.recording import Recorded, Recording
from tscm_migrate.tsadmin.teaching import Lesson, NotRemembered, asks_for_a_secret, learn
from tscm_migrate.util import redact

if TYPE_CHECKING:
    from pathlib import Path

OTHER = "threatstop_backup_2026-11-21_01_00_00.tsbak"
LIST = f"Nr  File\n0  {NAME}\n"


def lesson(one: QuestionReader, text: str, typed: str, *, unseen: bool = False) -> Lesson:
    lines = text.split("\n")
    return Lesson(one.read(lines), typed, lines, one.intent, one.dialogue, unseen=unseen)


def taught(file: Path, text: str, typed: str, kind: Kind | None = None, **changes: object) -> str:
    """Return the message to the operator; without `kind`, the question must have exactly one possible kind."""
    one = reader("restore", **changes)
    learned = lesson(one, text, typed)
    if kind is None:
        assert len(learned.kinds) == 1, learned.kinds
    return learn(learned, kind or learned.kinds[0], file, one)


def again(file: Path, text: str, **changes: object) -> str | None:
    return answer(QuestionReader(intent(**changes), (load(file), *SHIPPED)), text)


def test_taught_yes_or_no_row_follows_the_options_of_the_run(tmp_path: Path) -> None:
    file = tmp_path / "dialect.toml"
    taught(file, "Shall the keys of the door be painted? [y/n] ", "y", Kind.SSH)
    taught(file, "Shall the door stay as it is? [y/n] ", "n", Kind.SSH)
    taught(file, "Is the bell to ring (j/n)? ", "n", Kind.CRON, restore_cron=False)
    assert [
        again(file, "Shall the keys of the door be painted? [y/n] ", restore_ssh=options) for options in (True, False)
    ] == ["y", "n"]
    assert [
        again(file, "Shall the door stay as it is? (yes/no) ", restore_ssh=options) for options in (True, False)
    ] == [
        "no",
        "yes",
    ]
    assert [again(file, "Is the bell to ring (j/n)? ", restore_cron=options) for options in (False, True)] == [
        "n",
        None,
    ]
    assert again(file, "Shall the keys of the back door be painted? [y/n] ") is None
    assert os.name == "nt" or file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("shown", ["{aye|nay}", "[aye|nay]", "(aye | nay)", "<aye|nay>", "[aye/nay]", "{aye,nay}"])
def test_choice_of_words_is_taught_as_shown(tmp_path: Path, shown: str) -> None:
    file = tmp_path / "dialect.toml"
    question = f"Shall the keys of the door be painted {shown}: "
    taught(file, question, "aye", Kind.SSH)
    taught(file, f"Is this the primary site {shown} ", "nay", Kind.LITERAL)
    assert again(file, question, restore_ssh=True) == "aye"
    assert again(file, f"Is this the primary site {shown} ") == "nay"
    assert again(file, question.replace("nay", "never")) is None
    assert again(file, question.replace("door", "barn")) is None


def test_no_in_a_run_without_ssh_teaches_yes_for_a_run_with_ssh(tmp_path: Path) -> None:
    file = tmp_path / "dialect.toml"
    taught(file, "The lock as well? [y/n] ", "n", Kind.SSH, restore_ssh=False)
    assert again(file, "The lock as well? [y/n] ", restore_ssh=True) == "y"


def test_numbers_and_addresses_become_slots(tmp_path: Path) -> None:
    file = tmp_path / "dialect.toml"
    taught(file, "Move 14 fish from 10.1.1.43 to 10.9.9.9? [y/n] ", "n", Kind.LITERAL)
    assert again(file, "Move 3 fish from 10.1.1.43 to 10.8.8.8? [y/n] ") == "n"
    assert again(file, "Move 3 fish from 10.7.7.7 to 10.8.8.8? [y/n] ") is None
    assert again(file, "Move many fish from 10.1.1.43 to 10.8.8.8? [y/n] ") is None


def test_typed_archive_number_teaches_a_row_of_kind_archive(tmp_path: Path) -> None:
    file = tmp_path / "dialect.toml"
    taught(file, f"{LIST}Which Nr. shall be taken (0-0)? ", "0")
    other = f"Nr  File\n0  threatstop_backup_2020-01-01_00_00_00.tsbak\n1  {NAME}\nWhich Nr. shall be taken (0-1)? "
    assert again(file, other) == "1"
    assert again(file, "Which Nr. shall be taken (0-1)? ") is None


def test_menu_is_taught_with_its_entries_and_a_host_name_as_a_slot(tmp_path: Path) -> None:
    file = tmp_path / "dialect.toml"
    menu = "Network settings saved.\n1) Restart the system now\n2) Return to the shell\n#? "
    taught(file, menu, "2", Kind.LITERAL)
    taught(file, "Type the name of this system (tscm-new) to confirm: ", "tscm-new")
    assert again(file, menu) == "2"
    assert again(file, menu.replace("Return to the shell", "Wipe the disk")) is None
    assert again(file, "#? ") is None
    assert again(file, "Type the name of this system (other) to confirm: ") == "other"


def test_bare_question_is_taught_with_the_lines_above_it(tmp_path: Path) -> None:
    file = tmp_path / "dialect.toml"
    taught(file, "The portal gets a message.\nContinue? [y/n] ", "y", Kind.LITERAL)
    assert again(file, "The portal gets a message.\nContinue? [y/n] ") == "y"
    assert again(file, "All logs are deleted.\nContinue? [y/n] ") is None
    assert again(file, "Continue? [y/n] ") is None


def test_typed_secret_is_not_written_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "dialect.toml"
    one = reader()
    known = lesson(one, "Open sesame: ", "pass phrase")
    assert known.kinds == [Kind.PASSPHRASE]
    learn(known, Kind.PASSPHRASE, file, one)
    unseen = lesson(one, "Password of the archive's lid: ", "hunter2", unseen=True)
    assert unseen.kinds == [], "it is another secret: the passphrase must not be sent there the next time"
    recorded = lesson(reader(passphrase=None, sudo=None), "Password of the archive's lid: ", "hunter2", unseen=True)
    assert recorded.kinds == [Kind.PASSPHRASE, Kind.SUDO], "no known secret was typed, so it can be either"
    learn(recorded, Kind.PASSPHRASE, file, one)
    text = file.read_text(encoding="utf-8")
    assert "pass phrase" not in text
    assert "hunter2" not in text
    assert again(file, "Open sesame: ") == "pass phrase"
    counted = lesson(one, "Key phrase that opens it (1/3): ", "pass phrase")
    learn(counted, Kind.PASSPHRASE, file, one)
    assert again(file, "Key phrase that opens it (2/3): ") == "pass phrase"
    assert asks_for_a_secret("New password: ")
    assert asks_for_a_secret("What is the passphrase? ")
    assert not asks_for_a_secret("Show the password? [y/n] ")
    assert not asks_for_a_secret("Show the password? (no) ")


@pytest.mark.parametrize("text", ["* for all: ", "a.*b? [y/n] ", "{x}? [y/n] "])
def test_question_that_a_dialect_cannot_express_is_reported_and_not_written(tmp_path: Path, text: str) -> None:
    file = tmp_path / "dialect.toml"
    with pytest.raises(NotRemembered):
        taught(file, text, "y", Kind.LITERAL)
    assert not file.exists()


@pytest.mark.parametrize("typed", ["y", "Kq7-vex-zorn"])
def test_known_secret_in_question_or_answer_is_not_written_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    monkeypatch.setattr(redact, "known", redact.Redactor())
    redact.known.add("Kq7-vex-zorn")
    file = tmp_path / "dialect.toml"
    question = "Keep the word Kq7-vex-zorn? [y/n] " if typed == "y" else "Which word opens it? "
    with pytest.raises(NotRemembered, match="secret"):
        taught(file, question, typed, Kind.LITERAL)
    assert not file.exists()


def test_recording_contains_no_known_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "known", redact.Redactor())
    redact.known.add("Kq7-vex-zorn")
    made = Recording("tscm-new", "restore", [Recorded("Kq7-\x1b[1mvex-zorn? ", ("said Kq7-vex-zorn",), "operator")])
    made.write(tmp_path / "made.json")
    assert "vex" not in (tmp_path / "made.json").read_text()
    assert Recording.read(tmp_path / "made.json").asked[0].prompt == f"{redact.BLANK}? "


def test_taught_row_is_used_immediately() -> None:
    one = reader()
    text = "Shall the moon be painted? [y/n] "
    learn(lesson(one, text, "y"), Kind.LITERAL, None, one)
    assert answer(one, text) == "y"


def test_device_list_above_a_specific_question_is_not_taught(tmp_path: Path) -> None:
    file = tmp_path / "dialect.toml"
    asked = "Those that the archive knows as well\nlose what is set here now. Carry on? [y/n]\n> "
    taught(file, f"This machine has devices already:\n  fw-1\n  fw-2\n{asked}", "y", Kind.DEVICES_EXIST)
    assert again(file, f"This machine has devices already:\n  edge\n{asked}") == "y"
    assert "fw-1" not in file.read_text(encoding="utf-8")


def test_archive_list_before_a_pager_prompt_is_used_for_teaching(tmp_path: Path) -> None:
    file = tmp_path / "dialect.toml"
    one = reader()
    assert say(one, f"1) {NAME}\n2) {OTHER}\n--More--") == " "
    asked = ["Slot, please: "]
    known = Lesson(one.read(asked), "1", one.shown(asked), one.intent, one.dialogue)
    assert known.kinds == [Kind.ARCHIVE]
    assert "remembered" in learn(known, Kind.ARCHIVE, file, one)
    assert 'text = "Slot, please' in file.read_text(encoding="utf-8")
    assert again(file, f"1) {OTHER}\n2) {NAME}\nSlot, please: ") == "2"


def test_network_question_is_taught_with_the_address_line_above_it(tmp_path: Path) -> None:
    """Without that line the row would never match: another address above a question makes it another question."""
    file = tmp_path / "dialect.toml"
    ask = "** The backup is of a machine at {}, this one has {}.\nTake over the network settings out of it? [Y/n] "
    told = taught(file, ask.format("10.1.1.43", "10.1.1.50"), "y", Kind.NETWORK)
    assert "remembered as kind network" in told
    assert again(file, ask.format("10.1.1.43", "10.1.1.50")) == "y"
    assert again(file, ask.format("10.1.1.99", "10.1.1.50")) is None
    assert again(file, ask.format("10.1.1.50", "10.1.1.43")) is None


@pytest.mark.parametrize(
    ("above", "typed", "restores"),
    [
        ("Press y to skip, n to restore.", "y", "n"), ("Press n to skip, y to restore.", "n", "y"), ("(yes = keep, no = replace)", "yes", "n"),
        ("N restores it.", "y", "n"), ("Yes leaves it as it is.", "y", "n"),
    ],
)  # fmt: skip
def test_line_that_says_what_yes_does_is_learned_with_its_question(
    tmp_path: Path, above: str, typed: str, restores: str
) -> None:
    file, question = tmp_path / "dialect.toml", "Restore SSH configuration[y/n]: "
    taught(file, f"{above}\n{question}", typed, Kind.SSH, restore_ssh=False)
    other = {"y": "n", "n": "y"}[restores]
    given = [again(file, f"{above}\n{question}", restore_ssh=wanted) for wanted in (True, False)]
    assert given == [restores, other]
    assert again(file, question, restore_ssh=True) == "y"


def test_passphrase_below_an_unknown_line_is_learned_with_that_line(tmp_path: Path) -> None:
    file = tmp_path / "dialect.toml"
    text = "[INFO ] : Bundle 7 has a lid.\nEnter passphrase: "
    taught(file, text, "pass phrase")
    assert again(file, text.replace("7", "12")) == "pass phrase"
    assert again(file, text.replace("lid", "lock")) is None
    assert again(file, "Enter passphrase: ") == "pass phrase"
    assert "pass phrase" not in file.read_text(encoding="utf-8").replace("passphrase", "")


def test_number_of_the_archive_below_an_unknown_heading_is_learned(tmp_path: Path) -> None:
    file = tmp_path / "dialect.toml"
    text = f"Shelf of jars:\n1) {NAME}\nEnter backup number: "
    assert answer(reader(), text) is None
    taught(file, text, "1")
    assert again(file, text) == "1"


@pytest.mark.parametrize(
    "question",
    ["IP Address: ", "Use DHCP[y/n]: ", "ssh config (y/n)?:"],
)
def test_question_below_an_unknown_line_is_learned_with_that_line(tmp_path: Path, question: str) -> None:
    file = tmp_path / "dialect.toml"
    text, typed = f"Shelf 7 of jars.\n{question}", "y" if "y/n" in question else "10.1.1.43"
    assert answer(reader(), text) is None
    taught(file, text, typed, Kind.LITERAL)
    assert again(file, text.replace("7", "8")) == typed
    assert again(file, text.replace("jars", "tins")) is None


@pytest.mark.parametrize("program", RECORDED)
def test_dialect_learned_from_recorded_questions_answers_them_again(tmp_path: Path, program: str) -> None:
    file = tmp_path / "dialect.toml"
    teach(program, file)
    assert PASSPHRASE not in file.read_text(encoding="utf-8")
    for question in RECORDED[program]["questions"]:
        understood = reader_of(program, question["dialogue"], file).read(question["lines"])
        assert understood.kind == question["kind"], question
        wanted = {"ssh": "n", "cron": "n"}.get(question["kind"], typed(question))
        given = understood.answer.reveal() if isinstance(understood.answer, Secret) else understood.answer
        assert given == wanted, question
