"""Judges the lines that tsadmin prints: neither its words nor its exit statuses are documented.

Three kinds of lines matter. A *failure* counts whatever the exit status is. *Trouble* reports that something went wrong,
perhaps only in a part. A *notice* is a warning, or reports that something was left out or replaced. All of them are
shown, and are in the report.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tscm_migrate.events import Emit, Message
from tscm_migrate.util.redact import outside, printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_MOST = 200  # lines of one program; further ones are counted, not shown
_LONGEST = 300  # characters of one line

# ---------------------------------------------------------------- levels of log lines

_FATAL = r"fatal|critical|crit|severe|panic|emerg(?:ency)?|alert"
_ERROR = r"error|err|fail(?:ed|ure)?"
_WARN = r"warn(?:ing)?|caution"
_LEVELS = f"(?P<fatal>{_FATAL})|(?P<error>{_ERROR})|(?P<warn>{_WARN})"
# As in: [WARN ] : text, or (error) text; also with a time, a program's name and a process id before it.
_BRACKETED = re.compile(rf"[\[(<]\s*(?:{_LEVELS})\s*[\])>]", re.IGNORECASE)
# As in: WARNING: text, gpg: WARNING: text, tsadmin[12]: error: text, Fatal error: text, warning - text, W: text.
_LEADING = re.compile(
    rf"^\W*(?:[\w./-]+(?:\[\d+\])?:\s+)?(?:{_LEVELS})(?:\s+error)?\s*(?:[:!|]|-+\s)|^(?:(?P<f>F)|(?P<e>E)|(?P<w>W)):\s",
    re.IGNORECASE,
)
# As in: 2026-11-26 22:10:00 host tsadmin WARN text.
_CAPITALS = re.compile(
    r"^(?:\S+\s+){0,4}?(?:(?P<fatal>FATAL|CRITICAL|CRIT|SEVERE|PANIC|EMERG|ALERT)|(?P<error>ERROR|ERR|FAILED|FAILURE)|"
    r"(?P<warn>WARN|WARNING|CAUTION))\b(?=[\s:|-]+\S)"
)
_COUNTERS = re.compile(r"^\W*\w+\s*[:=]\s*(?:0|none)\s*(?:[,;.]|$)", re.IGNORECASE)  # "Errors: 0, warnings: none"

# ---------------------------------------------------------------- words

_WRONG = (
    r"errors?|fail(?:ed|ures?|s)?(?!\s*-?over\b)|issues?|problems?|abort(?:ed|s)?|refused|rejected|denied|unreachable|timed\s+out|"
    r"not\s+reachable|unsuccessful(?:ly)?|incomplete|critical|mismatch(?:ed|es)?|corrupt(?:ed)?|damaged|cancell?ed|unsupported"
)
_LESS = (
    r"warnings?|missing|skipped|ignored|omitted|excluded|left\s+out|dropped|discarded|truncated|defaulted|filled\s+in"
)
_KIND = rf"(?:{_WRONG}|{_LESS}|fatals?|invalid|not\s+found)"
_ABSENT = re.compile(
    rf"\b(?:no|nothing|none|without(?:\s+any)?|0\s*%?|zero|not\s+any|never|any|free\s+of)\s+(?:\w+\s+){{0,2}}?{_KIND}\b"
    rf"(?:\s+(?:or|and|nor)\s+{_KIND}\b)?"
    rf"|\b0\s*(?:of|/)\s*\d+\s+(?:\w+\s+){{0,2}}?{_KIND}\b"
    rf"|\b(?:not|nor)\s+{_KIND}\b"
    rf"|\b{_KIND}(?:\s+\w+){{0,2}}?\s*(?:[:=]|\.{{2,}}|\b(?:is|are|was|were)\b)\s*(?:0\b(?![.\d])|none\b)",
    re.IGNORECASE,
)
_CONDITION = re.compile(r"\b(?:if|unless|whether|in\s+case)\b[^.;:]*", re.IGNORECASE)
# Words in names and paths do not count: "fatal-1", "/srv/invalid/a.conf", "error_7".
_NAME = re.compile(r"[^\s,;:()\[\]'\"<>|=]+")

_PERL = re.compile(r"\bat\s+(?:\S+|\(eval\s+\d+\))\s+line\s+\d+\b", re.IGNORECASE)
_BROKEN = re.compile(  # the program or a part of it crashed
    r"\b(?:died\s+at|can't\s+locate\s+\S+\s+in\s+@INC|can't\s+open\s+perl\s+script|compilation\s+failed|"
    r"traceback\s+\(most\s+recent\s+call\s+last\)|segmentation\s+fault|core\s+dumped|bus\s+error|illegal\s+instruction|"
    r"out\s+of\s+memory|cannot\s+allocate\s+memory|no\s+space\s+left|read-only\s+file\s+system|input/output\s+error|"
    r"uncaught\s+exception|unhandled\s+exception|syntax\s+error|disk\s+quota\s+exceeded|"
    r"unexpected\s+(?:end\s+of\s+(?:file|data|archive|input)|EOF\b)|buffer\s+overflow|stack\s+smashing)|"
    r"^\s*(?:usage:|(?:killed|aborted|terminated)\.?$)|^\s*(?-i:[A-Z][a-z]+\w*(?:Error|Exception)):\s",
    re.IGNORECASE,
)
_ABSENT_THING = re.compile(
    r"\b(?:(?:do(?:es)?|did)\s+not|(?:do(?:es)?|did)n't)\s+exist\b|\bnon-?existent\b|\binvalid\b|\bfatal\b|"
    r"\b(?:unknown|unrecogni[sz]ed)\s+(?:command|option|argument|action|device)\b",
    re.IGNORECASE,
)
_CREATED = re.compile(r"\bcreat(?:ed|es|ing)\b", re.IGNORECASE)
_FALLBACK = re.compile(r"\b(?:using|use[ds]?|skipp(?:ed|ing)|ignor(?:ed|ing)|creat(?:ed|es|ing))\b", re.IGNORECASE)
_MISSING = re.compile(r"\b(?:not\s+found|no\s+such)\b", re.IGNORECASE)
_DONE = r"(?:restored|updated|installed|applied|imported|copied|migrated)"
_TROUBLE = re.compile(
    rf"\b(?:{_WRONG}|roll(?:ed|ing)\s+back|operation\s+not\s+permitted|is\s+BAD|newer\s+than|a\s+password\s+is\s+required|"
    rf"(?:license|licence|certificate|key)\s+(?:has\s+|is\s+)?expired|"
    rf"(?:nothing|none|no\s+(?:\w+\s+)?\w+)\s+(?:was|were|has|have)\s+(?:been\s+)?{_DONE}|"
    r"not\s+(?:updated|restored|applied|pushed|sent|saved|written|installed|completed?|done|successful))\b",
    re.IGNORECASE,
)
_COUNT = re.compile(  # what a number means
    rf"\b0\s+(?:(?:of|/)\s*\d+\s+)?(?:\w+\s+)?\w+\s+{_DONE}\b|\bonly\s+\d+\s*(?:of|/)\s*\d+\b|"
    r"\b(?:exit(?:ed|ing)?(?:\s+with)?|return(?:ed)?)\s+(?:code|status)\s*[:=]?\s*[1-9]",
    re.IGNORECASE,
)
_UNABLE = re.compile(r"\b(?:could\s*n[o']t|can(?:\s*no|')t|unable|gave\s+up|giving\s+up)\b", re.IGNORECASE)
_NOTICE = re.compile(
    r"\b(?:warnings?|with\s+(?:some\s+|\d+\s+)?(?:exceptions?|remarks?|limitations?|caveats?)|missing|partial(?:ly)?|truncated|"
    r"skip(?:s|ped|ping)?|omit(?:s|ted|ting)?|exclud(?:es|ed|ing)|ignor(?:es|ed|ing)|drop(?:s|ped|ping)|discard(?:s|ed|ing)|"
    r"l(?:eft|eaves?|eaving)\s+(?:\S+\s+){0,3}?(?:out|unchanged|as\s+(?:it|they)\s+(?:is|are|was|were))|"
    r"not\s+(?:included|present|available|supported|set|given|in\s+the\s+(?:backup|archive)|part\s+of|migrated|copied)|"
    r"fill(?:s|ed|ing)\s+(?:\S+\s+){0,3}?(?:in|with)|fall(?:s|ing)?\s*back|fallback|fell\s+back|placeholders?|"
    r"substitut(?:es?|ed|ing|ion)|assum(?:es|ed|ing)|guess(?:ed|ing)|defaulted|defaulting|"
    r"(?:using|used|uses|took|taking|set|reset|reverted|reverting)\s+(?:\S+\s+){0,3}?defaults?|"
    r"defaults?\s+(?:\S+\s+){0,3}?(?:used|applied|taken|assumed|inserted|instead)|changed\s+as\s+we\s+read|"
    r"ke(?:pt|eps|eping)\s+(?:the\s+|its\s+)?(?:existing|old|current|own))\b",
    re.IGNORECASE,
)
_LEFT_OUT = re.compile(r"\b(?:skip(?:s|ped|ping)?|omit(?:s|ted|ting)?|ignor(?:es|ed|ing)|left\s+out)\b", re.IGNORECASE)
# Messages about an answer, before the question is asked again.
_OF_AN_ANSWER = re.compile(
    r"\binvalid\s+(?:yes\s+or\s+no\s+)?(?:response|option|selection|choice|number|input|entry|answer|value)\b"
    r"\s*(?:$|[.!]|[:,]?\s*'?\d+'?\.?$|[.,;:-]\s*(?:options\s+are|(?:please\s+)?(?:try|enter|choose|select|answer)))|"
    r"\bis\s+(?:an\s+)?(?:invalid|not\s+a\s+valid)\s+(?:choice|number|selection|answer)\b|"
    r"\bpass\s*(?:phrase|word)s?\s+do\s+not\s+match\b|\b(?:wrong|bad|incorrect|invalid)\s+pass\s*(?:phrase|word)\b|"
    r"\bunable\s+to\s+decrypt\b",
    re.IGNORECASE,
)
_ANNOUNCES_RESTART = re.compile(
    r"^(?!.*\b(?:not|no|without|before|after)\b).*\b(?:rebooting|(?:system|appliance|machine|server|host) "
    r"(?:is going down|is re(?:boot|start)ing|will (?:now )?(?:be )?re(?:boot|start)(?:ed)?))\b",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True)
class Output:
    """The output of one run of tsadmin.

    Attributes:
        failures: lines that mean failure, whatever the exit status is.
        troubles: lines that report that something went wrong, with the failures.
        lines: all lines to show: troubles and notices, in their order.
        last: the last line that is not blank.
    """

    failures: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    last: str = ""

    @property
    def gist(self) -> str:
        """The line that describes the result best."""
        return (self.failures or self.troubles or (self.last,))[-1]

    def tell(self, emit: Emit, host: str) -> None:
        """Emit every line to show as a warning; it is displayed, and kept in the report."""
        for line in self.lines:
            emit(Message(f"{host}: {line}", "warning"))


def read(text: str, *, questions: Iterable[str] = (), names: Collection[str] = ()) -> Output:
    """Find the lines that matter in the output of a program.

    Args:
        text: the transcript, with the answers.
        questions: that were answered; lines that end with one of them are skipped.
        names: of devices; these are not read as words of a line.
    """
    every = [line.strip() for line in printable(text).splitlines() if line.strip()]
    kinds = _kinds(every, questions, names)
    shown = [(outside(line)[:_LONGEST], kind) for line, kind in zip(every, kinds, strict=True) if kind]
    shown = list(dict.fromkeys(shown))
    lines = [line for line, _ in shown[:_MOST]]
    if len(shown) > _MOST:
        lines.append(f"({len(shown) - _MOST} more lines of this kind are not shown)")
    return Output(
        tuple(line for line, kind in shown if kind == "failure")[:_MOST],
        tuple(line for line, kind in shown if kind != "notice")[:_MOST],
        tuple(dict.fromkeys(lines)),
        outside(every[-1])[:_LONGEST] if every else "",
    )


def _kinds(lines: list[str], questions: Iterable[str], names: Collection[str]) -> list[str]:
    """Return the kind of each line; a refused answer is not a failure if the program continued."""
    tails = tuple(tail for question in questions if len(tail := question.strip()[-30:]) > 3)
    kinds = ["" if any(tail in line for tail in tails) else _kind(line, names) for line in lines]
    for at, line in enumerate(lines):
        if kinds[at] == "failure" and _OF_AN_ANSWER.search(line) and _continued(lines[at + 1 :]):
            kinds[at] = "trouble"
    return kinds


def leaves_out(output: Output, name: str) -> str:
    """Return the line that reports that the device `name` was left out, or ""."""
    word = re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w-])")
    return next((line for line in output.lines if word.search(line) and _LEFT_OUT.search(word.sub(" ", line))), "")


def _continued(rest: list[str]) -> bool:
    """Return whether a program continued after it had refused an answer."""
    return any(not _OF_AN_ANSWER.search(line) for line in rest)


def _kind(line: str, names: Collection[str]) -> str:
    """Return failure, trouble, notice or ""."""
    plain = _NAME.sub(lambda word: " " if word[0].strip(".!?") in names else word[0], line) if names else line
    level = _level(plain)
    kind = _kind_of_words(plain)
    if level == "fatal" or kind == "failure":
        return "failure"
    if level == "error" or kind == "trouble":
        return "trouble"
    return "notice" if level or kind else ""


def _level(line: str) -> str:
    """Return the level of a log line: fatal, error, warn or ""."""
    found = _BRACKETED.search(line) or _LEADING.search(line) or _CAPITALS.search(line)
    if found is None or _COUNTERS.search(line):
        return ""
    groups = {name[0] for name, value in found.groupdict().items() if value}
    return next(level for level in ("fatal", "error", "warn") if level[0] in groups)


def _kind_of_words(line: str) -> str:
    if _PERL.search(line) or _BROKEN.search(line):
        return "failure"
    certain = _CONDITION.sub(" ", line)
    words = _NAME.sub(_without_names, _ABSENT.sub(" ", certain))
    if _ABSENT_THING.search(words):
        return "notice" if _CREATED.search(words) else "failure"
    if _MISSING.search(words):
        return "notice" if _FALLBACK.search(words) else "trouble"
    if _TROUBLE.search(words) or _UNABLE.search(certain) or _COUNT.search(certain):
        return "trouble"
    return "notice" if _NOTICE.search(words) else ""


def _without_names(word: re.Match[str]) -> str:
    return " " if re.search(r"[/_@\\.\d-]", word[0].rstrip(".!?")) else word[0]


def announces_restart(text: str) -> bool:
    """Return whether a line of the output says that the appliance restarts now."""
    return bool(_ANNOUNCES_RESTART.search(text))
