"""The output of CPAN's Term::Prompt 1.04 and Text::Wrap: questions, menus in columns, wrapped lines."""

from __future__ import annotations

import re

UNKNOWN_WIDTH = 76  # columns of Text::Wrap if those of the terminal are unknown
_TAB = 8


def wrapped(text: str, width: int) -> str:
    """Wrap a prompt as `termwrap` does: one column is left free, and later lines begin with a tab.

    Args:
        text: one line; the blank at its end is kept.
        width: columns of the terminal; 0: unknown.
    """
    columns = width or UNKNOWN_WIDTH
    done, at, room, begin, rest = "", 0, columns - 1, "", ""
    while not re.compile(r"\s*\Z").match(text, at):
        if found := re.compile(rf"([^\n]{{0,{room}}})(\s|\Z)").match(text, at):
            part, rest, at = found[1], found[2], found.end()
        else:  # a word longer than a line
            part, rest, at = text[at : at + room], "\n", at + room
        done += begin + part
        begin, room = "\n\t", max(columns - _TAB - 1, 1)
    return (done + rest + text[at:]).rstrip("\n")


def question(text: str, *, options: str = "", default: str = "", again: bool = False, width: int = 0) -> str:
    """Return a prompt with its options, which are not shown again after a wrong answer, and its default."""
    shown = f"({options}) " if options and not again else ""
    return wrapped(f"{text} {shown}" + (f"[default {default}] " if default else ""), width)


def menu(title: str, items: list[str], *, base: int = 1, width: int = 0) -> str:
    """Return the lines of a menu: items go down the columns, in as many rows as Term::Prompt uses."""
    high = len(items) + base - 1
    digits = len(str(max(high, 1)))
    longest = max(map(len, items))
    columns = max(width // (longest + digits + 3), 1)
    rows = len(items) // columns + 1
    cells = [f"{number:>{digits}}) {item:<{longest}}" for number, item in enumerate(items, base)]
    lines = [f"{title}\n{'-' * len(title)}\n"]
    for row in range(rows):
        there = [cells[at] for at in range(row, len(items), rows)]
        last = there.pop() if len(there) == columns else ""
        lines.append("".join(f"{cell} " for cell in there) + f"{last}\n")
    return "".join(lines) + ("\n" if len(items) != rows * columns else "")
