"""What belongs to the line that waits: the paragraph above it, and the whole question where it begins there. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tscm_migrate.appliance import refused
from tscm_migrate.appliance.question import is_option, is_slot

if TYPE_CHECKING:
    from collections.abc import Sequence

_BEGINS = re.compile(  # a question that is not over at the end of its line
    r"\b(?:do|would|shall|should|will|can)\s+(?:you|we|i|it|the|this)\b|\bif\b|^\W*(?:restore|keep|overwrite|replace|apply|skip)\b",
    re.IGNORECASE,
)


def asked_of(line: str, before: Sequence[str]) -> str:
    """The question that a rule of the inventory sees: the line, or what stands above it where it is a bare slot."""
    return asked(line.strip(), paragraph_of(before))


def whole_question(line: str, before: Sequence[str]) -> str:
    """The question with the lines that belong to it, for whoever has to be told of it."""
    asks, above = (
        asked(line.strip(), paragraph_of(before)),
        [text for text in paragraph_of(before) if not is_option(text)],
    )
    leads_in = next((text for text in reversed(above) if text not in asks), "")
    if is_slot(line) and leads_in and not refused.NEWS.search(leads_in) and re.search(r"[^.][.:;]$", leads_in):
        return f"{leads_in} {asks}"
    return asks


def asked(line: str, paragraph: Sequence[str]) -> str:
    """The whole question: with the lines that it goes on from, where it begins before its own line."""
    above = [text for text in paragraph if not is_option(text)]
    if not above:
        return line
    if is_slot(line):
        last = next((index for index in reversed(range(len(above))) if "?" in above[index]), len(above) - 1)
        first = last
        while first and _goes_on(above[first - 1], above[first]):
            first -= 1
        return " ".join([*above[first : last + 1], line])
    begins_small = re.match(r"[a-z(]", line) is not None
    if begins_small and _BEGINS.search(above[-1]) and not re.search(r"[.?!:]\s*$", above[-1]):
        return f"{above[-1]} {line}"
    return line


def _goes_on(line: str, following: str) -> bool:
    """Whether a sentence runs over the end of `line`."""
    return re.match(r"[a-z(]", following) is not None and not re.search(r"[.?!:]\s*$", line)


def paragraph_of(lines: Sequence[str], most: int = 6) -> list[str]:
    """The last lines before the question, up to a blank one."""
    taken: list[str] = []
    for line in reversed(lines):
        if not line.strip() and taken:
            break
        if line.strip():
            taken.append(line.strip())
        if len(taken) == most:
            break
    return taken[::-1]
