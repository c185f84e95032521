"""On which line of a TOML file each key stands: tomllib does not tell, and an operator wants to know.

A best effort: it may miss keys inside inline tables (the table's own line is given then), it never fails.
"""

from __future__ import annotations

import re

_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_TABLE = re.compile(rf"^\s*(\[\[?)\s*({_DOTTED})\s*\]")
_ASSIGNMENT = re.compile(rf"^\s*({_DOTTED})\s*=")


def _plain(dotted: str) -> str:
    return ".".join(part.strip("\"'") for part in re.findall(_KEY, dotted))


def lines_of(text: str) -> dict[str, int]:
    """Dotted key → line number, counted from 1; tables in arrays are numbered as in `prompts.0.pattern`."""
    lines: dict[str, int] = {}
    arrays: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _TABLE.match(line):
            table = _plain(header[2])
            if header[1] == "[[":
                arrays[table] = arrays.get(table, -1) + 1
                lines.setdefault(table, number)
                table = f"{table}.{arrays[table]}"
            above = table
            while above:  # [hosts.a] makes `hosts` too
                lines.setdefault(above, number)
                above = above.rpartition(".")[0]
        elif assignment := _ASSIGNMENT.match(line):
            key = _plain(assignment[1])
            lines.setdefault(f"{table}.{key}" if table else key, number)
    return lines
