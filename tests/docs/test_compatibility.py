"""Each row of the compatibility page names an existing test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/compatibility.md").read_text(encoding="utf-8")
ROWS = [
    line for line in PAGE.splitlines() if line.startswith("| ") and not re.match(r"\| (---|\S+.* \| test \|$)", line)
]


def test_compatibility_page_has_rows() -> None:
    assert len(ROWS) > 20


@pytest.mark.parametrize("row", ROWS)
def test_row_names_an_existing_test(row: str) -> None:
    tests = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row.rpartition(" | ")[2] or row)
    assert tests, "the row names no test"
    for file, name in tests:
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")
