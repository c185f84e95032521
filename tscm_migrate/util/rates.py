"""Numbers, sizes and rates in text: "4.8 MB" in output, 20M in options (powers of 1000), digits from outside."""

from __future__ import annotations

import re

from tscm_migrate.errors import UsageError

_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmMgG]?)(?:[bB](?:/s)?)?\Z", re.ASCII)
SMALLEST = 1024.0
MOST_DIGITS = 18  # fits in 64 bits; Python itself refuses more than 4300


def number(text: str) -> int | None:
    """The number that `text` is, in ASCII digits and nothing else; else, or with too many digits, None.

    `str.isdigit` is true for "²", which `int` refuses, and `int` takes digits of any script.
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS else None


def parse_limit(text: str | float) -> float:
    """Parse the value of `--limit`: bytes a second, with K, M or G (powers of 1000); "" and "0" mean no limit.

    Raises:
        UsageError: not a valid rate, or one below `SMALLEST`, which is taken for a typing error.
    """
    text = str(text)
    if text.strip() in {"", "0", "0.0"}:
        return 0.0
    match = _RATE.match(text.strip())
    rate = float(match[1]) * {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}[match[2].lower()] if match else 0.0
    if rate < SMALLEST:
        raise UsageError(f"--limit {text!r} is not a valid rate", "bytes a second with K, M or G, as in --limit 20M")
    return rate


def size_text(size: float) -> str:
    """Format a number of bytes for people: "312 B", "4.8 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
