"""A dialect is closed: the loader refuses what would match more than it says, and names the place."""

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
