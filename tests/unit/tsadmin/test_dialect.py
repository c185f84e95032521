"""A dialect file: the loader refuses a row that would match more than its text, and names the file and the row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.tsadmin.support import site
from tscm_migrate.errors import DialectError
from tscm_migrate.tsadmin.dialect import SHIPPED, SLOTS, Kind, load
from tscm_migrate.tsadmin.spelling import CHOICES

ROW = '[[question]]\nkind = "ssh"\ntext = "Restore SSH"\n[[question]]\nkind = {kind}\ntext = {text}\n'


@pytest.mark.parametrize(
    "text",
    [
        "Restore .* now", "Restore .+", "Restore [a-z]+", "Restore [^y]", "Restore \\\\w", "Restore * now", "(?i)restore", "^Restore",
        "Restore$", "ssh|cron", "Restore {any}", "Restore {}", "Restore <all>", "Restore x{2,3}", "Restore {ip", "",
        "Restore SSH [y/n/maybe]", "[y/n]",
    ],
)  # fmt: skip
def test_open_row_is_refused_with_file_and_row(text: str) -> None:
    with pytest.raises(DialectError) as caught:
        site(ROW.format(kind='"cron"', text=f'"{text}"'))
    assert caught.value.message().startswith("site.toml: question row 2: ")
    assert caught.value.remedy()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[question]]\nkind = 'sssh'\ntext = 'a b'", "devices-exist"),
        ("[[question]]\nkind = 'ssh'\ntext = 'a {any}'", "{hostname}"),
        ("[[question]]\nkind = 'ssh'\ntext = 'a [y/n/x]'", "[yes|no]"),
        ("choices = ['[y/x]']", "(y or n)"),
        ("[[question]]\nkind = 'ssh'\ntext = 'a b'\nyes = 'no'", "leaves"),
        ("[[question]]\nkind = 'literal'\ntext = 'a b'", "answer"),
        ("[[question]]\nkind = 'ssh'\nquestion = 'a b'", "text"),
        ("[[question]]\nkind = 'confirm'\ntext = 'a b'", "{hostname}"),
        ("[parts]\na = ['<b>']\nb = ['<a>']", "a part must not contain itself"),
        ("[[question]\n", "correct that line"),
    ],
)
def test_dialect_error_lists_the_allowed_values(text: str, says: str) -> None:
    with pytest.raises(DialectError) as caught:
        site(text)
    assert says in caught.value.remedy()


def test_missing_dialect_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DialectError, match=re.escape(str(tmp_path / "no.toml"))):
        load(tmp_path / "no.toml")


def test_shipped_dialects_load_and_each_row_has_a_source() -> None:
    import tomllib

    for name in SHIPPED:
        made = load(name)
        assert made.questions
        path = Path(load.__code__.co_filename).parent / "dialects" / f"{name}.toml"
        text = path.read_text(encoding="utf-8")
        rows = tomllib.loads(text)
        sourced = "Source of every row" in text or all("source" in row for row in (*rows["question"], *rows["fact"]))
        assert sourced, name
    assert set(SLOTS) == {"ip", "cidr", "archive", "device", "hostname", "n", "label"}


def test_choice_at_the_end_of_a_row_is_removed() -> None:
    made = site('[[question]]\nkind = "ssh"\ntext = "Restore SSH [y/N]: "\n')
    assert [(row.kind, row.text) for row in made.questions] == [(Kind.SSH, "Restore SSH")]
    assert "[y/n]" in CHOICES


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ("answers = ['y']", "unknown key 'answers'", "keys are: choices, fact, parts, question, words_of"),
        ("[[question]]\nkind = 'ssh'\ntext = 'a b'\nanswers = 'y'", "unknown key 'answers'", "keys are: above, answer, dialogue"),
        ("[[fact]]\ntext = 'a b'\nabove = 'any'", "unknown key 'above'", "keys are: ips, kind, source, text"),
        ("question = 'a b'", "is not a list of rows", "begin each row with [[question]]"),
        ("fact = ['a b']", "is not a list of rows", "begin each row with [[fact]]"),
        ("[[question]]\nkind = 'ssh'", "has no text", 'set text = "the complete question"'),
        ("[[question]]\nkind = 'ssh'\ntext = 5", "has no text", 'set text = "the complete question"'),
        ("[[question]]\nkind = 'ssh'\ntext = []", "has no text", 'set text = "the complete question"'),
        ("[[fact]]\ntext = ['a b', 5]", "has no text", 'set text = "the complete question"'),
        ("[[question]]\nkind = 'ssh'\ntext = 'a b'\ndoes = 5", "does is not a line of text", "give the text to type"),
        ("[[question]]\nkind = 'ssh'\ntext = 'a b'\nleaves = \"x\\ny\"", "leaves is not a line of text", "give the text to type"),
        ("[parts]\na = ['SSH.*']", "'.*' in 'SSH.*' is not allowed", "write the complete question"),
        ("[parts]\na = ['SSH']\n[[question]]\nkind = 'ssh'\ntext = 'restore <a> <b>'", "'<b>' in ", "write the complete question"),
        ("[[fact]]\ntext = 'restore <a.b>'", "there is no part <a.b>", "parts are: none"),
        ("[parts]\na = ['x']\nb = ['y']\n[[fact]]\ntext = 'restore <a.b>'", "there is no part <a.b>", "parts are: a, b"),
        ("[parts]\na = ['<b>']\nb = ['x <c>']\nc = ['<a>']", "contains itself", "a part must not contain itself"),
        ("[parts]\na = ['x <b']\nb = ['y']\n[[fact]]\ntext = 'a <a> <c-d>'", "'<c-d>' in ", "write the complete question"),
    ],
)  # fmt: skip
def test_problem_of_a_row_is_named_with_its_remedy(text: str, problem: str, remedy: str) -> None:
    with pytest.raises(DialectError) as caught:
        site(text)
    assert problem in caught.value.message()
    assert remedy in caught.value.remedy()


def test_dialect_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_bytes("# Größe\n".encode("latin-1"))
    with pytest.raises(DialectError, match="is not UTF-8 text"):
        load(file)


def test_row_without_options_does_what_it_asks_in_every_dialogue() -> None:
    row, bare = site(
        '[[question]]\nkind = "ssh"\ntext = "Restore SSH"\n[[question]]\nof = ["cron"]\ntext = "Go on"\n'
    ).questions
    assert (row.kind, row.yes, row.above, row.dialogue, row.name) == (Kind.SSH, "does", "any", "any", "Restore SSH")
    assert (bare.kind, bare.above, bare.of) == (None, "fact", {"cron"})
    assert "pattern" not in repr(row)
    (list_prompt,) = site('[[question]]\nkind = "archive"\nabove = "list"\ntext = ">"\n').questions
    assert list_prompt.name == "(a bare prompt below the list)"


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        ("Restore SSH", True), ("restore cron jobs", True), ("Restore the SSH", True), ("Please restore SSH", True),
        ("Please restore the cron jobs", True), ("Restore", False), ("Restore SSH cron jobs", False),
        ("Restore thethe SSH", False), ("RestoreSSH", False), ("Restore the", False), ("Please", False), ("Apply", True),
        ("Apply [y/n]", False),
    ],
)  # fmt: skip
def test_parts_stand_for_their_phrases_and_may_be_left_out(asked: str, *, known: bool) -> None:
    made = site(
        '[parts]\nwhat = ["SSH", "cron jobs"]\nplease = ["please"]\nthe = ["the"]\n[[question]]\nkind = "ssh"\n'
        'text = ["<please>? restore <the>? <what>:", "Apply [y/n]"]\n'
    )
    assert any(row.pattern.fullmatch(asked) for row in made.questions) == known
