"""Prose uses the field's words; see prose.py for the list, and CONTRIBUTING.md for the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.architecture.prose import EVERYTHING, ROOT, files, places

if TYPE_CHECKING:
    from pathlib import Path

# Packages one by one, so that the failed one is named.
PARTS = sorted(
    path.relative_to(ROOT).as_posix()
    for name in ("tscm_migrate", "tests")
    for path in (ROOT / name).iterdir()
    if path.name != "__pycache__"
)


@pytest.mark.parametrize("name", [*(name for name in EVERYTHING if name not in {"tscm_migrate", "tests"}), *PARTS])
def test_prose_uses_no_listed_word(name: str) -> None:
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
