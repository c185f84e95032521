"""A live dialogue with tsadmin: the reader decides, the ssh room types, a person is asked about what no row knows."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tscm_migrate.errors import UnknownPrompt
from tscm_migrate.model import Policy
from tscm_migrate.ssh.dialogue import Answer, DialoguePace, Exchange, HangUp, Pending, Transcript, Wait
from tscm_migrate.tsadmin import teaching
from tscm_migrate.tsadmin.dialect import Kind
from tscm_migrate.tsadmin.spelling import plain, take_apart

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.tsadmin.intent import Understood
    from tscm_migrate.tsadmin.reader import QuestionReader

OPERATOR = "operator"  # who answered, where a person did


@dataclass(frozen=True)
class Limits:
    """Seconds: of silence after which a dialogue is given up, and for all of it. See `site.Policy`."""

    silence: float = Policy.tsadmin_silence
    total: float = Policy.tsadmin_timeout


class OperatorPort(Protocol):
    """Whoever can be asked about a question that no row knows."""

    @property
    def attended(self) -> bool:
        """Whether there is anybody to ask."""

    def answer(self, host: str, understood: Understood, shown: Sequence[str], *, unseen: bool = False) -> str | None:
        """What to type, or None to stop; `shown`: all lines since the last answer, `unseen`: it may be a secret."""

    def remember(self, host: str, question: str, kinds: Sequence[Kind]) -> Kind | None:
        """The kind as which a question and its answer are to be remembered, one of `kinds`; None: not at all."""

    def told(self, text: str, question: str = "", *, saved: bool = True) -> None:
        """Show the result; `saved`: whether the answer to `question` is known from now on."""


class Nobody:
    """Answers nothing."""

    attended = False

    def answer(self, _host: str, _understood: Understood, _shown: Sequence[str], *, unseen: bool = False) -> str | None:
        """Nobody is there."""
        del unseen
        return None

    def remember(self, _host: str, _question: str, _kinds: Sequence[Kind]) -> Kind | None:
        """Nobody is there."""

    def told(self, _text: str, _question: str = "", *, saved: bool = True) -> None:
        """Show nothing."""


@dataclass
class _Session:
    """Decides for one dialogue; stores why it stopped."""

    appliance: Appliance
    reader: QuestionReader
    operator: OperatorPort
    look: Callable[[Understood], None]
    always: bool = False  # ask the person about each question, also about those that are known
    unknown: str = ""
    read: Understood | None = None
    lines: tuple[str, ...] = ()

    def __call__(self, pending: Pending) -> Answer | Wait | HangUp:
        """Answer at once what is surely a question; wait for more while the line may still grow."""
        if pending.terminated and not may_be_whole_line_prompt(pending.line):
            return Wait()
        # A line may still be growing ("Restore SSH" is not yet "Restore SSH and cron?"), but not behind its choice.
        if not pending.settled and not complete(pending.line):
            return Wait()
        self.lines = pending.lines if pending.terminated else (*pending.lines, pending.line)
        self.read = self.reader.read(self.lines, suggest=False)
        self.look(self.read)
        if self.read.answer is None or self.always:
            # To stop here is drastic, so a line that a busy program may have left is given its time first.
            if not pending.settled or pending.quiet < patience(self.read.question, terminated=pending.terminated):
                return Wait()
            return self._ask(pending)
        return Answer(self.read.answer, rule=self.read.rule, secret=self.read.secret, asked=self.read.question)

    def sent(self, exchange: Exchange) -> None:
        """Count an answer, now that it has gone out."""
        if self.read is not None:
            self.reader.sent(self.read, self.lines, by_person=exchange.rule == OPERATOR)

    def _ask(self, pending: Pending) -> Answer | HangUp:
        understood = self.reader.read(self.lines)
        self.read = understood
        unseen = teaching.asks_for_a_secret(understood.question) or pending.hides
        typed = None
        if self.operator.attended:
            shown = self.reader.shown(self.lines)
            typed = self.operator.answer(self.appliance.name, understood, shown, unseen=unseen)
        if typed is None:
            self.unknown = understood.question
            return HangUp("unknown prompt")
        if understood.kind is not None and not typed:
            return Answer(understood.answer or "", str(understood.kind), understood.secret, understood.question)
        if understood.kind is None:
            typed = typed or understood.suggestion or ""
            self._learn(understood, typed, unseen=unseen)
            again = self.reader.read(self.lines)
            if again.kind in (Kind.SSH, Kind.CRON) and again.answer is not None:
                self.read = again  # in a rehearsal another answer is wanted than the one that was taught
                return Answer(again.answer, rule=again.rule, asked=again.question)
        # What a person types at an unknown question may be a secret: it is never written down.
        return Answer(typed, rule=OPERATOR, secret=True, asked=understood.question)

    def _learn(self, understood: Understood, typed: str, *, unseen: bool) -> None:
        shown = self.reader.shown(self.lines)
        lesson = teaching.Lesson(understood, typed, shown, self.reader.intent, self.reader.dialogue, unseen=unseen)
        if not lesson.kinds:
            text = "not remembered: what was typed is neither the passphrase nor the sudo password"
            self.operator.told(text, lesson.text, saved=False)
            return
        kind = self.operator.remember(self.appliance.name, lesson.text, lesson.kinds)
        if kind is None:
            return
        try:
            text = teaching.learn(lesson, kind, self.appliance.host.dialect, self.reader)
        except teaching.NotRemembered as error:
            self.operator.told(f"this question cannot be remembered: {error}", lesson.text, saved=False)
            return
        self.operator.told(text, lesson.text)


def converse(
    appliance: Appliance,
    script: str,
    reader: QuestionReader,
    operator: OperatorPort,
    *,
    display: str,
    limits: Limits = Limits(),
    look: Callable[[Understood], None] = lambda _understood: None,
    always: bool = False,
) -> Transcript:
    """Run `script` on a terminal and answer its questions.

    Args:
        appliance: where.
        script: shell source, as the login user.
        reader: of this dialogue.
        operator: asked when no row knows, if attended; what is taught takes effect at once.
        display: what logs call the command.
        limits: after which it is given up.
        look: sees each question before it is answered; what it raises ends the dialogue.
        always: ask the operator about known questions, too.

    Raises:
        UnknownPrompt: a question that no row knows, and nobody to ask; it was not answered.
        DialogueSilent: nothing more came.
    """
    session = _Session(appliance, reader, operator, look, always)
    pace = DialoguePace(quiet=0.2, idle=limits.silence, total=limits.total)
    # A list of thousands of lines must not wait in a pager.
    script = f"PAGER=cat SYSTEMD_PAGER=cat; export PAGER SYSTEMD_PAGER; {script}"
    transcript = appliance.shell.converse(script, session, pace=pace, on_exchange=session.sent, display=display)
    if session.unknown:
        raise UnknownPrompt(appliance.name, "", session.unknown, transcript.text)
    return transcript


# ---------------------------------------------------------------- waiting told from busy

_PROMPT_END = re.compile(r"(?:[?:>»›\])}=#]|\?[^?]{1,60}|\b[yY]/[nN])\s*$")
_TELLS_TO = re.compile(r"\b(?:type|enter|choose|select|pick|press|specify|provide|input|toggle)\b", re.IGNORECASE)
_QUESTION_END = re.compile(r"\?\s*(?:[\[(<{][^\[\](){}<>?]{0,40}[\])>}])?\W*$")  # with its default behind it, perhaps
_BUSY = re.compile(
    r"^\W*(?:\[[^\]]*\]\W*)?[A-Z]?[a-z]+ing\b(?![^?]*\?)"  # "Restoring device edge-asa: "
    r"|(?:\.{2,}|…|\d\s*%|\d+\s*/\s*\d+|[#=*.-]{3,}>?)\s*[\])]?\s*$"  # "Unpacking ...", "(3/10)", "[####   ]"
    r"|\bplease\s+wait\b|\bin\s+progress\b",
    re.IGNORECASE,
)
_COMPLETE = re.compile(r"[\[(<{]\s*(?:y|yes)\s*[/|]\s*(?:n|no)\s*[\])>}]\s*[:?>»›]?\s*$", re.IGNORECASE)


def complete(line: str) -> bool:
    """Whether a line that may still grow ends with its choice ("[y/n]: "), so that what is asked is all there."""
    return bool(_COMPLETE.search(line))


def may_be_whole_line_prompt(line: str) -> bool:
    """Whether a finished line, after which nothing comes, may be a prompt: "[*] SSH restored (6 files)" is none."""
    return not _busy(line) and (_asks(line) or bool(re.search(r"[:>»›]\s*$", line)))


def patience(line: str, *, terminated: bool) -> float:
    """How many seconds a line that no row knows must have been waiting before it counts as an unknown question.

    Nothing in the text of "Device edge-asa: " tells a question from work that goes on; waiting costs seconds, a wrong
    stop in the middle of a restore costs the migration.
    """
    if _busy(line) and take_apart(line).choice is None:
        return math.inf
    if _asks(line):
        return 6.0 if terminated else 2.0
    return 20.0 if _PROMPT_END.search(line.rstrip()) else math.inf


def _busy(line: str) -> bool:
    """Whether the line tells of work that goes on; "A restore is in progress. Continue it?" asks about it."""
    return bool(_BUSY.search(plain(line))) and not _QUESTION_END.search(line)


def _asks(line: str) -> bool:
    """Whether the line surely asks for something: it offers a choice, ends as a question, or says what to type."""
    return take_apart(line).choice is not None or bool(_QUESTION_END.search(line) or _TELLS_TO.search(line))
