"""The lines that belong to one question: the paragraph above it, out of its frame, and where it begins. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tscm_migrate.appliance import question as q
from tscm_migrate.appliance import refused, toggles

if TYPE_CHECKING:
    from collections.abc import Sequence

_BEGINS = re.compile(  # a question that is not over at the end of its line
    r"\b(?:do|would|shall|should|will|can)\s+(?:you|we|i|it|the|this)\b|\bif\b|^\W*(?:restore|keep|overwrite|replace|apply|skip)\b",
    re.IGNORECASE,
)
_FRAME = re.compile(  # what is drawn around a text: "+-----+", and "| " at its sides
    r"^\s*[+*╔╚╭╰┌└├╠|]?[-=─═+*┬┴┼#~]{3,}[+*╗╝╮╯┐┘┤╣|]?\s*$|^\s*[|│║](?=\s)|(?<=\s)[|│║]\s*$"
)


def asked_of(line: str, before: Sequence[str]) -> str:
    """The question that a rule of the inventory sees: the line, or what stands above it where it is a bare slot.

    A menu of boxes is seen whole, with the boxes as they stand.
    """
    if (boxes := toggles.menu(line, before)) is not None:
        return boxes.text
    return question_in(line.strip(), paragraph_of(before))


def whole_question(line: str, before: Sequence[str]) -> str:
    """The question with the lines that belong to it, for whoever has to be told of it."""
    if (boxes := toggles.menu(line, before)) is not None:
        return boxes.text
    asks, above = (
        question_in(line.strip(), paragraph_of(before)),
        [text for text in paragraph_of(before) if not q.is_option(text)],
    )
    leads_in = next((text for text in reversed(above) if text not in asks), "")
    if q.is_slot(line) and leads_in and not refused.NEWS.search(leads_in) and re.search(r"[^.][.:;]$", leads_in):
        return f"{leads_in} {asks}"
    return asks


def question_in(line: str, paragraph: Sequence[str]) -> str:
    """The whole question: with the lines of its paragraph that it goes on from, where it begins before its own line."""
    above = [text for text in paragraph if not q.is_option(text)]
    if not above:
        return line
    if q.is_slot(line):
        last = next((index for index in reversed(range(len(above))) if "?" in above[index]), len(above) - 1)
        first = last
        while first and _goes_on(above[first - 1], above[first]):
            first -= 1
        return " ".join([*above[first : last + 1], line])
    if _begins_small(line, above[-1]) and _BEGINS.search(above[-1]) and not re.search(r"[.?!:]\s*$", above[-1]):
        return f"{above[-1]} {line}"
    return line


def _goes_on(line: str, following: str) -> bool:
    """Whether a sentence runs over the end of `line`."""
    return _begins_small(following, line) and not re.search(r"[.?!:]\s*$", line)


def _begins_small(line: str, above: str) -> bool:
    """Whether a line does not begin a sentence; where all is in capitals, nothing in the letters says so."""
    capitals = above.isupper() and q.without_choice(line).isupper()
    return re.match(r"[a-z(]", line) is not None or (capitals and re.match(r"[A-Z(]", line) is not None)


def paragraph_of(lines: Sequence[str], most: int = 6) -> list[str]:
    """The last lines before the question, up to a blank one."""
    taken: list[str] = []
    for line in reversed(lines):
        if not line.strip() and taken:
            break
        if text := _FRAME.sub("", line).strip():
            taken.append(text)
        if len(taken) == most:
            break
    return taken[::-1]
