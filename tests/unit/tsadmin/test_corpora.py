"""The shipped dialects answer no question that only a person may answer, and no question wrongly."""

from __future__ import annotations

import itertools
import re

import pytest

from tests.unit.tsadmin.corpora import BACKUP, FOR_A_PERSON, NEVER, RESTORE, TO_A_PERSON
from tests.unit.tsadmin.support import answer, reader
from tscm_migrate.tsadmin.spelling import vocabulary

EVERY_WISH = [
    dict(zip(("restore_ssh", "restore_cron", "bypass_netconf"), options, strict=True))
    for options in itertools.product((True, False), repeat=3)
]
LISTED = (
    "[INFO ] : Available backups:\n  1) /opt/threatstop/backup/threatstop_backup_2026-11-22_10_19_25.tsbak.gpg\n"
    "  2) /home/threatstop/threatstop_backup_2026-11-21_01_00_00.tsbak\n"
)
ADDRESSES = (
    "[WARN ] : IP Address detected on system (10.1.1.50) is not the IP Address stored in the backup (10.1.1.43)\n"
)
DEVICES = (
    "[WARN ] : This TSCM already has devices setup:\n  dc-pan (Palo Alto Networks)\n"
    "[WARN ] : Existing device configurations will be overwritten\n"
)
DOCUMENTED = [
    "Restore SSH configuration[y/n]: ", "Restore Cron configuration[y/n]: ", "Use DHCP[y/n]: ", "IP Address: ", "Subnet Mask: ",
    "Update network configuration[y/n]: ", "This TSCM already has devices setup. Continue with restore[y/n]: ",
    "Enter decryption passphrase: ", "Enter decryption passphrase : ", "Restore SSH configuration? (y or n) [default n] ",
    "Configuring 'Palo Alto Networks'. Continue? (y or n) [default y] ", "[sudo] password for threatstop: ",
    f"{ADDRESSES}Update network configuration[y/n]: ", f"{DEVICES}Continue[y/n]: ",
    f"{LISTED}Enter backup number: ", f"{LISTED}> (1 - 2) [default 1] ",
]  # fmt: skip
# Words that no plain question of a restore or a backup has.
FOREIGN = sorted(vocabulary(
    "not never database certificate firewall portal licence TPM support factory failover promiscuous quarantine telemetry "
    "delete erase wipe merge root remote vendor wireless syslog snapshot cloud upload customer purple partial unsigned legacy "
    "secondary cluster master guest beta kernel firmware disk monitoring temporary rollback other without except previous "
    "later half both reset Ünlü"
))  # fmt: skip


@pytest.mark.parametrize("text", [*FOR_A_PERSON, *NEVER, *TO_A_PERSON])
def test_question_for_a_person_is_never_answered(text: str) -> None:
    assert {answer(reader(**options), text) for options in EVERY_WISH} == {None}
    assert answer(reader("backup"), text) is None


def test_most_corpus_questions_are_answered_and_none_wrongly() -> None:
    found = [
        (text, expected, answer(reader(dialogue), text))
        for dialogue, corpus in (("restore", RESTORE), ("backup", BACKUP)) for text, expected in corpus
    ]  # fmt: skip
    assert [(text, said) for text, expected, said in found if said not in (expected, None)] == []
    assert len(found) == 208
    assert sum(said == expected for _, expected, said in found) >= 195


@pytest.mark.slow
def test_known_question_with_a_foreign_word_is_unknown() -> None:
    """Every place of every question that is known; in those of several lines with a few of the words."""
    assert len(FOREIGN) >= 50
    answered, tried = [], 0
    for dialogue, corpus in (
        ("restore", [*DOCUMENTED, *(text for text, _ in RESTORE)]),
        ("backup", [t for t, _ in BACKUP]),
    ):
        one = reader(dialogue)
        for text in corpus:
            if answer(one, text) is None:
                continue
            words = FOREIGN if "\n" not in text else FOREIGN[::17]
            for place in (0, *(found.end() for found in re.finditer(r"\s+", text.rstrip(" "))), len(text.rstrip(" "))):
                for word in words:
                    tried += 1
                    mutant = f"{text[:place].rstrip(' ') + ' ' if text[:place].strip(' ') else ''}{word} {text[place:].lstrip(' ')}"
                    if answer(one, mutant) is not None:
                        answered.append(mutant)
    assert answered == []
    assert tried > 50_000


def test_documented_question_gets_its_answer() -> None:
    given = [answer(reader(), text) for text in DOCUMENTED]
    assert given == [
        "y", "n", "n", "10.1.1.43", "255.255.255.0", "y", "y", "pass phrase", "pass phrase", "y", "y", "sudo word", "y", "y", "1", "1",
    ]  # fmt: skip
    unwanted = reader(restore_ssh=False, restore_cron=True, bypass_netconf=True, dhcp=True)
    assert [answer(unwanted, text) for text in DOCUMENTED[:3]] == ["n", "y", "y"]
    assert answer(unwanted, DOCUMENTED[5]) == "n"
