"""A dialogue with tsadmin: the prompt table decides, the ssh room talks, the operator is asked where no rule knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tscm_migrate.appliance import listing
from tscm_migrate.appliance.prompts import Choice, Table, complete, whole_question
from tscm_migrate.appliance.question import is_slot, may_be_whole_line_prompt, patience
from tscm_migrate.errors import UnknownPrompt
from tscm_migrate.site import Policy
from tscm_migrate.ssh.exchange import Answer, Exchange, Pace, Pending, Stop, Transcript, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tscm_migrate.appliance.base import Appliance

    Picker = Callable[[str, Sequence[str]], str | None]

_MOST_PICKS = 2  # a list that asks again and again has not understood us
_MOST_LINES = 50_000  # of what was shown before earlier answers


@dataclass(frozen=True)
class Limits:
    """Seconds: of silence after which a dialogue is given up, and for all of it. See `site.Policy`."""

    silence: float = Policy.tsadmin_silence
    total: float = Policy.tsadmin_timeout


class Asked(Protocol):
    """Whoever can be asked about a prompt that no rule knows."""

    @property
    def attended(self) -> bool:
        """Whether there is anybody to ask."""

    def answer(self, host: str, prompt: str, context: str) -> str | None:
        """What to type, or None to stop."""


@dataclass
class _Talk:
    """Decides for one dialogue; remembers why it stopped."""

    appliance: Appliance
    table: Table
    operator: Asked
    picker: Picker | None = None
    unknown: str = ""
    chosen: Choice | None = None
    lines: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()

    def __call__(self, pending: Pending) -> Answer | Wait | Stop:
        """Answer at once what is surely a prompt; wait for more while the line may still grow."""
        if pending.terminated and not may_be_whole_line_prompt(pending.line):
            return Wait()
        # A line may still be growing ("Restore SSH" is not yet "Restore SSH and cron?"), but not behind its choice.
        if not pending.settled and not complete(pending.line):
            return Wait()
        choice = self._choose(pending)
        asked = whole_question(pending.line, pending.lines)
        if choice is None:
            # To stop here is drastic, so a line that a busy program may have left is given its time first.
            if not pending.settled or pending.quiet < patience(asked, terminated=pending.terminated):
                return Wait()
            return self._ask(pending, asked)
        self.chosen, self.lines = choice, pending.lines
        return Answer(choice.text, rule=choice.rule, secret=choice.secret, asked=asked)

    def _choose(self, pending: Pending) -> Choice | None:
        """By the table; but a number of the list where one is asked for, unless it is a secret that is wanted."""
        choice = self.table.choose(pending.line, pending.lines)
        if choice is not None and (choice.secret or choice.rule.startswith("inventory:")):
            return choice
        if self.picker is None or self.table.used.get("archive", 0) >= _MOST_PICKS:
            return choice
        question = pending.line
        if self.table.used.get("archive", 0) and not (listing.entries(pending.lines) or listing.dated(pending.lines)):
            # It was chosen from already: a bare slot now belongs to another question, unless that asks for it in words.
            question = whole_question(pending.line, pending.lines)
            if is_slot(question):
                return choice
        # The list of archives may have been shown before another question, such as for the passphrase.
        picked = self.picker(question, (*self.earlier, *pending.lines))
        return choice if picked is None else Choice("archive", picked)

    def sent(self, exchange: Exchange) -> None:
        """An answer has gone out: only now does it count."""
        if self.chosen is not None and self.chosen.rule == exchange.rule:
            self.table.sent(self.chosen, exchange.prompt)
            self.earlier = (*self.earlier, *self.lines)[-_MOST_LINES:]
        else:
            self.table.forget()

    def _ask(self, pending: Pending, asked: str) -> Answer | Wait | Stop:
        typed = (
            self.operator.answer(self.appliance.name, pending.line, pending.context) if self.operator.attended else None
        )
        if typed is None:
            self.unknown = asked
            return Stop("unknown prompt")
        # What a person types at an unknown prompt may be a secret: it is never written down.
        return Answer(typed, rule="operator", secret=True, asked=asked)


def converse(
    appliance: Appliance,
    script: str,
    table: Table,
    operator: Asked,
    *,
    picker: Picker | None = None,
    display: str,
    limits: Limits = Limits(),
) -> Transcript:
    """Run `script` on a terminal and answer its questions.

    Args:
        appliance: where; its own prompt rules are part of the table already.
        script: shell source, as the login user.
        table: the rules.
        operator: asked when no rule knows, if attended.
        picker: looks at a question and the lines before it, and gives the answer where it is the list of archives.
        display: what logs call the command.
        limits: after which it is given up.

    Raises:
        UnknownPrompt: a prompt that no rule knows, and nobody to ask; it was not answered.
        DialogueSilent: nothing more came.
    """
    talk = _Talk(appliance, table, operator, picker)
    pace = Pace(quiet=0.2, idle=limits.silence, total=limits.total)
    # A list of thousands of lines must not wait in a pager.
    script = f"PAGER=cat SYSTEMD_PAGER=cat; export PAGER SYSTEMD_PAGER; {script}"
    transcript = appliance.shell.converse(script, talk, pace=pace, on_exchange=talk.sent, display=display)
    if talk.unknown:
        raise UnknownPrompt(appliance.name, "", talk.unknown, transcript.text)
    return transcript
