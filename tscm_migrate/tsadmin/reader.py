"""Reads the waiting question of a dialogue and decides the answer, for live sessions, replay and explain. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from tscm_migrate.model import Secret
from tscm_migrate.tsadmin import archive_list
from tscm_migrate.tsadmin.dialect import (
    NOTE,
    REFUSED,
    SECRET,
    SHIPPED,
    YES_NO,
    Dialect,
    DialectRow,
    Kind,
    load,
    slots_of,
)
from tscm_migrate.tsadmin.facts import NETWORK_VALUES, Above, Another, NotNow, StatedFacts, check_slots
from tscm_migrate.tsadmin.intent import DEFAULTS, IPV4, TIMES, Intent, Understood
from tscm_migrate.tsadmin.spelling import Choice, Parsed, is_rule, joined, plain, runs_on, take_apart, vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_MOST_OF_A_KIND = 6  # questions of one kind in one dialogue, by default
_MOST_KEPT = 20_000  # lines above a pager
_MOST_LINES = 40  # lines of one question; a taught menu may be long
_TURNS = vocabulary(  # words that change the sense of a question: a suggestion never leaves one out
    "not no dont don't never without except but only skip keep leave avoid omit instead undo revert remove delete erase wipe "
    "reset old other previous factory default later before after stop abort cancel quit merge mind objection problem off disable"
)
_SHORT = frozenset({"y", "n", "yes", "no"})
_YES_NO = _SHORT | {"true", "false"}
_PASSED_OVER = frozenset({Kind.PAGER, Kind.SUDO})  # lines before these still belong to the next question


@dataclass(frozen=True)
class _Candidate:
    """One reading of the lines: those of the question, and those above it."""

    lines: Sequence[str]
    above: Sequence[str]

    @property
    def text(self) -> str:
        return joined(self.lines)


@cache
def _shipped() -> tuple[Dialect, ...]:
    return tuple(load(name) for name in SHIPPED)


def dialects(*files: Path | None) -> tuple[Dialect, ...]:
    """Return the dialects of the site, if their files exist, and then the shipped ones.

    Raises:
        DialectError: a file has an error.
    """
    return (*(load(file) for file in files if file is not None and file.is_file()), *_shipped())


def _worded(text: str) -> bool:
    """Return whether a line contains words; "> " and "[y/n]: " do not."""
    return re.search("[A-Za-z]{2}", take_apart(text).words) is not None


def _bare_choice(line: str) -> Choice | None:
    asked = take_apart(plain(line))
    return None if asked.words or asked.choice is None or asked.choice.words else asked.choice


def _same(row: DialectRow, choice: Choice) -> bool:
    """Return whether the choice that a question shows is the one in its row."""
    return (row.does or choice.yes).lower() == choice.yes and (row.leaves or choice.no).lower() == choice.no


@dataclass
class _Unmatched:
    """Why no row answers a question, over all readings of its lines.

    `stops`: a row matched the present reading, and must not be answered. `other`: the question is another one than that
    of the row. `bare`: the lines above it decide. `not_listed`: the archive is not in its list.
    """

    question: str = ""
    why: str = "no row knows this question"
    not_listed: str = ""
    other: bool = False
    bare: bool = False
    stops: bool = False

    def begin(self, candidate: _Candidate) -> None:
        """Begin the next reading; the first one with words is the question."""
        self.stops = False
        if not _worded(self.question):
            self.question = candidate.text

    def add(self, dialect: str, reason: NotNow) -> None:
        """Note why a row of this dialect was not taken."""
        self.why = f"{dialect}: {reason}"
        self.stops = self.stops or not isinstance(reason, Above)
        self.other = self.other or isinstance(reason, Another)
        self.bare = self.bare or isinstance(reason, Above)
        if isinstance(reason, _NotListed):
            self.not_listed = str(reason)


class QuestionReader:
    """The state of one dialogue: reads questions, and counts the answers that were sent."""

    def __init__(self, intent: Intent, known: Sequence[Dialect], dialogue: str = "restore") -> None:
        self.intent, self.dialogue = intent, dialogue
        self._dialects = list(known)
        self._facts = StatedFacts(self._dialects, intent)
        self._kept: tuple[str, ...] = ()  # shown before a pager stopped it
        self._listed: tuple[str, ...] = ()  # the lines above the last answer
        self._last: Understood | None = None
        self._given: dict[Kind | tuple[str], int] = {}

    def teach(self, dialect: Dialect) -> None:
        """Put a dialect before all others; one of the same name is replaced."""
        self._dialects = [dialect, *(one for one in self._dialects if one.name != dialect.name)]
        self._facts = StatedFacts(self._dialects, self.intent)

    def read(self, lines: Sequence[str], *, suggest: bool = True) -> Understood:
        """Interpret the last of these lines, which waits for an answer.

        Args:
            lines: all lines since the last answer.
            suggest: look for a suggestion if no row knows the question.
        """
        shown = self.shown(lines)
        while shown and not shown[-1].strip():
            shown = shown[:-1]
        missed = _Unmatched()
        for candidate in self._candidates(shown):
            missed.begin(candidate)
            for dialect in self._dialects:
                try:
                    if found := self._match(candidate, dialect):
                        return found
                except NotNow as reason:
                    missed.add(dialect.name, reason)
            if missed.stops and _worded(candidate.text):
                break  # with the lines above it, it is not another question
        if again := self._asked_again(shown):
            return again
        suggestion, kind = self._suggest(shown) if suggest and not missed.other else (None, None)
        return Understood(
            missed.question, suggestion=suggestion, suggested=kind, bare=missed.bare, why=missed.why,
            not_listed=missed.not_listed,
        )  # fmt: skip

    def shown(self, lines: Sequence[str]) -> tuple[str, ...]:
        """Return these lines after those that a pager stopped: together they belong to the waiting question."""
        return (*self._kept, *lines)

    def sent(self, understood: Understood, lines: Sequence[str] = (), *, by_person: bool = False) -> None:
        """Count an answer that was sent; `lines` are those that it was read from.

        An answer that a person has typed is not known, so the state is uncertain afterwards.
        """
        shown = self.shown(lines)
        passed = understood.kind in _PASSED_OVER
        self._kept = shown[:-1][-_MOST_KEPT:] if passed else ()
        if understood.kind is not None:
            for key in (understood.kind, (understood.question,)):
                self._given[key] = self._given.get(key, 0) + 1
        if not passed:
            self._listed = shown[:-1] if archive_list.has_rows(shown[:-1]) else self._listed
            self._last = replace(understood, answer=None) if by_person else understood

    # ------------------------------------------------------------------ which lines are the question

    def _candidates(self, shown: Sequence[str]) -> Iterator[_Candidate]:
        """Yield the last line, then with more and more lines above it, each time from the start of a sentence."""
        for start in range(len(shown) - 1, max(-1, len(shown) - 1 - _MOST_LINES), -1):
            if is_rule(shown[start]) and start < len(shown) - 1:
                continue
            wrapped = shown[start].startswith("\t") and start > 0 and runs_on(shown[start - 1], shown[start])
            if not wrapped and (start == 0 or not self._goes_on(shown, start)):
                yield _Candidate(shown[start:], shown[:start])

    def _goes_on(self, shown: Sequence[str], start: int) -> bool:
        """Return whether the line at `start` continues the sentence above it, and is not a known line by itself."""
        above = shown[start - 1]
        return runs_on(above, shown[start]) and not archive_list.is_row(above) and self._facts.of([above]) is None

    # ------------------------------------------------------------------ rows

    def _match(self, candidate: _Candidate, dialect: Dialect) -> Understood | None:
        asked = take_apart(candidate.text)
        if dialect.choices and (asked.choice.text if asked.choice else "") not in dialect.choices:
            return None
        reason: NotNow | None = None
        for head, words in self._heads(asked.words):
            for row in dialect.questions:
                if row.dialogue not in ("any", self.dialogue) or not (match := row.pattern.fullmatch(words)):
                    continue
                try:
                    return self._answer(candidate, replace(asked, words=words), row, match, head)
                except NotNow as why:
                    reason = reason if isinstance(reason, Above) and not isinstance(why, Another) else why
        if reason is not None:
            raise reason
        return None

    def _heads(self, words: str) -> Iterator[tuple[str, str]]:
        """Yield the words, and the words without sentences at their beginning that are known facts."""
        yield "", words
        for stop in re.finditer(r"[.!:;?]+ +(?=\S)", words):
            head = words[: stop.start()]
            if self._facts.in_text(head) is not None:
                yield head, words[stop.end() :]

    def _answer(
        self, candidate: _Candidate, asked: Parsed, row: DialectRow, match: re.Match[str], head: str
    ) -> Understood:
        slots = slots_of(match)
        check_slots(self.intent, row, slots)
        kind = row.kind or self._kind_of_facts(candidate, row, head)
        bare = row.kind is not None and (row.above == "known" or (kind in NETWORK_VALUES and row.dialect in SHIPPED))
        if bare:
            self._check_accepted(kind)
            self._facts.check_subject(kind, candidate.above, head)
        if row.dialect in SHIPPED or kind in (Kind.NETWORK, Kind.APPLY):
            self._facts.check_above(kind, candidate.above, bare=bare)
        if self._given.get((candidate.text,), 0) >= self._most(kind, candidate):
            raise NotNow("it was answered already, and is asked again")
        if self._given.get(kind, 0) >= TIMES.get(kind, _MOST_OF_A_KIND):
            raise NotNow(f"questions of kind {kind} were answered too often already")
        answer = self._text(kind, row, asked, slots, candidate)
        secret = isinstance(answer, Secret)
        text = answer.reveal() if isinstance(answer, Secret) else answer
        return Understood(
            candidate.text, kind, row.dialect, row.name, text, secret, why=f"it is a question of kind {kind}"
        )

    def _check_accepted(self, kind: Kind) -> None:
        """Refuse a question for a passphrase, without a content of its own, after the passphrase was accepted."""
        if kind is Kind.PASSPHRASE and self._given.get(kind) and self._last is not None and self._last.kind is not kind:
            raise Above("the passphrase was accepted already, and no line shows what this one is for")

    def _most(self, kind: Kind, candidate: _Candidate) -> int:
        """Return how often the same question is answered: more often only if something was shown in between."""
        again = self._last is not None and self._last.question == candidate.text
        repeats = again and self._only_refusals(candidate.above)
        return 2 if repeats and kind not in (Kind.PAGER, Kind.DNS, Kind.KEY) else TIMES.get(kind, 2)

    def _text(
        self, kind: Kind, row: DialectRow, asked: Parsed, slots: dict[str, list[str]], candidate: _Candidate
    ) -> str | Secret:
        if kind is Kind.LITERAL:
            return row.answer or ""
        if kind in YES_NO:
            return self._yes_no(kind, row, asked, candidate.text)
        if kind is Kind.SUDO and self._given.get(kind) and any(map(self._facts.is_refusal, candidate.above)):
            raise NotNow("sudo has refused this password")
        self._check_form(kind, asked)
        if kind is Kind.CONFIRM:
            return slots["hostname"][0]
        if kind is Kind.ARCHIVE:
            value: str | Secret | None = self._row_of_list(candidate, row)
        else:
            value = self.intent.value(kind, self._given.get(kind, 0))
        if value is None:
            raise NotNow(f"no value is known for a question of kind {kind} with")
        return value

    def _check_form(self, kind: Kind, asked: Parsed) -> None:
        """Refuse a question whose form does not fit its kind: with a choice, or with another default."""
        if asked.choice is not None or (asked.ranged and kind is not Kind.ARCHIVE):
            raise NotNow(f"a question of kind {kind} has no such choice")
        if asked.default is None and kind is Kind.OFFERED_NAME:
            raise NotNow("no name is offered")
        allowed = DEFAULTS.get(kind, "" if kind in SECRET or kind is Kind.PAGER else IPV4)
        if asked.default is not None and not re.fullmatch(allowed, asked.default, re.ASCII | re.IGNORECASE):
            raise NotNow(f"{asked.default!r} is not a default of a question of kind {kind}")

    def _yes_no(self, kind: Kind, row: DialectRow, asked: Parsed, question: str) -> str:
        wanted = self._wanted(kind)
        taught = [typed for typed in (row.does, row.leaves) if typed is not None]
        choice = asked.choice if taught else asked.yes_no
        self._check_default(asked, row, [*taught, *((choice.yes, choice.no) if choice else ())])
        if taught:
            return self._taught(asked, row, wanted=wanted)
        if choice is None or choice.words != (row.yes == "words"):
            raise NotNow("the spelling of yes and no is not known")
        answer = choice.yes if wanted != (row.yes == "leaves") else choice.no
        again = self._last is not None and self._last.question == question
        return {"y": "yes", "n": "no"}.get(answer, answer) if again and not choice.text else answer

    def _taught(self, asked: Parsed, row: DialectRow, *, wanted: bool) -> str:
        """Return the answer that the row names."""
        typed = row.does if wanted else row.leaves
        if typed is None:
            raise NotNow("the other answer has not been taught")
        if asked.choice is not None and row.dialect in SHIPPED and not _same(row, asked.choice):
            raise NotNow("its choice differs from that of the row")
        return typed.upper() if asked.words.isupper() else typed

    def _check_default(self, asked: Parsed, row: DialectRow, answers: Sequence[str]) -> None:
        """Refuse a default that is neither yes nor no: "Restore SSH [all] [y/n]" is another question."""
        if row.dialect in SHIPPED and asked.default is not None:
            allowed = {*_YES_NO, *(one.lower() for one in (*answers, row.default or ""))}
            if asked.default.lower() not in allowed:
                raise NotNow(f"{asked.default!r} is neither yes nor no")

    def _wanted(self, kind: Kind) -> bool:
        more_dns = self._given.get(Kind.DNS, 0) < len(self.intent.dns)
        wanted = more_dns if kind is Kind.MORE_DNS else self.intent.wants(kind)
        if wanted is None:
            raise NotNow(f"it is not known whether to do {kind}")
        return wanted

    # ------------------------------------------------------------------ the list of archives

    def _row_of_list(self, candidate: _Candidate, row: DialectRow) -> str | None:
        lines = self._list_of(candidate, row)
        if self._given.get(Kind.ARCHIVE, 0) >= 2:
            raise NotNow("an archive was chosen twice, and it is asked for again")
        archive = self.intent.archive or max(archive_list.names(lines), default="")
        entry = archive_list.pick(lines, archive, self.intent.folder, self.intent.there)
        if entry is None:
            raise _NotListed(archive, lines)
        return entry.number

    def _list_of(self, candidate: _Candidate, row: DialectRow) -> Sequence[str]:
        """Return the lines with the list that a question is about: those above it, or the last ones after a refusal."""
        lines: Sequence[str] = candidate.above
        if not archive_list.has_rows(lines):
            again = self._last is not None and self._last.kind is Kind.ARCHIVE and self._last.row == row.name
            if not again or not self._only_refusals(lines):
                raise NotNow("no archives were listed since the last answer")
            lines = self._listed
        elif row.above == "list":
            self._bare_below_list(lines)
        elif row.dialect in SHIPPED:
            self._check_below_list(lines)
        if row.dialect in SHIPPED:
            self._check_list(lines, row)
        return lines

    def _only_refusals(self, lines: Sequence[str]) -> bool:
        return all(is_rule(line) or self._facts.is_refusal(line) for line in lines)

    def _check_list(self, lines: Sequence[str], row: DialectRow) -> None:
        """Refuse a list whose rows, or whose heading if the question is not "… to restore", may be about something else."""
        if any(archive_list.is_row(one) and archive_list.says_more(one) for one in lines):
            raise NotNow("a row of the list contains other words than those of an archive")
        if "restore" in row.text.split(" "):
            return
        first = next(at for at, line in enumerate(lines) if archive_list.is_row(line))
        heading = archive_list.unknown_heading([plain(line) for line in lines[:first] if not is_rule(line)])
        if heading and self._facts.of([heading]) is None:
            raise NotNow(f"the heading of the list has words that are not known: {heading!r}")

    def _bare_below_list(self, lines: Sequence[str]) -> None:
        rest = list(lines)
        while rest and is_rule(rest[-1]):
            rest.pop()
        if not rest or not archive_list.is_row(rest[-1]):
            raise Above("another line was shown below the list")
        self._facts.all_of(lines)

    def _check_below_list(self, lines: Sequence[str]) -> None:
        """Refuse another menu or an unknown line between the list and the question: the number may be for that."""
        last = max(at for at, line in enumerate(lines) if archive_list.is_row(line))
        keys = archive_list.keys(lines)
        options = {line: key for line in lines[last + 1 :] if (key := archive_list.key(line)) is not None}
        if keys & set(options.values()):
            raise Above("another menu was shown below the list")
        self._facts.all_of([line for line in lines[last + 1 :] if line not in options])

    # ------------------------------------------------------------------ facts

    def _kind_of_facts(self, candidate: _Candidate, row: DialectRow, head: str) -> Kind:
        """Return the subject of a question without content: the one kind of the facts above it, which are all known."""
        found = [*self._facts.all_of(candidate.above), *(self._facts.in_text(head) or [])]
        about = {fact for fact in found if fact not in (NOTE, REFUSED)}
        if len(about) > 1:
            about.discard(Kind.PROCEED)
        if len(about) != 1 or not about <= row.of:
            raise Above(
                "no line above it shows its subject" if not about else "the lines above it have several subjects"
            )
        return Kind(about.pop())

    def _asked_again(self, shown: Sequence[str]) -> Understood | None:
        """Interpret a bare choice after a refusal as the last question again, in this spelling."""
        last = self._last
        if not shown or last is None or last.kind not in YES_NO or (last.answer or "").lower() not in _SHORT:
            return None
        question, choice = shown[-1].strip(), _bare_choice(shown[-1])
        if choice is None or not self._only_refusals(shown[:-1]) or self._given.get((question,), 0):
            return None
        answer = choice.yes if (last.answer or "").lower()[0] == "y" else choice.no
        return replace(last, question=question, answer=answer, why="the last answer was not taken")

    # ------------------------------------------------------------------ unknown

    def _suggest(self, shown: Sequence[str]) -> tuple[str | None, Kind | None]:
        """Return the answer to a known question that differs by one or two words, none of which changes its sense."""
        for candidate in self._candidates(shown[-4:]):
            asked = take_apart(candidate.text)
            if asked.yes_no is None or not asked.words:
                continue
            words = asked.words.split(" ")
            for size in (0, 1, 2):
                for at in range(len(words) - size + 1):
                    left_out = {re.sub(r"\W", "", word).lower() for word in words[at : at + size]}
                    if left_out & _TURNS:
                        continue
                    answer = self._would_answer(asked, " ".join([*words[:at], *words[at + size :]]), candidate)
                    if answer is not None:
                        return answer
        return None, None

    def _would_answer(self, asked: Parsed, words: str, candidate: _Candidate) -> tuple[str, Kind] | None:
        for dialect in self._dialects:
            for row in dialect.questions:
                if row.kind in YES_NO and row.kind is not None and (match := row.pattern.fullmatch(words)):
                    try:
                        check_slots(self.intent, row, slots_of(match))
                        return self._yes_no(row.kind, row, asked, candidate.text), row.kind
                    except NotNow:
                        continue
        return None


class _NotListed(NotNow):
    """The list is shown, and the archive is not in it."""

    def __init__(self, archive: str, lines: Sequence[str]) -> None:
        super().__init__(
            f"the list that its restore shows has times and no names, and none of its rows is surely {archive}"
            if archive_list.dated(lines) else f"{archive} is not in the list that its restore shows"
        )  # fmt: skip
