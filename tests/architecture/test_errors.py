"""Each error class has a code, an exit code, a message and a remedy, and the documentation agrees with them."""

from __future__ import annotations

import pickle
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tscm_migrate import errors
from tscm_migrate.cli.failures import as_text
from tscm_migrate.errors import Exit, MigrateError, Retry

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))

from _generate import about, error_page, example, examples  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator


def subclasses(root: type[MigrateError]) -> Iterator[type[MigrateError]]:
    yield root
    for child in root.__subclasses__():
        yield from subclasses(child)


ERRORS = [error for error in subclasses(MigrateError) if error.__module__.startswith("tscm_migrate")]
LEAVES = [error for error in ERRORS if not error.__subclasses__()]


def by_name(error: type[MigrateError]) -> str:
    return error.__name__


@pytest.mark.parametrize("error", ERRORS, ids=by_name)
def test_error_class_has_unique_code_and_is_exported(error: type[MigrateError]) -> None:
    assert "code" in error.__dict__, "the class inherits its code"
    assert re.fullmatch(r"[a-z]+(\.[a-z0-9-]+)*|[a-z-]+", error.code)
    assert [other for other in ERRORS if other.code == error.code] == [error]
    assert getattr(errors, error.__name__) is error


@pytest.mark.parametrize("error", LEAVES, ids=by_name)
def test_error_has_message_and_remedy(error: type[MigrateError]) -> None:
    sample = example(error)
    assert sample.message().strip()
    assert isinstance(error.retry, Retry)
    assert sample.remedy().strip() or "fix" in sample.__dict__ or "next_command" in sample.__dict__, "no remedy"
    assert str(sample) == sample.message()
    unpickled = pickle.loads(pickle.dumps(sample))  # noqa: S301 - pickled in this line
    assert unpickled.__dict__ == sample.__dict__


@pytest.mark.parametrize("error", ERRORS, ids=by_name)
def test_error_page_has_complete_entry_for_each_error(error: type[MigrateError]) -> None:
    _, heading, rest = error_page().partition(f"## {error.code}\n")
    assert heading, f"no entry for {error.code}"
    entry = rest.partition("\n## ")[0]
    assert about(error) in entry
    assert "- state afterwards: " in entry
    for sample in examples(error):
        assert as_text(sample) in entry


def test_exit_code_page_lists_the_codes_of_the_enum() -> None:
    page = (ROOT / "docs/reference/exit-codes.md").read_text(encoding="utf-8")
    rows = {(int(code), name) for code, name in re.findall(r"^\| (\d+) \| `(\w+)` \|", page, re.MULTILINE)}
    assert rows == {(int(member), member.name) for member in Exit}


def test_inventory_page_names_every_key_and_default() -> None:
    from tscm_migrate.inventory.model import (
        CommandsModel,
        FileModel,
        HooksModel,
        HostModel,
        PathsModel,
        PolicyModel,
    )

    page = (ROOT / "docs/reference/inventory.md").read_text(encoding="utf-8")
    for model in (FileModel, HostModel, HooksModel, CommandsModel, PathsModel, PolicyModel):
        missing = [key for key in model.model_fields if f"`{key}`" not in page and f"`[{key}" not in page]
        assert not missing
    from dataclasses import fields

    from tscm_migrate.model import Paths, Policy
    from tscm_migrate.util.text import seconds_of

    for field in (*fields(Paths), *fields(Policy)):
        row = re.search(rf"^\| `{field.name}` \| `?(.*?)`? \|", page, re.MULTILINE)
        assert row, field.name
        shown = seconds_of(row[1]) if isinstance(field.default, float) else row[1]
        assert str(shown) == str(field.default), field.name
