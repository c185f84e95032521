"""Prompt tables: which answer a remote question gets, decided purely from its text.

The documents do not give the prompts' words or their order, so a rule recognises a question by its *subject* (the SSH
configuration, cron, the network, …) and its *sense* (restore it, or keep what is here), wherever it comes. What fits no
rule, or two rules that disagree, is an unknown prompt: it is never answered by guess.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tscm_migrate.site import PromptRule, Secret

YES, NO = "yes", "no"

_HINT = re.compile(
    r"[\[(<{]\s*(?P<yes>y(?:es)?)\s*(?:[/|,]|\bor\b)\s*(?P<no>n(?:o)?)\s*[\])>}]|\b(?P<y2>yes)\s*(?:/|or)\s*(?P<n2>no)\b"
    r"|(?<![a-z])(?P<y3>y)\s*(?:/|or)\s*(?P<n3>n)(?![a-z])"
    r"|\b(?P<y4>y)\b.{1,20}\b(?P<n4>n)\b|\b(?P<y5>yes)\b.{1,20}\b(?P<n5>no)\b",
    re.IGNORECASE,
)
_TYPE_WORD = re.compile(
    r"(?:type|enter|say|answer)\s+['\"`](?P<word>[A-Za-z]{1,12})['\"`]\s+(?:to|if)\b", re.IGNORECASE
)
# Nobody asked for these: such a question is never one of ours, whatever else it mentions.
_VETO = re.compile(
    r"\b(?:send|upload|share|submit|report(?:ing)?|statistic\w*|telemetry|diagnostic\w*|licen[cs]e|register|registration|"
    r"subscri\w+|delet\w+|remov\w+|purg\w+|wip\w+|eras\w+|format\w*|factory|reset|donat\w+|survey|feedback|agree|eula|"
    r"terms|support|enabl\w+|disabl\w+|regenerat\w+|generat\w+|upgrad\w+)\b",
    re.IGNORECASE,
)
_RESTORE = re.compile(
    r"\b(?:re-?stor\w*|reinstat\w*|put|bring|brought|recover\w*|re-?appl\w*|appl(?:y|ied|ying)|import\w*|install\w*|load\w*|"
    r"includ\w*|take\s+over|taken\s+over|carry|carried|transfer\w*|cop(?:y|ied)|re-?creat\w*|set|us(?:e|ing)|adopt\w*|"
    r"overwrit\w*|overwritten|replac\w*|chang\w*|updat\w*|switch\w*|(?:re-?)?configur(?:e|ing)|writ\w*|assum\w*|reus\w*|"
    r"as\s+well|too|also|want|correct|fix|adjust\w*|move|rewrit\w*|match)\b",
    re.IGNORECASE,
)
_KEEP = re.compile(r"\b(?:keep\w*|leav\w*|preserv\w*|retain\w*|skip\w*|bypass\w*|ignor\w*|omit\w*)\b", re.IGNORECASE)
_NOT = re.compile(r"\b(?:not|don't|dont|never|without|n't)\b", re.IGNORECASE)
# A question that speaks of what the lines before it named.
_POINTS_BACK = re.compile(
    r"\b(?:proceed|continue|go\s+(?:on|ahead)|carry\s+on|sure|ok(?:ay)?|confirm|them|it|this|these|that|those|so|anyway|"
    r"overwrite|restore|apply)\b",
    re.IGNORECASE,
)
_ASKS_WHETHER = re.compile(
    r"^\W*(?:do|does|did|shall|should|would|will|can|could|may|is|are|has|have|want)\b|\b(?:do|would|shall|should)\s+(?:you|we|i|it)\b",
    re.IGNORECASE,
)
_PROMPT_END = re.compile(r"(?:[?:>»\])=]|\b[yY]/[nN])\s*$")


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
    """

    name: str
    subject: str
    answer: str
    kind: Literal["yesno", "text", "secret", "enter"] = "yesno"
    times: int | None = 2
    bare: bool = False
    near: str = ""
    weak: bool = False


@dataclass(frozen=True)
class Choice:
    """What to send: `text` without its newline; `secret` must not be shown."""

    rule: str
    text: str
    secret: bool = False


@dataclass
class Table:
    """Rules, the values that they name, and how often each has answered.

    Args:
        rules: in order; those of the site come first.
        values: name without "@" → value; a Secret is revealed only into the Choice; of several values each is given
            once (counted by the rule's name, which is the value's), and the answer "@more:NAME" is yes while one is
            left.
        site_rules: additions from the inventory: a pattern and an answer, taken as they are.
    """

    rules: Sequence[Rule]
    values: Mapping[str, str | Secret | Sequence[str] | None] = field(default_factory=dict)
    site_rules: Sequence[PromptRule] = ()
    used: dict[str, int] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)

    def sent(self, choice: Choice, question: str) -> None:
        """Count an answer that has been sent; `choose` alone changes nothing."""
        self.used[choice.rule] = self.used.get(choice.rule, 0) + 1
        line = question.strip()
        self.asked[line] = self.asked.get(line, 0) + 1

    def choose(self, question: str, before: Sequence[str] = ()) -> Choice | None:
        """The answer to `question`, or None where no rule may answer it.

        Args:
            question: the line that waits, without control characters.
            before: the lines since the last answer, oldest first; they decide only where the question points back
                ("Proceed?", "Restore them?").
        """
        line = question.strip()
        if (chosen := self._by_site(line)) is not None:
            return chosen
        if _VETO.search(_without_log_tag(line)):
            return None
        around = " ".join([*_paragraph(before), line])
        matches = self._matches(line, line, around)
        if all(rule.weak for rule, _ in matches) and is_yes_no(line) and _POINTS_BACK.search(line):
            matches = self._matches(line, around, around)
        return self._settle(line, matches)

    def _by_site(self, line: str) -> Choice | None:
        for index, rule in enumerate(self.site_rules):
            name = f"inventory:{index + 1}"
            if re.search(rule.pattern, line, re.IGNORECASE) and self.used.get(name, 0) < (rule.times or 1000):
                return self._value(name, rule.answer)
        return None

    def _matches(self, line: str, text: str, around: str) -> list[tuple[Rule, str]]:
        near = [
            rule
            for rule in self.rules
            if re.search(rule.subject, text, re.IGNORECASE) and re.search(rule.near, around, re.IGNORECASE)
        ]
        yes_no: list[tuple[Rule, str]] = []
        values = [(rule, rule.answer) for rule in near if rule.kind != "yesno"]
        for rule in near:
            sense = _sense(text, bare=rule.bare) if rule.kind == "yesno" else None
            if sense is not None:
                yes_no.append((rule, rule.answer if sense else _opposite(rule.answer)))
        if not is_yes_no(line):
            return values
        if not _says_yes_no(line) and not _RESTORE.search(text) and not _ASKS_WHETHER.search(line):
            # "Gateway?" asks for a value; "SSH?" has no value to give
            yes_no = [match for match in yes_no if match[0].bare] or values or yes_no
        return [match for match in yes_no if not match[0].weak] or yes_no or [m for m in values if m[0].kind == "enter"]

    def _settle(self, line: str, matches: list[tuple[Rule, str]]) -> Choice | None:
        if not matches or (len({answer for _, answer in matches}) > 1 and matches[0][0].kind == "yesno"):
            return None
        rule, answer = matches[0]
        if rule.times is not None and self.used.get(rule.name, 0) >= rule.times:
            return None
        if answer.startswith("@more:"):
            value = self.values.get(answer[6:])
            given = self.used.get(answer[6:], 0)
            left = isinstance(value, Sequence) and not isinstance(value, str) and given < len(value)
            answer = YES if left else NO
        if rule.kind != "yesno":
            return self._value(rule.name, answer, secret=rule.kind == "secret")
        return Choice(rule.name, spell(line, answer, again=self.asked.get(line, 0) > 0))

    def _value(self, name: str, answer: str, *, secret: bool = False) -> Choice | None:
        if not answer.startswith("@"):
            return Choice(name, answer, secret)
        key = answer[1:]
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, str):
            return Choice(name, value, secret)
        if isinstance(value, Sequence):
            index = self.used.get(name, 0)
            return Choice(name, value[index], secret) if index < len(value) else None
        return Choice(name, value.reveal(), secret=True)


def _says_yes_no(line: str) -> bool:
    return bool(_HINT.search(line) or _TYPE_WORD.search(line))


def is_yes_no(line: str) -> bool:
    """Whether the question wants yes or no: it says so, or ends in a question mark and asks for no value."""
    if _says_yes_no(line):
        return True
    return bool(re.search(r"\?\s*[:>]?\s*$", line)) and not re.match(
        r"\W*(?:which|what|where|how|who)\b", _without_log_tag(line), re.IGNORECASE
    )


def looks_like_prompt(line: str) -> bool:
    """Whether an unfinished line ends as prompts do; "Restoring devices..." does not."""
    return bool(_PROMPT_END.search(line.rstrip())) or bool(_HINT.search(line))


def complete(line: str) -> bool:
    """Whether a line that may still grow ends with its choice ("[y/n]: "), so that what is asked is all there."""
    return bool(re.search(r"[\[(<{]\s*y(?:es)?\s*[/|]\s*n(?:o)?\s*[\])>}]\s*[:?>»›]?\s*$", line, re.IGNORECASE))


def spell(line: str, answer: str, *, again: bool = False) -> str:
    """Write yes or no the way the question wants it: "y" for [y/n], "yes" for (yes/no), "YES" for: type 'YES' to …"""
    if answer == YES and (word := _TYPE_WORD.search(line)):
        return word["word"]
    hint = _HINT.search(line)
    long = bool(hint and any((hint[k] or "").lower() == "yes" for k in ("yes", "y2", "y5")))
    if hint is None:
        long = again  # the short form was not taken
    return answer if long else answer[0]


def _sense(text: str, *, bare: bool) -> bool | None:
    """True: yes means to do it; False: yes means to leave it; None: cannot be told."""
    keeps, denies = _KEEP.search(text), _NOT.search(text)
    if denies and not re.search(
        r"\b(?:does not|is not|not (?:the )?same|do not match|doesn't|isn't)\b", text, re.IGNORECASE
    ):
        return None
    if keeps:
        return None if _RESTORE.search(_KEEP.sub("", text)) else False
    words = re.findall(r"[A-Za-z]{2,}", _HINT.sub("", _without_log_tag(text)))
    return True if bare or _RESTORE.search(text) or len(words) <= 4 else None


def _opposite(answer: str) -> str:
    return {YES: NO, NO: YES}.get(answer, answer)


def _without_log_tag(line: str) -> str:
    return re.sub(
        r"^\s*[\[(<*]*\s*(?:INFO|WARN(?:ING)?|NOTICE|PROMPT|QUESTION|INPUT)\s*[\])>*]*\s*:?\s*",
        "",
        line,
        flags=re.IGNORECASE,
    )


def _paragraph(lines: Sequence[str], most: int = 4) -> list[str]:
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
