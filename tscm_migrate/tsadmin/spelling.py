"""Parses how a question is written around its words: log tag, frame, choice, default, wrapped lines. Pure."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEVELS = "INFO|WARN|WARNING|ERROR|FATAL|DEBUG|TRACE|NOTICE|NOTE|ALERT|CRITICAL|PROMPT|QUESTION|INPUT|ATTENTION|CAUTION|CONFIRM"
_TIME = r"\[?(?:\d{4}([-/])\d\d\1\d\d[T ])?\d\d:\d\d:\d\d(?:[.,]\d{1,6})?(?:Z|[+-]\d\d:?\d\d)?\]?"
_PROGRAM = r"(?:tsadmin|ts-backup)(?:\[\d{1,7}\])?:"
# A level without brackets is a tag only if a text comes after it: "Confirm: " is a question.
_TAG = re.compile(
    rf"\A[ \t]*(?:{_TIME}[ \t]+)?(?:{_PROGRAM}[ \t]+)?"
    rf"(?:\[ *(?:{_LEVELS}) *\](?: ?[a-z]+\[\d+\])? *:? *|<(?:{_LEVELS})> +|(?:{_LEVELS}|(?-i:[IWED])) ?[:!] +(?=\S)|(?:{_LEVELS}) +[-|>] +(?=\S)"
    rf"|(?<=[ \t])(?-i:{_LEVELS}) +(?=\S)|\[[*!x]\] +|\*\* +|[!⚠✔✘?·] +|(?<=[ \t])(?=\S))",
    re.IGNORECASE | re.ASCII,
)
_RULE = re.compile(r"[ \t]*[|+*╔╚╭╰┌└├╠]?[-=─═+*_#~┬┴┼ ]{3,}[|+*╗╝╮╯┐┘┤╣]?[ \t]*")
_SIDES = re.compile(r"^[ \t]*[|│║][ \t]+|[ \t]+[|│║][ \t]*$")
_BLANKS = re.compile(r"[ \t]+")
_END = " \t:>›»=?"


@dataclass(frozen=True)
class Choice:
    """A known spelling of a choice: what is typed for yes and for no.

    `words`: the choice names the actions ("[restore/skip]"), so `yes` does it and `no` does not.
    """

    text: str
    yes: str
    no: str
    words: bool = False


def _choices() -> dict[str, Choice]:
    """Return every spelling, by its text in lower case."""
    choices: list[Choice] = []
    brackets = (("[", "]"), ("(", ")"), ("<", ">"), ("{", "}"))
    for (yes, no), joint in itertools.product(
        (("y", "n"), ("yes", "no"), ("true", "false")), ("/", "|", ",", ", ", " / ", " | ", " or ")
    ):
        for first, second in ((yes, no), (no, yes)):
            inner = f"{first}{joint}{second}"
            choices += [
                Choice(f"{left}{inner}{right}", yes, no) for left, right in (*brackets, ("[ ", " ]"), ("( ", " )"))
            ]
            choices += [
                Choice(f"{left}{inner}{mark} {default}{right}", yes, no)
                for left, right in brackets[:2]
                for mark in (", default", ", default:", "; default")
                for default in (yes, no)
            ]
            if joint not in {",", ", "}:
                choices.append(Choice(inner, yes, no))
    for (does, leaves), (left, right) in itertools.product(
        [
            ("restore", "skip"), ("restore", "keep"), ("replace", "keep"), ("overwrite", "keep"), ("apply", "skip"),
            ("overwrite", "skip"), ("replace", "skip"), ("apply", "keep"), ("now", "later"), ("on", "off"),
        ],
        brackets[:2],
    ):  # fmt: skip
        choices += [Choice(f"{left}{one}{right}", does, leaves, words=True)
                  for one in (f"{does}/{leaves}", f"{leaves}/{does}")]  # fmt: skip
    for y, n, text in [
        ("y", "n", "[y/n/q]"), ("y", "n", "(y/n/q)"), ("yes", "no", "[yes/no/quit]"), ("yes", "no", "[yes/no/cancel]"), ("y", "n", "[y/n/?]"),
        ("y", "n", "[y/n/c]"), ("y", "n", "[y] or [n]"), ("yes", "no", "[yes]/no"), ("yes", "no", "yes/[no]"), ("y", "n", "[yn]"), ("y", "n", "[y]/n"),
        ("y", "n", "y/[n]"), ("yes", "no", "[y]es / [n]o"), ("yes", "no", "[y]es [n]o"), ("yes", "no", "[y]es/[n]o"), ("yes", "no", "(y)es/(n)o"),
        ("yes", "no", "(y)es or (n)o"), ("1", "2", "1=yes 2=no"), ("1", "2", "1) yes 2) no"), ("1", "2", "[1] yes [2] no"),
        ("1", "2", "1. yes 2. no"), ("y", "n", "(y = yes, n = no)"), ("y", "n", "type y for yes or n for no."),
        ("y", "n", "type y for yes or n for no"), ("yes", "no", "(please answer 'yes' or 'no')"),
        ("yes", "no", "please type 'yes' or 'no'"), ("yes", "no", "please answer yes or no"), ("yes", "no", "yes no"),
    ]:  # fmt: skip
        choices.append(Choice(text, y, n))
    return {choice.text: choice for choice in choices}


CHOICES = _choices()
_CHOICE = re.compile(
    r"(?:^|(?<=[ \t?.:])|(?=[\[(<{]))(?P<choice>"
    + "|".join(re.escape(c) for c in sorted(CHOICES, key=len, reverse=True))
    + r")$",
    re.IGNORECASE | re.ASCII,
)
_SLOT_WORDS = re.compile(
    r"(?:^|(?<= ))(?:your choice|your answer|choice|selection|select|answer)$", re.IGNORECASE | re.ASCII
)
_RANGE = re.compile(r"(?:^|(?<=[ \t>])|(?=[\[(]))[\[(]?(?P<low>\d{1,6}) ?- ?(?P<high>\d{1,6})[\])]?$", re.ASCII)
_DEFAULT = re.compile(
    r"(?:[\[(]default(?:(?: is|s to)?[:=]? |=)(?P<default>[^\s\[\](){}<>|,]{1,100})[\])]|\[(?P<square>[^\s\[\](){}<>/|,^]{1,100}|(?:/[\w.-]+)+|[\d.]{7,15}/\d\d?)\]"
    r"|\((?P<round>[\d./]{1,18}|y|n|yes|no)\))$",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True)
class Parsed:
    """The parts of a question: its words, choice and default, and whether a range or a question mark is at its end."""

    words: str
    choice: Choice | None = None
    default: str | None = None
    ranged: bool = False
    marked: bool = False

    @property
    def yes_no(self) -> Choice | None:
        """The choice between yes and no: as shown, or implied by the default or a question mark."""
        if self.choice is not None or self.ranged:
            return self.choice
        if self.default is not None:
            short = {"y": Choice("", "y", "n"), "n": Choice("", "y", "n")}
            long = {"yes": Choice("", "yes", "no"), "no": Choice("", "yes", "no")}
            return (short | long).get(self.default.lower())
        return Choice("", "y", "n") if self.marked else None


_ALONE = re.compile(r"\W(?:default )?(?:\d{1,6}|y|n|yes|no)\W", re.IGNORECASE | re.ASCII)


def _default(bare: str, *, of_choice: bool) -> re.Match[str] | None:
    """Return the default at the end of a text; an address in round brackets before a choice is part of the words."""
    found = _DEFAULT.search(bare)
    if not found or not (found.start() or _ALONE.fullmatch(found[0])):
        return None
    # "Passphrase (1/3): " shows the number of the attempt
    counted = re.fullmatch(r"\d{1,2}/\d{1,2}", found["round"] or "")
    return None if counted or (of_choice and "." in (found["round"] or "")) else found


def take_apart(text: str) -> Parsed:
    """Split log tag, choice, default and final marks off a question; each at most once, from the end."""
    parts = Parsed(plain(text))
    while True:
        bare = parts.words.rstrip(_END)
        shorter = _without_choice(parts) or _without_range(parts, bare) or _without_default(parts, bare)
        shorter = shorter or _without_slot_words(parts, bare)
        if shorter is None:
            shorter = replace(parts, words=bare, marked=parts.marked or "?" in parts.words[len(bare) :])
        if shorter.words == parts.words:
            return replace(shorter, words=shorter.words.rstrip(" ."))
        parts = replace(shorter, marked=shorter.marked or shorter.words.endswith("?"))


def _without_choice(parts: Parsed) -> Parsed | None:
    if parts.choice is not None:
        return None
    rest = parts.words
    # ">" closes "<y/n>", so a known choice at the end is looked for before the end is cut off
    for text in (rest, rest.rstrip(" \t:=?"), rest.rstrip(_END)):
        if found := _CHOICE.search(text):
            choice = CHOICES[found["choice"].lower()]
            return replace(parts, words=text[: found.start()].rstrip(), choice=choice, marked=False)
    return None


def _without_range(parts: Parsed, bare: str) -> Parsed | None:
    found = None if parts.ranged or parts.choice is not None else _RANGE.search(bare)
    return replace(parts, words=bare[: found.start()].rstrip(), ranged=True) if found else None


def _without_default(parts: Parsed, bare: str) -> Parsed | None:
    found = None if parts.default is not None else _default(bare, of_choice=parts.choice is not None)
    if found is None:
        return None
    default = found["default"] or found["square"] or found["round"]
    return replace(parts, words=bare[: found.start()].rstrip(), default=default)


def _without_slot_words(parts: Parsed, bare: str) -> Parsed | None:
    shorter = bare if parts.choice is not None else _SLOT_WORDS.sub("", bare).rstrip()
    return None if shorter in (bare, parts.words) else replace(parts, words=shorter)


def plain(text: str) -> str:
    """Return one line without its log tag, its frame and superfluous blanks."""
    return _BLANKS.sub(" ", _TAG.sub("", _SIDES.sub("", text), count=1)).strip(" ")


def is_rule(line: str) -> bool:
    """Return whether a line is blank or consists of dashes."""
    return not line.strip() or _RULE.fullmatch(line) is not None


_RUNS_ON = re.compile(
    r"(?:[,;-]|\b(?:and|or|the|a|an|to|of|before|after|we|you|i|not|from|with|without|for|if|unless|then|when|while|by|in|on|do|"
    r"don't|never|no|all|every|except|but|than|that|which|is|are|be|will|would|shall|should|this|these|as|until|also))[ \t]*$",
    re.IGNORECASE | re.ASCII,
)


def runs_on(above: str, below: str) -> bool:
    """Return whether the sentence in the line above continues in the line below."""
    first, second = plain(above), plain(below)
    if not first or not second or is_rule(above):
        return False
    indented = below.startswith("\t")
    if indented and not above.startswith("\t") and not second[0].isupper():
        return True
    if first[-1] in ".?!:" or (first[-1] in ")'\"" and not second[0].islower()):
        return False
    return indented or _RUNS_ON.search(first) is not None or _continues(first, second)


def _continues(first: str, second: str) -> bool:
    """Return whether the second line begins as the middle of a sentence does."""
    capitals = first.partition(" ")[0].isupper() and second.isupper()
    return (second[0].islower() or second[0] == "(" or capitals) and (first[-1].isalnum() or first[-1] in ")'\"")


def vocabulary(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


def words_of(line: str) -> list[str]:
    """Return the words of a line in lower case, without digits and marks."""
    return re.findall(r"[^\W\d_]+", line.lower())


def sentences(text: str) -> list[str]:
    """Return the sentences of a line, without their full stops."""
    return [one.rstrip(" .!") for one in re.split(r"(?<=[.!]) +", text) if one.rstrip(" .!")]


def joined(lines: Sequence[str]) -> str:
    """Join several lines to one, as a wrapped question is read."""
    return " ".join(one for line in lines if not is_rule(line) and (one := plain(line)))
