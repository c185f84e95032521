"""Reading one remote question: what kind of answer it wants, in which spelling, and what a yes to it would mean. Pure.

The documents do not give the prompts' words, so nothing here knows a whole sentence: only how choices are written
("[y/N]", "(yes or no)", "Type YES to …", "1) yes 2) no", "[now/later]") and which verbs do, keep or deny.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tscm_migrate.appliance import lettered

if TYPE_CHECKING:
    from collections.abc import Sequence

YES, NO = "yes", "no"


def vocabulary(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


# Words that stand for yes and for no where both are offered; a pair of them is a choice that can be answered.
_DOES = "yes|y|true|t|on|ok|okay|now|continue|proceed|apply|restore|overwrite|replace|accept|confirm|go|encrypt|update"
_LEAVES = "no|n|false|f|off|cancel|later|abort|skip|keep|stop|quit|decline|exit|ignore|plain|none|leave"
_DOING = "(?:restore|overwrite|replace|apply|update|continue|proceed)"
_OPEN, _CLOSE = r"[\[(<{]\s*", r"\s*[\])>}]"
_BETWEEN = r"\s*(?:[/|,;:]|\bor\b)\s*"
_OTHERS = rf"(?:{_BETWEEN}[a-z?]{{1,9}})*?"
_BRACKETED = re.compile(
    rf"{_OPEN}(?P<yes>{_DOES}){_OTHERS}{_BETWEEN}(?P<no>{_LEAVES}){_OTHERS}{_CLOSE}"
    rf"|{_OPEN}(?P<no2>{_LEAVES}){_BETWEEN}(?P<yes2>{_DOES}){_OTHERS}{_CLOSE}"
    rf"|{_OPEN}(?P<yes3>y)(?P<no3>n){_CLOSE}",
    re.IGNORECASE,
)
_PLAIN = re.compile(
    r"(?<![\w/])(?P<yes>yes|y|true)(?:\s*(?:/|\|)\s*|\s+or\s+)(?P<no>no|n|false)(?![\w/])"
    r"|(?<![\w/])['\"`]?(?P<yes2>yes|y)\b['\"`]?\s*(?:=|to\b|for\b|:|-|if\b).{1,60}?(?<![\w/])['\"`]?(?P<no2>no|n)\b"
    r"|(?<![\w/])(?P<yes4>yes)\s+(?P<no4>no)\s*[?:>]*\s*$"
    r"|(?<![\w/])['\"`](?P<yes3>yes|y)['\"`].{1,20}['\"`](?P<no3>no|n)['\"`]",
    re.IGNORECASE,
)
_KEY_END = r"(?:\s*[\])=:.-]+\s*|(?<=\d)\s+)"  # without it "Don't" were a D for "on" and a t
_CODED = re.compile(  # "1=yes 2=no", "1) Yes 0) No", "[1] yes [2] no"
    rf"(?<![\w'])[\[(]?(?P<yes>\w){_KEY_END}(?:{_DOES})\b\W{{1,4}}(?:or\W+)?[\[(]?(?P<no>\w){_KEY_END}(?:{_LEAVES})\b",
    re.IGNORECASE,
)
_TYPE_WORD = re.compile(
    r"\b(?i:type|enter|say|answer|press|hit|input)\s+(?:the\s+word\s+|in\s+)?(?:['\"`](?P<word>[A-Za-z]{1,12})['\"`]|"
    r"[\[<(](?P<word3>[A-Za-z]{1,4})[\]>)]|(?P<word2>YES|Yes|yes|Y|y|OK|ok|CONFIRM|RESTORE|CONTINUE|PROCEED|OVERWRITE|REPLACE|confirm|restore|continue|proceed|overwrite|"
    r"replace))"
    r"(?:\s+and\s+(?:press|hit)\s+\w+)?\s+(?:to|if|for)\b"
    r"|\b(?i:to\s+(?:confirm|continue|proceed|go\s+on|overwrite|replace|restore)\b[^?]*\b(?:type|enter)\s+(?:the\s+word\s+)?"
    r"['\"`]?(?P<word4>yes|ok|confirm|restore|continue|proceed|overwrite|replace))['\"`]?\W*$",
)
_OTHERWISE = re.compile(  # what any other answer does: "…, anything else stops", "(or press Ctrl-C to abort)"
    r"\W*\b(?:or\W+)?(?:(?:type|enter|press|hit)\W+)?(?:(?:any(?:thing)?|every(?:thing)?|something)\W+(?:other|else)|"
    r"(?:ctrl|control)[\s+-]*c\b|\^c\b|nothing|q\b)(?:\W+(?:word|key|answer|input|text|reply|to|will|and))*"
    r"\W+(?:stop|abort|cancel|quit|exit|end|leave)(?:s|ing)?\b\W*(?=$|\n)",
    re.IGNORECASE,
)
_DEFAULT = re.compile(
    r"[\[(]\s*(?P<short>y|n|yes|no)\s*[\])]\s*[:?>»›]*\s*$|[\[(]?\bdefault(?:s)?\s*(?:is|to|:|=)?\s*['\"]?(?P<said>yes|no|y|n)\b['\"]?[\])]?",
    re.IGNORECASE,
)
_LETTER_IN_WORD = re.compile(r"[\[(]([yn])[\])](es|o)\b|\b([yn])[\[(](es|o)[\])]", re.IGNORECASE)
_LETTER_APART = re.compile(r"[\[(]([yn])[\])]\s*/\s*([yn])\b|\b([yn])\s*/\s*[\[(]([yn])[\])]", re.IGNORECASE)
_OPTION = re.compile(r"^\W*(?P<key>\d{1,2}|[a-z])\s*[)\].:=-]+\s*(?P<text>\S.*)$", re.IGNORECASE)

_ASKS_FOR_A_VALUE = re.compile(r"\W*(?:which|what|where|how|who)\b", re.IGNORECASE)
_UNKNOWN_CHOICE = re.compile(  # a "y" is no answer to "Encrypted or plain [e/p]?"
    r"[\[(<{]\s*(?:\w{1,10}(?:\s*[/|]\s*\w{1,10})+|\w(?:\s*,\s*\w)+)\s*[\])>}]\W*$|(?<![\w/.])\w{1,10}[/|]\w{1,10}(?:[/|]\w{1,10})*\W*$"
)
_PROMPT_END = re.compile(r"(?:[?:>»›\])=#]|\b[yY]/[nN])\s*$")
_LOG_TAG = re.compile(
    r"^\s*(?:\d{4}-\d\d-\d\d[T ][\d:.,]+Z?\s*)?[\[(<*]*\s*(?:INFO|WARN(?:ING)?|NOTICE|PROMPT|QUESTION|INPUT|ATTENTION|CAUTION|"
    r"CONFIRM(?:ATION)?(?=\s*[\])>*:]))\s*[\])>*!]*\s*:?\s*",
    re.IGNORECASE,
)
SLOT = vocabulary(
    "answer your choice please enter type select y n yes no response reply selection option input true "
    "false or and a the for press key in as one of confirm word"
)


@dataclass(frozen=True)
class Spelling:
    """How a question wants to hear yes and no."""

    yes: str
    no: str


def normal(line: str) -> str:
    """The line without its log tag, and with "[Y]es" and "Y(es)" written as words."""
    bare = _LOG_TAG.sub("", line.strip()).replace("’", "'")
    bare = _LETTER_APART.sub(lambda m: f"{m[1] or m[3]}/{m[2] or m[4]}", bare)
    return _LETTER_IN_WORD.sub(lambda m: f"{m[1] or m[3]}{m[2] or m[4]}", bare)


def spelling(line: str, before: Sequence[str] = ()) -> Spelling | None:
    """What to type for yes and for no; None where the question does not offer both, or not in words that we know.

    Args:
        line: the question.
        before: the lines right before it, in which a numbered choice may stand.
    """
    text = normal(line)
    return _said_in(text) or _numbered(before) or _shown_default(text)


def _said_in(text: str) -> Spelling | None:
    """The choice that the question itself offers."""
    if letters := _coded(text) or lettered.yes_and_no(text):
        return Spelling(*letters)
    for pattern in (_BRACKETED, _PLAIN):
        if match := pattern.search(text):
            parts = match.groupdict()
            yes = next(v for k, v in parts.items() if k.startswith("yes") and v)
            no = next(v for k, v in parts.items() if k.startswith("no") and v)
            return _lower(yes, no)
    if word := _TYPE_WORD.search(text):
        typed = word["word"] or word["word2"] or word["word3"] or word["word4"]
        return Spelling(typed, "no" if len(typed) > 1 else "n")
    return None


def _shown_default(text: str) -> Spelling | None:
    if default := _DEFAULT.search(text):
        long = len(default["short"] or default["said"]) > 1
        return Spelling("yes", "no") if long else Spelling("y", "n")
    return None


def _coded(text: str) -> tuple[str, str] | None:
    coded = _CODED.search(text)
    return (coded["yes"], coded["no"]) if coded and coded["yes"].lower() != coded["no"].lower() else None


def _lower(yes: str, no: str) -> Spelling:
    """Capitals only mark a default: lower case is taken everywhere."""
    return Spelling(yes.lower(), no.lower())


def _numbered(before: Sequence[str]) -> Spelling | None:
    """A menu of yes and no, one a line; anything else among its rows and it is no such menu."""
    rows = [match for line in before[-6:] if (match := _OPTION.match(line))]
    said = {re.split(r"\W", row["text"].strip(), maxsplit=1)[0].lower(): row["key"] for row in rows}
    yes = [key for word, key in said.items() if re.fullmatch(_DOES, word)]
    no = [key for word, key in said.items() if re.fullmatch(_LEAVES, word)]
    return Spelling(yes[0], no[0]) if len(yes) == len(no) == 1 and len(rows) == 2 else None


_DOES_IT = re.compile(rf"{_DOING}|encrypt(?:ed)?|use|import|install|take|adopt", re.IGNORECASE)
_LEAVES_IT = re.compile("keep|skip|leave|ignore|retain|preserve|plain|unencrypted|no", re.IGNORECASE)
_GIVES_UP = re.compile("abort|quit|exit|cancel", re.IGNORECASE)


def option(line: str) -> tuple[str, str] | None:
    """A menu's row: its key and its text."""
    match = _OPTION.match(line)
    return (match["key"], match["text"].strip()) if match else None


def is_menu_slot(line: str) -> bool:
    """Whether the line only asks for a row's key ("Choose [1-3]: ")."""
    return all(word in SLOT or word in ("choose", "pick", "number", "default") for word in words(line))


def two_ways(rows: Sequence[tuple[str, str]]) -> tuple[tuple[str, str] | None, tuple[str, str] | None]:
    """The row of a menu that does something and the one that leaves it, where there are no others but one to give up."""
    first = [(re.split(r"\W", text, maxsplit=1)[0], (key, text)) for key, text in rows]
    does = [row for word, row in first if _DOES_IT.fullmatch(word)]
    leaves = [row for word, row in first if _LEAVES_IT.fullmatch(word)]
    others = [row for word, row in first if _GIVES_UP.fullmatch(word)]
    if len(does) != 1 or len(leaves) != 1 or len(rows) != 2 + len(others):
        return None, None
    return does[0], leaves[0]


def is_option(line: str) -> bool:
    """Whether a line is a row of a menu."""
    return bool(_OPTION.match(line))


def is_yes_no(line: str, before: Sequence[str] = ()) -> bool:
    """Whether the question wants yes or no: it says so, or ends in a question mark and asks for no value."""
    if spelling(line, before):
        return True
    if _UNKNOWN_CHOICE.search(line):
        return False
    last = re.split(r"[.!]\s+", normal(line))[-1]
    return bool(re.search(r"\?\s*[:>»›]?\s*$", line)) and not _ASKS_FOR_A_VALUE.match(last)


def offers_a_deed(text: str) -> bool:
    """Whether the choice itself says what a yes does: "[restore/skip]", "(u)se or (k)eep"."""
    between = rf"(?:{_OPEN}|{_BETWEEN}){_DOING}(?:{_BETWEEN}|{_CLOSE})"
    lettered_deed = re.fullmatch(f"{_DOING}|use|import|install", lettered.deed(text), re.IGNORECASE)
    return lettered_deed is not None or (re.search(between, text, re.IGNORECASE) is not None and bool(spelling(text)))


def looks_like_prompt(line: str) -> bool:
    """Whether an unfinished line ends as prompts do; "Restoring devices..." does not."""
    return bool(_PROMPT_END.search(line.rstrip())) or spelling(line) is not None or bool(_ENTER_ALONE.search(line))


_TELLS_TO = re.compile(r"\b(?:type|enter|choose|select|pick|press|specify|provide|input|toggle)\b", re.IGNORECASE)
_QUESTION_END = re.compile(r"\?\s*(?:[\[(<][^\[\](){}<>?]{0,40}[\])>])?\W*$")  # with its default behind it, perhaps
_BUSY = re.compile(
    r"^\W*(?:\[[^\]]*\]\W*)?[A-Z]?[a-z]+ing\b(?![^?]*\?)"  # "Restoring device edge-asa: "
    r"|(?:\.{2,}|…|\d\s*%|\d+\s*/\s*\d+|[#=*.-]{3,}>?)\s*[\])]?\s*$"  # "Unpacking ...", "(3/10)", "[####   ]"
    r"|\bplease\s+wait\b|\bin\s+progress\b",
    re.IGNORECASE,
)


def _busy(line: str) -> bool:
    """Whether the line tells of work that goes on; "A restore is in progress. Continue it?" asks about it."""
    return bool(_BUSY.search(line)) and not _QUESTION_END.search(line)


def asks(line: str) -> bool:
    """Whether the line surely asks for something: it offers a choice, ends as a question, or says what to type."""
    return spelling(line) is not None or bool(_QUESTION_END.search(line) or _TELLS_TO.search(line))


def may_be_whole_line_prompt(line: str) -> bool:
    """Whether a finished line, after which nothing comes, may be a prompt: "[*] SSH restored (6 files)" is none."""
    return not _busy(line) and (asks(line) or bool(re.search(r"[:>»›]\s*$", line)))


def patience(line: str, *, terminated: bool) -> float:
    """How many seconds a line that no rule knows must have been waiting before it counts as an unknown prompt.

    Nothing in the text of "Device edge-asa: " tells a question from work that goes on; waiting costs seconds, a wrong
    stop in the middle of a restore costs the migration.
    """
    if _busy(line) and spelling(line) is None:
        return math.inf
    if asks(line):
        return 6.0 if terminated else 2.0
    return 20.0 if looks_like_prompt(line) else math.inf


_ENTER_ALONE = re.compile(r"\b(?:press|hit|strike)\b.*\b(?:enter|return|key|space)\b", re.IGNORECASE)
_COMPLETE = re.compile(rf"(?:{_OPEN}(?:y|yes)\s*[/|]\s*(?:n|no){_CLOSE})\s*[:?>»›]?\s*$", re.IGNORECASE)


def complete(line: str) -> bool:
    """Whether a line that may still grow ends with its choice ("[y/n]: "), so that what is asked is all there."""
    return bool(_COMPLETE.search(line))


def spell(line: str, answer: str, before: Sequence[str] = (), *, again: bool = False) -> str:
    """Write yes or no the way the question wants it; `again`: the short form was not taken before."""
    found = spelling(line, before)
    if found is not None:
        return found.yes if answer == YES else found.no
    return answer if again else answer[0]


def words(text: str) -> list[str]:
    """The words that carry meaning, in lower case: without the choice, log tag, numbers, names of files, addresses."""
    bare = re.sub(r"\S*(?:\.tsbak|\d+\.\d+|/\w)\S*", " ", without_choice(text))
    return [word.lower() for word in re.findall(r"[A-Za-z][A-Za-z'-]*[A-Za-z]|[A-Za-z]", bare)]


def without_choice(text: str) -> str:
    """The question without the way in which its answers are shown."""
    bare = _OTHERWISE.sub(" ", lettered.without(normal(text)))
    for pattern in (_CODED, _BRACKETED, _DEFAULT):
        bare = pattern.sub(" ", bare)
    return _PLAIN.sub(lambda m: " " if len(m[0]) < 12 else m[0], bare)


def is_slot(line: str) -> bool:
    """Whether the line only says "answer here" ("[y/n]: ", "Your choice: ", "> "): the question stands before it."""
    return all(word in SLOT for word in words(line))
