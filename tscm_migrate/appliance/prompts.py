"""Prompt tables: which answer a remote question gets, decided purely from its text.

The documents do not give the prompts' words or their order, so a rule recognises a question by its *subject* (the SSH
configuration, cron, the network, …) and its *sense* (restore it, or keep what is here: see `question`), wherever it
comes. What fits no rule, or two rules that disagree, is an unknown prompt: it is never answered by guess.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tscm_migrate.appliance import followup, lettered, refused, toggles
from tscm_migrate.appliance import question as q
from tscm_migrate.appliance import sense as meaning
from tscm_migrate.appliance.paragraph import asked_of, paragraph_of, question_in, whole_question
from tscm_migrate.appliance.question import NO, YES, complete, is_yes_no, looks_like_prompt, spell, vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tscm_migrate.site import PromptRule, Secret

__all__ = [
    "NO",
    "YES",
    "Choice",
    "Rule",
    "Table",
    "asked_of",
    "complete",
    "is_yes_no",
    "looks_like_prompt",
    "spell",
    "whole_question",
]

# A question that speaks of what the lines before it named.
_POINTS_BACK = re.compile(
    r"\b(?:proceed|continue|go\s+(?:on|ahead)|carry\s+on|sure|ok(?:ay)?|confirm|correct|them|it|this|these|that|those|so|"
    r"anyway|overwrite|restore|apply|now|take\s+(?:it|them)\s+over)\b",
    re.IGNORECASE,
)
_MOST_SURE, _MOST_SUMMARIES = 8, 4
_NAME = r"['\"]?[\w.]*[-_\d][\w.-]*['\"]?"
_DEVICE_NAMES = re.compile(
    rf"(?:(?<=device)|(?<=devices)|(?<=device\(s\))|(?<=\())\s*:?\s*{_NAME}(?:,\s*{_NAME})*", re.IGNORECASE
)
_NEWS_FIRST = re.compile(
    r"^[^.?!]*\b(?:was|were|has\s+been|have\s+been|is\s+now|are\s+now|settings|configuration)\s+(?:\w+ly\s+)?"
    r"(?:updated|written|saved|applied|changed|stored)[.!]\s+(?=.*\?)",
    re.IGNORECASE,
)
_ONE_THING = re.compile(r"\b(?:it|this|that)\b", re.IGNORECASE)
_SEVERAL = re.compile(
    r"\b(?:them|these|those|both|all|everything|continue|proceed|go\s+(?:on|ahead)|sure)\b", re.IGNORECASE
)
_ASKS_WHETHER = re.compile(
    r"^\W*(?:do|does|did|shall|should|would|will|can|could|may|is|are|has|have|want)\b|\b(?:do|would|shall|should)\s+(?:you|we|i|it)\b",
    re.IGNORECASE,
)
_LEFT_OUT = re.compile(  # where a ticked box, or the menu, may mean the opposite of "restore this part"
    rf"{refused.VETO.pattern}|\b(?:skip\w*|exclud\w*|omit\w*|keep\w*|preserv\w*|ignor\w*|leave|left|not|without|instead)\b",
    re.IGNORECASE,
)
_OPTIONAL = re.compile(
    r"\b(?:optional|blank|empty|none|if\s+any|leave|skip|when\s+done|to\s+(?:finish|end))\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Rule:
    """One row of a table.

    Args:
        name: stable; shown in the transcript and in the journal.
        subject: what the question must mention, ignoring case.
        answer: "yes" or "no" for a yes/no question (turned round where it asks whether to *keep* what is here), else a
            value's name ("@passphrase") or a literal text.
        kind: yesno; text (a value on a line); secret (never shown); enter (any key).
        times: how often it may answer in one dialogue; a question repeated more often was not understood by us.
        bare: answers a yes/no question without any verb of restoring ("Use DHCP", "Reboot now").
        near: what the question or the lines right before it must also mention.
        weak: gives way to any rule that is not.
        foreign: words that make it another question ("Change the SSH *port*?").
        tolerates: vetoed words that are at home here ("*Enable* DHCP?").
        neutral: words that name the subject and say nothing of what is done.
        beats: rules that it silences.
        only: every word of the question must be one of these; for rules whose subject is a mere "Continue?".
        alone: it wins over every other rule.
        after: the rule that must have given the last answer ("And once more: ").
        refused: said since the last answer, which was its own too, this means that it was not taken.
    """

    name: str
    subject: str
    answer: str
    kind: Literal["yesno", "text", "secret", "enter"] = "yesno"
    times: int | None = 2
    bare: bool = False
    near: str = ""
    weak: bool = False
    foreign: str = ""
    tolerates: str = ""
    neutral: frozenset[str] = frozenset()
    beats: tuple[str, ...] = ()
    only: frozenset[str] = frozenset()
    alone: bool = False
    after: str = ""
    refused: str = ""

    def about(self, text: str, around: str) -> bool:
        """Whether the rule's subject is asked about, and nothing that is foreign to it or vetoed."""
        told = lettered.joined(text)
        if not re.search(self.subject, told, re.IGNORECASE) or not re.search(self.near, around, re.IGNORECASE):
            return False
        told = q.normal(told)
        vetoed = refused.VETO.search(re.sub(self.tolerates, " ", told, flags=re.IGNORECASE) if self.tolerates else told)
        if vetoed or (self.foreign and re.search(self.foreign, re.sub(r"\([^)]*\)", " ", told), re.IGNORECASE)):
            return False
        return not self.only or all(
            word in self.only or word in q.SLOT for word in q.words(_DEVICE_NAMES.sub(" ", text))
        )


@dataclass(frozen=True)
class Choice:
    """What to send: `text` without its newline; `secret` must not be shown; `asked`: the whole question."""

    rule: str
    text: str = field(repr=False)
    secret: bool = False
    asked: str = field(default="", compare=False)
    meant: str = field(default="", compare=False)  # yes or no, however it is spelled


@dataclass
class Table:
    """Rules, the values that they name, and how often each has answered.

    Args:
        rules: in order; those of the site come first.
        values: name without "@" → value; a Secret is revealed only into the Choice; of several values each is given
            once (counted by the rule's name, which is the value's), and the answer "@more:NAME" is yes while one is
            left.
        site_rules: additions from the inventory: a pattern and an answer, taken as they are.
        wishes: part of a restore → whether it is wanted, for a menu in which parts are ticked.
    """

    rules: Sequence[Rule]
    values: Mapping[str, str | Secret | Sequence[str] | None] = field(default_factory=dict, repr=False)
    site_rules: Sequence[PromptRule] = ()
    wishes: Mapping[str, bool] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    last: str = ""  # the rule that gave the last answer
    meant: str = ""  # what that was, where it was a yes or a no

    def sent(self, choice: Choice, question: str) -> None:
        """Count an answer that has been sent; `choose` alone changes nothing."""
        self.used[choice.rule] = self.used.get(choice.rule, 0) + 1
        line = choice.asked or question.strip()
        self.asked[line] = self.asked.get(line, 0) + 1
        self.last, self.meant = choice.rule, choice.meant

    def forget(self) -> None:
        """Somebody else gave the last answer: what follows is about that."""
        self.last = self.meant = ""

    def choose(  # noqa: PLR0911 - each return is one way to an answer
        self, question: str, before: Sequence[str] = ()
    ) -> Choice | None:
        """The answer to `question`, or None where no rule may answer it.

        Args:
            question: the line that waits, without control characters.
            before: the lines since the last answer, oldest first; they decide only where the question points back
                ("Proceed?", "Restore them?"), goes on from the line before, or stands in it ("[y/n]: ").
        """
        line = question.strip()
        paragraph = paragraph_of(before)
        boxes, asks = toggles.menu(line, before), question_in(line, paragraph)
        if (chosen := self._by_site(asks if boxes is None else boxes.text, line)) is not None:
            return chosen
        if boxes is not None:
            return self._turn(boxes, paragraph)
        if refused.another_thing(line, paragraph, self.values, yes_no=is_yes_no(asks, paragraph)):
            return None
        around = " ".join([*paragraph, line])
        matches = self._matches(asks, _NEWS_FIRST.sub("", asks), around, paragraph)
        if not matches and (chosen := self._follows_up(line, before)) is not None:
            return chosen
        if is_yes_no(asks, paragraph) and not any(rule.neutral for rule, _ in matches):
            agreed = followup.agrees(line, paragraph_of(before, 12), self.rules, self.values)
            if agreed is not None:
                doubtful = not agreed or refused.troubled(around) or refused.WILL.search(around)
                again = self.used.get("proceed", 0) >= _MOST_SUMMARIES
                return None if doubtful or again else self._yes_no("proceed", YES, line, paragraph)
        if all(rule.weak for rule, _ in matches) and is_yes_no(asks, paragraph):
            told = [text for text in paragraph if not refused.NEWS.search(text)]
            if refused.WILL.search(" ".join(told)) or refused.troubled(around):
                return None
            if _POINTS_BACK.search(asks) and not refused.VETO.search(q.normal(asks)):
                matches = self._pointed_to(asks, [*told, line], around, paragraph) or matches
        return self._settle(line, matches, paragraph)

    def _turn(self, boxes: toggles.Menu, paragraph: Sequence[str]) -> Choice | None:
        """The next key in a menu of boxes; none where it shows again what was answered already."""
        if _LEFT_OUT.search(" ".join([*paragraph, boxes.text])) or self.asked.get(boxes.text):
            return None
        key = boxes.answer(self.wishes)
        return None if key is None else Choice("parts", key, asked=boxes.text)

    def _follows_up(self, line: str, before: Sequence[str]) -> Choice | None:
        """The answer to what asks about the last answer, or shows a menu of two ways."""
        paragraph = paragraph_of(before, 10)
        times = {rule.name: rule.times for rule in self.rules}.get(self.last) or 2
        if self.meant and self.used.get(self.last, 0) < times and followup.asks_again(line, before):
            return self._yes_no(self.last, self.meant, line, paragraph)
        confirms = (self.meant or self.last == "archive") and self.used.get("sure", 0) < _MOST_SURE
        if confirms and followup.asks_whether_sure(line, before):
            return self._yes_no("sure", YES, line, paragraph)
        if (found := followup.of_menu(paragraph, self.rules)) and q.is_menu_slot(line):
            rule, key = found
            asked_before = self.used.get(rule.name, 0) >= (rule.times or 2)
            return None if asked_before else Choice(rule.name, key, asked=question_in(line, paragraph))
        return None

    def _pointed_to(
        self, asks: str, told: Sequence[str], around: str, paragraph: Sequence[str]
    ) -> list[tuple[Rule, str]]:
        """What a question means that points back: "it" is the nearest thing that was named, "them" may be all."""
        if _ONE_THING.search(asks) and not _SEVERAL.search(asks):
            for first in reversed(range(1, len(told))):
                found = self._matches(asks, " ".join(told[first:]), around, paragraph)
                if found and not all(rule.weak for rule, _ in found):
                    return found
        return self._matches(asks, " ".join(told), around, paragraph)

    def _by_site(self, asks: str, line: str) -> Choice | None:
        for index, rule in enumerate(self.site_rules):
            name = f"inventory:{index + 1}"
            if re.search(rule.pattern, asks, re.IGNORECASE) and self.used.get(name, 0) < (rule.times or 1000):
                return self._value(name, rule.answer, line, before=())
        return None

    def _matches(self, line: str, text: str, around: str, paragraph: Sequence[str]) -> list[tuple[Rule, str]]:
        near = [rule for rule in self.rules if rule.after in ("", self.last) and rule.about(text, around)]
        alone = [rule for rule in near if rule.alone and (rule.kind != "yesno" or is_yes_no(line, paragraph))]
        if alone:
            return [(alone[0], alone[0].answer)]
        beaten = {name for rule in near for name in rule.beats}
        near = [rule for rule in near if rule.name not in beaten]
        yes_no: list[tuple[Rule, str]] = []
        values = [(rule, rule.answer) for rule in near if rule.kind != "yesno"]
        for rule in near:
            sense = meaning.sense(text, rule.neutral | _NEUTRAL, bare=rule.bare) if rule.kind == "yesno" else None
            if sense is not None:
                yes_no.append((rule, rule.answer if sense else _opposite(rule.answer)))
        if not is_yes_no(line, paragraph):
            return values
        if q.spelling(line, paragraph) is None and not meaning.speaks_of_doing(text) and not _ASKS_WHETHER.search(line):
            # "Gateway?" asks for a value; "SSH?" has no value to give
            yes_no = [match for match in yes_no if match[0].bare] or values or yes_no
        return [match for match in yes_no if not match[0].weak] or yes_no or [m for m in values if m[0].kind == "enter"]

    def _settle(self, line: str, matches: list[tuple[Rule, str]], paragraph: Sequence[str]) -> Choice | None:
        if not matches or (len({answer for _, answer in matches}) > 1 and matches[0][0].kind == "yesno"):
            return None
        rule, answer = matches[0]
        if rule.times is not None and self.used.get(rule.name, 0) >= rule.times:
            return None
        if rule.refused and rule.name == self.last and re.search(rule.refused, " ".join(paragraph), re.IGNORECASE):
            return None
        if answer.startswith("@more:"):
            value = self.values.get(answer[6:])
            given = self.used.get(answer[6:], 0)
            left = isinstance(value, Sequence) and not isinstance(value, str) and given < len(value)
            answer = YES if left else NO
        if rule.kind == "text" and (any(map(q.is_option, paragraph[-1:])) or re.search(r"[(\[]\s*\d\s*=", line)):
            return None  # with a menu it is a row that is wanted, not the value
        if rule.kind != "yesno":
            return self._value(rule.name, answer, line, secret=rule.kind == "secret", before=paragraph)
        return self._yes_no(rule.name, answer, line, paragraph)

    def _yes_no(self, name: str, answer: str, line: str, paragraph: Sequence[str]) -> Choice:
        asks = question_in(line, paragraph)
        in_line = q.spelling(line, paragraph) is not None or not q.is_slot(line)
        shows = line if in_line else " ".join([*paragraph[-1:], line])
        return Choice(
            name, spell(shows, answer, paragraph, again=self.asked.get(asks, 0) > 0), asked=asks, meant=answer
        )

    def _value(
        self, name: str, answer: str, line: str, *, before: Sequence[str], secret: bool = False
    ) -> Choice | None:
        if not answer.startswith("@"):
            return Choice(name, answer, secret)
        value = self.values.get(answer[1:])
        if value is None:
            return None
        if isinstance(value, str):
            return Choice(name, value, secret)
        if not isinstance(value, Sequence):
            return Choice(name, value.reveal(), secret=True)
        return self._one_of(name, value, " ".join([*before[-1:], line]))

    def _one_of(self, name: str, values: Sequence[str], line: str) -> Choice | None:
        """The next of several values, all of them where they are wanted on one line, or none where none is left."""
        if separator := _wants_all(line):
            return Choice(name, separator.join(values))
        index = self.used.get(name, 0)
        if index < len(values):
            return Choice(name, values[index])
        return Choice(name, "") if _OPTIONAL.search(line) else None


_NEUTRAL = vocabulary(
    "a an the and or of from in on to this that its your their our my for with by config configs "
    "configuration configurations conf setting settings file files folder directory data entry entries "
    "part section item items backup backups archive archived saved old previous system machine appliance "
    "host server etc now please yes no y n is are do you"
)


def _wants_all(line: str) -> str:
    """What to put between several values that are wanted on one line; "" where each is asked for by itself."""
    if not re.search(r"\b(?:separat\w+|list|comma|space)\b|\bservers\b(?!\s*\d)|\(s\)", line, re.IGNORECASE):
        return ""
    return "," if re.search(r"\bcomma", line, re.IGNORECASE) else " "


def _opposite(answer: str) -> str:
    return {YES: NO, NO: YES}.get(answer, answer)
