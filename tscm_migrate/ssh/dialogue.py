"""A conversation with a program on a remote terminal; which answer a prompt gets is decided by the caller.

The loop knows four things that a prompt table cannot: when the other side waits (an unterminated line, then silence),
what of its output is only the echo of our own answer, whether it takes a key without Enter, and whether the connection
is still there.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tscm_migrate.errors import DialogueSilent, OutputFlood
from tscm_migrate.ssh.dialogue_types import Answer, Exchange, Pace, Pending, Stop, Transcript
from tscm_migrate.ssh.exceptions import let_go, translated
from tscm_migrate.ssh.execution import Wake
from tscm_migrate.ssh.terminal import Terminal
from tscm_migrate.util import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import paramiko

    from tscm_migrate.ssh.dialogue_types import Decide

_PROMPT_END = re.compile(r"[:?\])}>»›$#=…]\s*$")
_STATUS_GRACE = 5.0  # seconds: the exit status may come after the end of the output
_ORPHAN_GRACE = 2.0  # seconds: a daemon that the program left may hold the terminal
# Seconds: a program sets its terminal just behind its prompt, and may throw away what was typed before.
_MODE_DELAY = 0.15
_KEY_TAKEN = 1.5  # seconds: what took a key has said something by then; a line editor still waits for Enter
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
        pace: Pace | None = None,
        on_exchange: Callable[[Exchange], None] = lambda _exchange: None,
        limit: int = 1 << 18,
        modes: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self.channel = channel
        self.host = host
        self.decide = decide
        self.pace = pace or Pace()
        self.on_exchange = on_exchange
        self.terminal = Terminal()
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
        self._offer_at = 0.0  # silence after which the pending line is offered again
        self._orphaned = 0.0

    def run(self, early: bytes = b"") -> Transcript:
        """Converse until the other side ends.

        Args:
            early: output that was read before.

        Raises:
            DialogueSilent: `idle` or `total` seconds are over; with the transcript.
            OutputFlood: it printed 64 MiB.
            Exception: whatever `decide` raises; the channel is closed then too.
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
            raise OutputFlood(self.host, f"a dialogue printed more than {_FLOOD} bytes")
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
        """The silence after which the other side counts as waiting."""
        if self._offer_at:
            return self._offer_at
        if not self.terminal.line.strip():
            return self.pace.terminated
        return self.pace.quiet if _PROMPT_END.search(self.terminal.line) else self.pace.doubtful

    def _offer_when_settled(self) -> Stop | None:
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

    def _consider(self, *, settled: bool, silence: float = 0.0) -> Stop | None:
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
        self._heard += took  # the silence while we think is ours
        if isinstance(verdict, Stop):
            return verdict
        # An answer belongs to the prompt that was seen: when more has come meanwhile, look again.
        if isinstance(verdict, Answer) and not self._wake_data():
            self._answer(pending, verdict, modes)
        return None

    def _wake_data(self) -> bool:
        return self.channel.recv_ready() or self.channel.recv_stderr_ready() or self.channel.closed

    def _answer(self, pending: Pending, answer: Answer, modes: Collection[str]) -> None:
        self._key_sent = len(answer.text) == 1 and "-icanon" in modes
        # Nobody makes a newline of the key there, as where a program reads a secret itself and shows a star for each.
        enter = b"\r" if "-icrnl" in modes else b"\n"
        if answer.secret:
            self.terminal.hide(answer.text)
        shown = "" if pending.terminated else self.terminal.line
        try:
            self.channel.sendall(answer.text.encode() + (b"" if self._key_sent else enter))
        except OSError:
            return  # it ended in this moment; the loop sees why
        self._log.add(f"{shown}{answer.shown}\n")
        self.terminal.mark(answer.text, alone=self._key_sent and "-echo" not in modes)
        self._heard = time.monotonic()
        self._offer_at = 0.0
        exchange = Exchange(answer.asked or pending.line.strip(), answer.rule, answer.shown)
        self._exchanges.append(exchange)
        self.on_exchange(exchange)

    def _enter_where_still_awaited(self) -> None:
        """After a key that nothing has come of: a program with a line editor of its own waits for Enter."""
        silence = time.monotonic() - self._heard
        if silence < _KEY_TAKEN:
            self._offer_at = _KEY_TAKEN
            return
        self._key_sent = False
        if "-icanon" in self.modes() and not self._wake_data():
            self.channel.sendall(b"\r")  # what the key sends; a line editor may not know a newline

    # ------------------------------------------------------------------ the end

    def _end(self) -> Transcript:
        self.channel.status_event.wait(_STATUS_GRACE)
        if self.channel.exit_status >= 0:
            return self._transcript(status=self.channel.exit_status)
        transport = self.channel.get_transport()
        deadline = time.monotonic() + 0.5  # channels hear of a lost connection a moment before it says so itself
        while transport.is_active() and time.monotonic() < deadline and not self.channel.eof_received:
            time.sleep(0.02)
        return self._transcript(lost=not transport.is_active())

    def _transcript(self, *, status: int | None = None, lost: bool = False, stopped: str = "") -> Transcript:
        took = time.monotonic() - self._began
        text = redact.clean(self._log.text() + self.terminal.line)  # before it is taken apart into lines
        return Transcript(text, tuple(self._exchanges), status, lost, stopped, round(took, 3))
