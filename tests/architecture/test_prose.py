"""Prose uses the field's words; see prose.py for the list, and CONTRIBUTING.md for the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.architecture.prose import ROOT, files, places

if TYPE_CHECKING:
    from pathlib import Path

# The paths whose prose has been rewritten.
REWRITTEN = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "changelog.d",
    "docs",
    "pyproject.toml",
    "release.py",
    "inventory",
    ".ci",
    "benchmarks",
    "tasks.py",
    "tests/architecture",
    "tests/cli",
    "tests/conftest.py",
    "tests/contract",
    "tests/data",
    "tests/docs",
    "tests/harness",
    "tests/lab",
    "tests/mutation.toml",
    "tests/offsite",
    "tests/ssh",
    "tests/support",
    "tests/unit",
    "tests/windows",
    "try.py",
    "tscm_migrate/appliance",
    "tscm_migrate/archive",
    "tscm_migrate/cli",
    "tscm_migrate/demo",
    "tscm_migrate/campaign",
    "tscm_migrate/fleet",
    "tscm_migrate/offsite",
    "tscm_migrate/ui",
    "tscm_migrate/migration",
    "tscm_migrate/events.py",
    "tscm_migrate/inventory",
    "tscm_migrate/model.py",
    "tscm_migrate/notify.py",
    "tscm_migrate/options.py",
    "tscm_migrate/secrets.py",
    "tscm_migrate/errors",
    "tscm_migrate/ssh",
    "tscm_migrate/tasks",
    "tscm_migrate/transfer",
    "tscm_migrate/tsadmin",
    "tscm_migrate/util",
)


@pytest.mark.parametrize("name", REWRITTEN)
def test_prose_of_rewritten_paths_uses_no_listed_word(name: str) -> None:
    hits = [f"{path.relative_to(ROOT)}:{place}" for path in files([str(ROOT / name)]) for place in places(path)]
    assert not hits, "\n".join(hits)


def test_listed_words_are_found_in_comments_docstrings_texts_and_function_names(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        '"""A deed."""\n\nx = 1  # anew\ny = f"{x} is told"\nmend = x  # prose: keep\n'
        "def test_a_knock_is_answered() -> None: ...\ndef test_mending() -> None: ...  # prose: keep\n"
        "class Deed: ...\ndeed = 1\n"
    )
    assert [number for number, _, _ in places(module)] == [1, 3, 4, 6, 8]
