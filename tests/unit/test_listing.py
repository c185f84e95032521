"""Lists of names in one line."""

from __future__ import annotations

import pytest

from tscm_migrate.util.text import listed


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, ""),
        (1, "d1"),
        (8, "d1, d2, d3, d4, d5, d6, d7, d8"),
        (14, "d1, d2, d3, d4, d5, d6, d7, d8, … and 6 more"),
    ],
)
def test_of_many_names_the_first_are_listed_and_the_rest_are_counted(count: int, text: str) -> None:
    assert listed([f"d{n}" for n in range(1, count + 1)]) == text
