"""Lists of names in one line of output."""

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
def test_long_list_shows_eight_names_and_the_number_of_others(count: int, text: str) -> None:
    assert listed([f"d{n}" for n in range(1, count + 1)]) == text
