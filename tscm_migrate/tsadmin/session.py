"""Runs a dialogue with tsadmin: known questions are answered from the dialects, unknown ones by a person."""

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

OPERATOR = "operator"  # the rule of answers by a person


@dataclass(frozen=True)
class Limits:
    """Timeouts in seconds: without output, and in all. See `model.Policy`."""

    silence: float = Policy.tsadmin_silence
    total: float = Policy.tsadmin_timeout


class OperatorPort(Protocol):
    """Interface to the person who answers unknown questions."""

    @property
    def attended(self) -> bool:
        """Whether a person can be asked."""

    def answer(self, host: str, understood: Understood, shown: Sequence[str], *, unseen: bool = False) -> str | None:
        """Return what to type, or None to stop; `shown`: all lines since the last answer, `unseen`: hide the input."""

    def remember(self, host: str, question: str, kinds: Sequence[Kind]) -> Kind | None:
        """Return the kind (one of `kinds`) as which to save a question and its answer; None: do not save it."""

    def inform(self, text: str, question: str = "", *, saved: bool = True) -> None:
        """Show the result; `saved`: whether the answer to `question` is known from now on."""


class NoOperator:
    """Answers no question: no person can be asked."""

    attended = False

    def answer(self, _host: str, _understood: Understood, _shown: Sequence[str], *, unseen: bool = False) -> str | None:
        """Return None."""
        del unseen
        return None

    def remember(self, _host: str, _question: str, _kinds: Sequence[Kind]) -> Kind | None:
        """Return None."""

    def inform(self, _text: str, _question: str = "", *, saved: bool = True) -> None:
        """Show nothing."""


@dataclass
class _Session:
    """State of one dialogue: decides the answers, and stores why it stopped."""

    appliance: Appliance
    reader: QuestionReader
    operator: OperatorPort
    look: Callable[[Understood], None]
    always: bool = False  # ask the person about each question, also about those that are known
    unknown: str = ""
    read: Understood | None = None
    lines: tuple[str, ...] = ()

    def __call__(self, pending: Pending) -> Answer | Wait | HangUp:
        """Answer a complete question at once; wait while the line may still grow."""
        if pending.terminated and not may_be_complete_prompt(pending.line):
            return Wait()
        # A line may still grow ("Restore SSH" to "Restore SSH and cron?"), but not after its choice.
        if not complete(pending.line) and not (pending.settled and pending.quiet >= growth(pending.line)):
            return Wait()
        self.lines = pending.lines if pending.terminated else (*pending.lines, pending.line)
        self.read = self.reader.read(self.lines, suggest=False)
        self.look(self.read)
        if self.read.answer is None or self.always:
            # An unknown question stops the run, so a line that a busy program may have printed gets more time.
            if not pending.settled or pending.quiet < patience(self.read.question, terminated=pending.terminated):
                return Wait()
            return self._ask(pending)
        return Answer(self.read.answer, rule=self.read.rule, secret=self.read.secret, asked=self.read.question)

    def sent(self, exchange: Exchange) -> None:
        """Count an answer after it was sent."""
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
                self.read = again  # a rehearsal needs another answer than the one that was taught
                return Answer(again.answer, rule=again.rule, asked=again.question)
        # An answer to an unknown question may be a secret: it is never recorded.
        return Answer(typed, rule=OPERATOR, secret=True, asked=understood.question)

    def _learn(self, understood: Understood, typed: str, *, unseen: bool) -> None:
        shown = self.reader.shown(self.lines)
        lesson = teaching.Lesson(understood, typed, shown, self.reader.intent, self.reader.dialogue, unseen=unseen)
        if not lesson.kinds:
            text = "not remembered: what was typed is neither the passphrase nor the sudo password"
            self.operator.inform(text, lesson.text, saved=False)
            return
        kind = self.operator.remember(self.appliance.name, lesson.text, lesson.kinds)
        if kind is None:
            return
        try:
            text = teaching.learn(lesson, kind, self.appliance.host.dialect, self.reader)
        except teaching.NotRemembered as error:
            self.operator.inform(f"this question cannot be remembered: {error}", lesson.text, saved=False)
            return
        self.operator.inform(text, lesson.text)


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
        script: shell source; runs as the login user.
        reader: of this dialogue.
        operator: answers questions that no row knows, if attended; what is taught takes effect at once.
        display: name of the command in logs.
        limits: timeouts.
        look: called with each question before it is answered; an exception ends the dialogue.
        always: ask the operator about known questions, too.

    Raises:
        UnknownPrompt: no row knows a question, and no person answered it.
        DialogueSilent: a timeout.
    """
    session = _Session(appliance, reader, operator, look, always)
    pace = DialoguePace(quiet=0.2, idle=limits.silence, total=limits.total)
    # A long list must not wait in a pager.
    script = f"PAGER=cat SYSTEMD_PAGER=cat; export PAGER SYSTEMD_PAGER; {script}"
    transcript = appliance.shell.converse(script, session, pace=pace, on_exchange=session.sent, display=display)
    if session.unknown:
        raise UnknownPrompt(appliance.name, "", session.unknown, transcript.text)
    return transcript


# ---------------------------------------------------------------- waiting or busy

_PROMPT_END = re.compile(r"(?:[?:>»›\])}=#]|\?[^?]{1,60}|\b[yY]/[nN])\s*$")
_TELLS_TO = re.compile(r"\b(?:type|enter|choose|select|pick|press|specify|provide|input|toggle)\b", re.IGNORECASE)
_QUESTION_END = re.compile(r"\?\s*(?:[\[(<{][^\[\](){}<>?]{0,40}[\])>}])?\W*$")  # perhaps followed by its default
_BUSY = re.compile(
    r"^\W*(?:\[[^\]]*\]\W*)?[A-Z]?[a-z]+ing\b(?![^?]*\?)"  # "Restoring device edge-asa: "
    r"|(?:\.{2,}|…|\d\s*%|\d+\s*/\s*\d+|[#=*.-]{3,}>?)\s*[\])]?\s*$"  # "Unpacking ...", "(3/10)", "[####   ]"
    r"|\bplease\s+wait\b|\bin\s+progress\b",
    re.IGNORECASE,
)
_COMPLETE = re.compile(r"[\[(<{]\s*(?:y|yes)\s*[/|]\s*(?:n|no)\s*[\])>}]\s*[:?>»›]?\s*$", re.IGNORECASE)


def complete(line: str) -> bool:
    """Return whether a line that may still grow ends with its choice ("[y/n]: "), so that the question is complete."""
    return bool(_COMPLETE.search(line))


def growth(line: str) -> float:
    """Return the seconds of silence after which a line without a choice does not grow any more.

    A program may write "Enter backup number" and later " to delete: ", or its choice a moment after its question mark.
    """
    bare = line.rstrip()
    if bare.endswith((":", ">", "»", "›", "=", "#")):
        return 0.0
    return 1.0 if bare.endswith(("?", ")", "]", "}", ".")) else 4.0


def may_be_complete_prompt(line: str) -> bool:
    """Return whether a finished line without a successor may be a prompt; "[*] SSH restored (6 files)" is not."""
    return not _busy(line) and (_asks(line) or bool(re.search(r"[:>»›]\s*$", line)))


def patience(line: str, *, terminated: bool) -> float:
    """Return the seconds that a line must wait before it counts as an unknown question.

    The text "Device edge-asa: " may be a question or a progress message. Waiting costs seconds; a wrong stop in the
    middle of a restore costs the migration.
    """
    if _busy(line) and take_apart(line).choice is None:
        return math.inf
    if _asks(line):
        return 6.0 if terminated else 2.0
    return 20.0 if _PROMPT_END.search(line.rstrip()) else math.inf


def _busy(line: str) -> bool:
    """Return whether the line reports work in progress; "A restore is in progress. Continue it?" is a question."""
    return bool(_BUSY.search(plain(line))) and not _QUESTION_END.search(line)


def _asks(line: str) -> bool:
    """Return whether the line surely asks for input: it has a choice, ends as a question, or names what to type."""
    return take_apart(line).choice is not None or bool(_QUESTION_END.search(line) or _TELLS_TO.search(line))
