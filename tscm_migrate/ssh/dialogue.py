"""Conversation with a program on a remote terminal; the caller decides which answer a prompt gets."""

import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import paramiko

from tscm_migrate.errors import DialogueSilent, TooMuchOutput
from tscm_migrate.ssh.exceptions import let_go, translated
from tscm_migrate.ssh.execution import Wake
from tscm_migrate.ssh.terminal import MASK, ScreenBuffer
from tscm_migrate.util import redact


@dataclass(frozen=True)
class Pending:
    """What the remote program shows at the moment.

    Attributes:
        line: the unterminated last line; when `terminated`, the last line that is not blank.
        context: everything since the last answer (at most the last 64 KiB).
        lines: its finished lines.
        settled: whether the program has been silent long enough to be waiting; if False, more output may follow.
        terminated: the line ended with a newline, so the program may be busy instead of waiting.
        quiet: seconds of silence; after `WAIT` the prompt is offered again after twice the silence, and so on.
    """

    line: str = field(repr=False)
    context: str = field(repr=False)
    lines: tuple[str, ...] = field(repr=False)
    settled: bool
    terminated: bool = False
    quiet: float = 0.0
    modes: Callable[[], Collection[str]] = tuple  # reads the modes of its terminal when called

    @property
    def hides(self) -> bool:
        """Return whether typed text is not echoed, as when a program reads a password."""
        modes = self.modes()
        return "-echo" in modes and "-icanon" not in modes


@dataclass(frozen=True)
class Answer:
    """Type this text and Enter; `rule` names the rule that decided; a `secret` is masked wherever it would be shown.

    A text of one character is sent without Enter to a program that reads single keys: Enter would answer its next
    question.
    """

    text: str
    rule: str = ""
    secret: bool = False
    asked: str = ""  # the complete question, if it begins above the last line

    def __repr__(self) -> str:
        return f"Answer({self.shown!r}, rule={self.rule!r})"

    @property
    def shown(self) -> str:
        """Return the text as it may be shown."""
        return MASK if self.secret else self.text


@dataclass(frozen=True)
class Wait:
    """No answer yet: the program is busy, or the prompt may be incomplete."""


@dataclass(frozen=True)
class HangUp:
    """Close the connection to the program; `reason` is returned in the transcript."""

    reason: str


WAIT = Wait()
Decide = Callable[[Pending], Answer | Wait | HangUp]


@dataclass(frozen=True)
class Exchange:
    """One answered prompt."""

    prompt: str
    rule: str
    shown: str


@dataclass(frozen=True)
class Transcript:
    """The result of a dialogue.

    Attributes:
        text: as a terminal would show it, with the answers, secrets masked; at most the last 256 KiB.
        exchanges: the answered prompts.
        status: exit status; None without one (closed by us, connection lost, or ended by a signal).
        lost: whether the connection was lost.
        stopped: the reason of a `HangUp`, else "".
    """

    text: str = field(repr=False)
    exchanges: tuple[Exchange, ...] = ()
    status: int | None = None
    lost: bool = False
    stopped: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class DialoguePace:
    """The times of a dialogue, in seconds.

    Attributes:
        quiet: silence after which an unterminated line that looks like a prompt is taken as one.
        doubtful: the same for an unterminated line that does not look like a prompt.
        terminated: the same for a line that ended with a newline.
        idle: timeout without any output or answer.
        total: timeout of the complete dialogue, without the time that the caller takes to decide.
    """

    quiet: float = 0.4
    doubtful: float = 1.5
    terminated: float = 1.0
    idle: float = 300.0
    total: float = 3600.0


_PROMPT_END = re.compile(r"[:?\])}>»›$#=…]\s*$")
_STATUS_GRACE = 5.0  # seconds: the exit status may come after the end of the output
_ORPHAN_GRACE = 2.0  # seconds: a daemon started by the program may keep the terminal open
# Seconds: a program may set its terminal's modes after its prompt, and discard what was typed before that.
_MODE_DELAY = 0.15
_KEY_TAKEN = 1.5  # seconds: a program that reads single keys has responded by then; a line editor still waits for Enter
_FLOOD = 64 << 20


@dataclass
class _Log:
    """The transcript's text, bounded."""

    limit: int
    parts: list[str] = field(default_factory=list, repr=False)
    size: int = 0

    def add(self, text: str) -> None:
        self.parts.append(text)
        self.size += len(text)
        if self.size > 2 * self.limit:
            self.parts = [self.text()]
            self.size = len(self.parts[0])

    def text(self) -> str:
        return "".join(self.parts)[-self.limit :]


class Dialogue:
    """One conversation over an open channel whose command has been started on a pty."""

    def __init__(
        self,
        channel: paramiko.Channel,
        host: str,
        decide: Decide,
        *,
        pace: DialoguePace | None = None,
        on_exchange: Callable[[Exchange], None] = lambda _exchange: None,
        limit: int = 1 << 18,
        modes: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self.channel = channel
        self.host = host
        self.decide = decide
        self.pace = pace or DialoguePace()
        self.on_exchange = on_exchange
        self.terminal = ScreenBuffer()
        self.modes = modes
        self._key_sent = False
        self._log = _Log(limit)
        self._exchanges: list[Exchange] = []
        self._wake = Wake()
        self._received = 0
        channel.in_buffer.set_event(self._wake)
        channel.in_stderr_buffer.set_event(self._wake)
        self._began = self._heard = time.monotonic()
        self._deadline = self._began + self.pace.total
        self._offer_at = 0.0  # silence after which the last line is offered again
        self._orphaned = 0.0

    def run(self, early: bytes = b"") -> Transcript:
        """Run the dialogue until the program ends.

        Args:
            early: output that was read before.

        Raises:
            DialogueSilent: the `idle` or `total` timeout has passed; it has the transcript.
            TooMuchOutput: it printed 64 MiB.
            Exception: any exception from `decide`; the channel is closed first.
        """
        try:
            with translated(self.host):
                if early:
                    self._take(early)
                return self._loop()
        finally:
            let_go(self.channel)

    # ------------------------------------------------------------------ the loop

    def _loop(self) -> Transcript:
        while True:
            self._wake.reset()
            over = self.channel.closed or self.channel.eof_received
            if data := self._receive():
                self._take(data)
                stop = self._consider(settled=False)
            elif over or self._is_orphaned():
                return self._end()
            else:
                stop = self._offer_when_settled()
            if stop is not None:
                let_go(self.channel)
                return self._transcript(stopped=stop.reason)
            if not data:
                self._check_time()
                self._wake.wait(self._nap())

    def _receive(self) -> bytes:
        data = b""
        if self.channel.recv_ready():
            data = self.channel.recv(1 << 16)
        if self.channel.recv_stderr_ready():
            data += self.channel.recv_stderr(1 << 16)
        return data

    def _take(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > _FLOOD:
            let_go(self.channel)
            raise TooMuchOutput(self.host, f"a dialogue printed more than {_FLOOD} bytes")
        self._heard = time.monotonic()
        self._offer_at = 0.0
        for line in self.terminal.feed(data):
            self._log.add(line + "\n")

    def _is_orphaned(self) -> bool:
        if not self.channel.exit_status_ready():
            return False
        now = time.monotonic()
        self._orphaned = self._orphaned or now + _ORPHAN_GRACE
        return now > self._orphaned

    def _check_time(self) -> None:
        now = time.monotonic()
        if now - self._heard > self.pace.idle:
            self._give_up(f"silent for {self.pace.idle:.0f} s")
        if now > self._deadline:
            self._give_up(f"not ended after {self.pace.total:.0f} s")

    def _give_up(self, why: str) -> None:
        let_go(self.channel)
        last = self.terminal.line or next((x for x in reversed(self.terminal.lines) if x.strip()), "")
        raise DialogueSilent(self.host, f"{why}; last seen: {redact.outside(last)[-200:]!r}", self._transcript().text)

    def _nap(self) -> float:
        silence = time.monotonic() - self._heard
        until = [0.25, self._due() - silence]
        return max(0.005, min(until))

    # ------------------------------------------------------------------ offering and answering

    def _due(self) -> float:
        """Return the silence after which the program counts as waiting."""
        if self._offer_at:
            return self._offer_at
        if not self.terminal.line.strip():
            return self.pace.terminated
        return self.pace.quiet if _PROMPT_END.search(self.terminal.line) else self.pace.doubtful

    def _offer_when_settled(self) -> HangUp | None:
        silence = time.monotonic() - self._heard
        if silence < self._due():
            return None
        if self._key_sent and not self.terminal.text.strip():
            self._enter_where_still_awaited()
            return None
        self.terminal.settle()
        self._offer_at = 2 * max(silence, self._due())
        return self._consider(settled=True, silence=silence)

    def _pending(self, *, settled: bool, silence: float) -> Pending | None:
        line, lines = self.terminal.line, self.terminal.lines
        if line.strip():
            return Pending(line, self.terminal.text, lines, settled, quiet=silence, modes=self.modes)
        last = next((x for x in reversed(lines) if x.strip()), None)
        if not settled or last is None:
            return None
        return Pending(last, self.terminal.text, lines, settled, terminated=True, quiet=silence, modes=self.modes)

    def _consider(self, *, settled: bool, silence: float = 0.0) -> HangUp | None:
        pending = self._pending(settled=settled, silence=silence)
        if pending is None:
            return None
        asked = time.monotonic()
        verdict = self.decide(pending)
        depends = isinstance(verdict, Answer) and (verdict.secret or len(verdict.text) == 1)
        if depends and not settled:
            time.sleep(_MODE_DELAY)
        modes = self.modes() if depends else ()
        took = time.monotonic() - asked
        self._deadline += took
        self._heard += took  # do not count our own decision time as the program's silence
        if isinstance(verdict, HangUp):
            return verdict
        # The answer is for the prompt as it was: if more output has arrived meanwhile, decide again.
        if isinstance(verdict, Answer) and not self._wake_data():
            self._answer(pending, verdict, modes)
        return None

    def _wake_data(self) -> bool:
        return self.channel.recv_ready() or self.channel.recv_stderr_ready() or self.channel.closed

    def _answer(self, pending: Pending, answer: Answer, modes: Collection[str]) -> None:
        self._key_sent = len(answer.text) == 1 and "-icanon" in modes
        # The terminal does not turn CR into a newline, as when a program itself reads a secret and shows a star a key.
        enter = b"\r" if "-icrnl" in modes else b"\n"
        if answer.secret:
            self.terminal.hide(answer.text)
        shown = "" if pending.terminated else self.terminal.line
        try:
            self.channel.sendall(answer.text.encode() + (b"" if self._key_sent else enter))
        except OSError:
            return  # the program has just ended; the loop finds out why
        self._log.add(f"{shown}{answer.shown}\n")
        self.terminal.mark(answer.text, alone=self._key_sent and "-echo" not in modes)
        self._heard = time.monotonic()
        self._offer_at = 0.0
        exchange = Exchange(answer.asked or pending.line.strip(), answer.rule, answer.shown)
        self._exchanges.append(exchange)
        self.on_exchange(exchange)

    def _enter_where_still_awaited(self) -> None:
        """Send Enter after a key without effect: a program with its own line editor waits for it."""
        silence = time.monotonic() - self._heard
        if silence < _KEY_TAKEN:
            self._offer_at = _KEY_TAKEN
            return
        self._key_sent = False
        if "-icanon" in self.modes() and not self._wake_data():
            self.channel.sendall(b"\r")  # what the Enter key sends; a line editor may not accept a newline

    # ------------------------------------------------------------------ the end

    def _end(self) -> Transcript:
        self.channel.status_event.wait(_STATUS_GRACE)
        if self.channel.exit_status >= 0:
            return self._transcript(status=self.channel.exit_status)
        transport = self.channel.get_transport()
        deadline = time.monotonic() + 0.5  # a lost connection closes channels before its transport
        while transport.is_active() and time.monotonic() < deadline and not self.channel.eof_received:
            time.sleep(0.02)
        return self._transcript(lost=not transport.is_active())

    def _transcript(self, *, status: int | None = None, lost: bool = False, stopped: str = "") -> Transcript:
        took = time.monotonic() - self._began
        text = redact.clean(self._log.text() + self.terminal.line)  # before the text is split into lines
        return Transcript(text, tuple(self._exchanges), status, lost, stopped, round(took, 3))
