"""What is said in a dialogue, and how: the words that its loop and whoever decides about the answers share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from tscm_migrate.ssh.terminal import MASK


@dataclass(frozen=True)
class Pending:
    """What the other side says at the moment.

    Attributes:
        line: the unterminated last line; when `terminated`, the last line that is not blank.
        context: everything since the last answer (its end, at most 64 KiB).
        lines: its finished lines.
        settled: False: more may be on its way; True: it has been silent for long enough to be waiting.
        terminated: the line ended with a newline, so it may as well be busy.
        quiet: seconds of silence; a pending that got `WAIT` is offered again after twice the silence, and so on.
    """

    line: str = field(repr=False)
    context: str = field(repr=False)
    lines: tuple[str, ...] = field(repr=False)
    settled: bool
    terminated: bool = False
    quiet: float = 0.0
    modes: Callable[[], Collection[str]] = tuple  # of its terminal; asked for when it is called

    @property
    def hides(self) -> bool:
        """Whether what is typed would not be shown, as where a password is read."""
        modes = self.modes()
        return "-echo" in modes and "-icanon" not in modes


@dataclass(frozen=True)
class Answer:
    """Type this and Enter; `rule` names who says so; a `secret` is shown as a mask wherever it would appear.

    A text of one character goes without Enter to a program that reads single keys: it would answer its next question.
    """

    text: str
    rule: str = ""
    secret: bool = False
    asked: str = ""  # the whole question, where it begins above the line that waits

    def __repr__(self) -> str:
        return f"Answer({self.shown!r}, rule={self.rule!r})"

    @property
    def shown(self) -> str:
        """The text as it may be seen."""
        return MASK if self.secret else self.text


@dataclass(frozen=True)
class Wait:
    """No answer; the other side is busy, or nobody can know yet."""


@dataclass(frozen=True)
class Stop:
    """Hang up; `reason` comes back in the transcript."""

    reason: str


WAIT = Wait()
Decide = Callable[[Pending], Answer | Wait | Stop]


@dataclass(frozen=True)
class Exchange:
    """One answered prompt."""

    prompt: str
    rule: str
    shown: str


@dataclass(frozen=True)
class Transcript:
    """How a dialogue went.

    Attributes:
        text: as a terminal would have shown it, answers included, secrets masked; its end, at most the limit.
        exchanges: the answered prompts.
        status: exit status; None: none came (hung up, lost, or ended by a signal).
        lost: the connection went away.
        stopped: the reason of a `Stop`, else "".
    """

    text: str = field(repr=False)
    exchanges: tuple[Exchange, ...] = ()
    status: int | None = None
    lost: bool = False
    stopped: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Pace:
    """Seconds.

    Attributes:
        quiet: silence after which an unterminated line that looks like a prompt is one.
        doubtful: the same for one that does not look like it.
        terminated: the same for a line that ended with a newline.
        idle: nothing was said and nothing answered for so long: it is given up.
        total: for all of it, without the time that the caller takes to decide.
    """

    quiet: float = 0.4
    doubtful: float = 1.5
    terminated: float = 1.0
    idle: float = 300.0
    total: float = 3600.0
