"""Numbers in text from outside."""

from __future__ import annotations

MOST_DIGITS = 18  # fits in 64 bits; Python itself refuses more than 4300


def number(text: str) -> int | None:
    """The number that `text` is, in ASCII digits and nothing else; else, or with too many digits, None.

    `str.isdigit` is true for "²", which `int` refuses, and `int` takes digits of any script.
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS else None
