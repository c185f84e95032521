"""A dialogue that was written down tells later whether the rules still know it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tscm_migrate.appliance.recording import Asked, Recording, pattern_of, proposed, replay
from tscm_migrate.errors import UsageError
from tscm_migrate.migration.prompting import table_for
from tscm_migrate.site import Host, PromptRule

if TYPE_CHECKING:
    from pathlib import Path

SUMMARY = ("Network settings", "  address  10.9.9.9/24")  # of an archive that a replay does not have
HOST = Host("tscm-new", "10.1.1.43")
MADE = Recording(
    "tscm-new",
    "restore",
    [
        Asked("Restore SSH configuration? [y/n]:", (), "ssh", "y"),
        Asked("Move 14 quarantined files? [y/n]", ("Found 14 files.",), "operator", "n"),
        Asked("Passphrase:", (), "passphrase"),
    ],
    0,
)


def test_a_recording_comes_back_as_it_was_written(tmp_path: Path) -> None:
    MADE.write(tmp_path / "a.json")
    assert Recording.read(tmp_path / "a.json") == MADE
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(UsageError, match="no recording"):
        Recording.read(tmp_path / "b.json")


def test_a_replay_names_the_rule_or_nobody_and_the_proposed_rule_closes_the_gap() -> None:
    table = table_for(None, HOST, "restore")
    assert [rule for _, rule in replay(MADE, table.rules, table.values)] == ["ssh", "", "passphrase"]
    lines = proposed(MADE)
    assert "[[hosts.tscm-new.prompts]]" in lines
    site = (PromptRule(pattern_of(MADE.asked[1].prompt), "n", "restore"),)
    assert [rule for _, rule in replay(MADE, table.rules, table.values, site)] == ["ssh", "inventory:1", "passphrase"]


def test_the_choice_of_an_archive_needs_no_person_in_a_replay() -> None:
    listed = ("Available backups:", "1) threatstop_backup_2024-05-01_03_00_00.tsbak.gpg")
    asked = Asked("Enter the number of the backup to restore:", listed, "archive", "1")
    table = table_for(None, HOST, "restore")
    assert [rule for _, rule in replay(replace(MADE, asked=[asked]), table.rules, table.values)] == ["archive"]


def test_a_rule_for_a_question_above_a_bare_slot_is_for_that_question_alone() -> None:
    asked = [
        Asked(">", ("One thing more.", "Shall 14 fish be sold? [y/n]"), "operator", "y"),
        Asked(">", ("Shall the moon be", "painted green? [y/n]"), "operator", "n"),
    ]
    made = replace(MADE, asked=asked)
    table = table_for(None, HOST, "restore")
    patterns = [json.loads(line.partition(" = ")[2]) for line in proposed(made) if line.startswith("pattern")]
    sold = (PromptRule(patterns[0], "y", "restore"),)
    assert replay(made, table.rules, table.values, sold) == [
        ("Shall 14 fish be sold? [y/n] >", "inventory:1"),
        ("Shall the moon be painted green? [y/n] >", ""),
    ]
    assert len(patterns) == 2


def test_a_question_without_a_word_gets_no_rule_which_would_answer_every_question() -> None:
    lines = proposed(replace(MADE, asked=[Asked(">", (), "operator", "y")]))
    assert not [line for line in lines if line and not line.startswith("#")]
    assert lines


def test_a_proposed_pattern_fits_other_numbers_but_not_another_question() -> None:
    pattern = pattern_of("Move 14 quarantined files? [y/n]")
    assert re.search(pattern, "Move 3 quarantined files? [y/n]")
    assert not re.search(pattern, "Delete 14 quarantined files? [y/n]")


def test_a_summary_of_the_archives_address_is_known_where_no_archive_is_at_hand() -> None:
    table = table_for(None, HOST, "restore")
    choice = table.choose("Is the above correct? (yes)", SUMMARY)
    assert choice is not None
    assert choice.rule == "apply-settings"
