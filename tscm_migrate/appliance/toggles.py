"""A menu of parts with boxes to tick ("1 [x] network  3 [ ] cron - toggle with a number, g to go:"). Pure.

It is one question that is answered several times: a key for each part whose box is not as wished, one at a time, and at
last the key that goes on. A part that is not known makes the whole menu one for a person.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tscm_migrate.appliance.question import vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BOX = re.compile(r"(?<![\w\]])[\[(]?(?P<key>\d{1,2}|[A-Za-z])[\])]?[.:]?\s*\[(?P<box>[xX*+v✓✔_ ]?)\]\s*")
_LABEL = re.compile(r"[A-Za-z](?:[\w/'&]|[ -](?=[A-Za-z]))*")
_HOW = re.compile(
    r"\b(?:toggl\w+|flip\w*|switch\w*|change|turn|tick|numbers?|letters?|(?:un|de)?-?(?:select|check|mark)\w*)\b",
    re.IGNORECASE,
)
_GOES = r"(?:go|start|begin|continue|proceed|done|finish|restore|run|apply|accept|confirm)"
_GO = re.compile(
    rf"(?<![\w\[(])(?:['\"<]?(?P<key>[A-Za-z0-9]|enter|return)['\"`>]?)\s*(?:[=:)-]\s*|\s+(?:to|for|when|if|is|and)\s+)(?:you\s+are\s+)?{_GOES}\b"
    rf"|[\[(](?P<key2>[A-Za-z0-9]|enter|return)[\])]\s*(?:[=:-]\s*)?(?:(?:to|when)\s+)?{_GOES}\b"
    rf"|[\[(](?P<key3>g(?=[\])]o\b)|s(?=[\])]tart\b)|c(?=[\])]ontinue\b)|d(?=[\])]one\b)|p(?=[\])]roceed\b))",
    re.IGNORECASE,
)
_FILLERS = vocabulary("the and of this that settings setting configuration config configurations files file data all")
_PARTS = {
    "network": vocabulary("network networking netconf ip address addresses interface interfaces"),
    "ssh": vocabulary("ssh sshd openssh secure shell host key keys hostkeys identity server"),
    "cron": vocabulary("cron crontab crontabs schedule schedules scheduled jobs job tasks entries"),
    "devices": vocabulary("device devices firewall firewalls configured"),
}
_HEART = {  # without one of these words a label is not about that part: "jobs" may be anybody's
    "network": vocabulary("network networking netconf ip"),
    "ssh": vocabulary("ssh sshd openssh shell hostkeys"),
    "cron": vocabulary("cron crontab crontabs scheduled schedule schedules"),
    "devices": vocabulary("device devices firewall firewalls"),
}


@dataclass(frozen=True)
class Part:
    """A box: the key that turns it, whether it is ticked, what it is of ("" where that is not known)."""

    key: str
    ticked: bool
    what: str


@dataclass(frozen=True)
class Menu:
    """The whole menu as one line, its parts, and the key that goes on; None where that cannot be told."""

    text: str
    parts: tuple[Part, ...]
    go: str | None

    def answer(self, wishes: Mapping[str, bool]) -> str | None:
        """The key to type next; None where the menu is not understood whole."""
        kinds = [part.what for part in self.parts]
        keys = [part.key.lower() for part in self.parts] + [self.go or ""]
        if self.go is None or len({*kinds}) < len(kinds) or len({*keys}) < len(keys):
            return None
        if not all(kind in wishes for kind in kinds) or not _HOW.search(self.text):
            return None
        return next((part.key for part in self.parts if part.ticked != wishes[part.what]), self.go)


def menu(question: str, before: Sequence[str]) -> Menu | None:
    """The menu that `question` belongs to; None where there is none.

    Args:
        question: the line that waits; the boxes may stand in it.
        before: the lines since the last answer; else they stand in these, one or more a line.
    """
    rows = [line.strip(" |│") for line in before if _BOX.search(line)]
    text = "  ".join([*rows, question.strip()])
    boxes = list(_BOX.finditer(text))
    if len(boxes) < 2:
        return None
    ends = [*(box.start() for box in boxes[1:]), len(text)]
    parts = tuple(
        Part(box["key"], bool(box["box"].strip(" _")), _what(text[box.end() : end]))
        for box, end in zip(boxes, ends, strict=True)
    )
    going = [found[found.lastgroup or 0] for found in _GO.finditer(_BOX.sub(" ", text))]
    go = going[0] if len(set(going)) == 1 else None
    return Menu(text, parts, "" if go and go.lower() in {"enter", "return"} else go)


def _what(text: str) -> str:
    """Which part a label names, if all of its words are of that part."""
    label = _LABEL.match(text)
    words = re.findall(r"[a-z]+", label[0].lower()) if label else []
    found = [
        kind
        for kind, own in _PARTS.items()
        if _HEART[kind] & set(words) and all(word in own or word in _FILLERS for word in words)
    ]
    return found[0] if len(found) == 1 else ""
