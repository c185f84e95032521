"""One command on one channel: start it (as root where asked), feed it, drain both streams, know how it ended."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tscm_migrate import redact
from tscm_migrate.errors import CommandTimeout, ConnectionLost, OutputFlood, SudoFailed
from tscm_migrate.ssh import command
from tscm_migrate.ssh.opening import Opening
from tscm_migrate.ssh.translate import let_go, translated

if TYPE_CHECKING:
    import paramiko

    from tscm_migrate.site import Secret

_CHUNK = 1 << 18
_STATUS_GRACE = 5.0  # seconds: the exit status may come after the end of the output
_ORPHAN_GRACE = 2.0  # seconds: a background child may hold the output open after the command's end
_POLL = 0.25


class Wake(threading.Event):
    """An event for two buffers at once: reading one empty must not hide that the other has something."""

    def clear(self) -> None:
        """What the buffers call; only the reader itself resets."""

    def reset(self) -> None:
        """Forget, before looking at both buffers."""
        super().clear()


@dataclass(frozen=True)
class Root:
    """How to become root: None as password means that sudo asks for none."""

    password: Secret | None


class Execution:
    """A started command. Everything that waits here has an end.

    Attributes:
        channel: the open channel.
        early: standard error that came before the script could start (sudo's lecture).
        out, err: where the script's own output begins on either stream.
    """

    def __init__(self, channel: paramiko.Channel, host: str, display: str) -> None:
        self.channel = channel
        self.host = host
        self.display = display
        self.early = b""
        self.marks: command.SudoMarks | None = None
        self.out = Opening("")
        self.err = Opening("")
        self._wake = Wake()
        channel.in_buffer.set_event(self._wake)
        channel.in_stderr_buffer.set_event(self._wake)

    def start(
        self,
        script: str,
        *,
        root: Root | None,
        seconds: float | None = None,
        terminal: bool = False,
        patience: float = 30.0,
    ) -> None:
        """Run `script`; with a sudo password, return when root's shell has started.

        Args:
            script: sh source.
            root: None: as the login user.
            seconds: the remote time limit; never with a terminal (`timeout` would take the program away from it).
            terminal: on a pty, then `early` is the beginning of its output.
            patience: seconds that sudo may take to ask and to answer.

        Raises:
            SudoFailed: sudo refused.
        """
        with translated(self.host):
            if terminal:
                self.channel.get_pty(
                    "dumb", width=500, height=100
                )  # wide: nothing is wrapped; dumb: nothing is painted
            mark = "" if terminal else command.opening_mark()
            self.out = Opening(mark)
            if root is None:
                self.err = Opening(mark)
                self.channel.exec_command(command.plain(script, seconds=seconds, mark=mark))
                return
            self.marks = command.SudoMarks()
            asked = root.password is not None
            self.channel.exec_command(
                command.with_sudo(script, self.marks, password=asked, terminal=terminal, seconds=seconds, mark=mark)
            )
        if asked or terminal:
            self._become_root(self.marks, root.password, patience, terminal=terminal)

    def _become_root(
        self, marks: command.SudoMarks, password: Secret | None, patience: float, *, terminal: bool
    ) -> None:
        prompt, started = marks.prompt.encode(), marks.started.encode()
        deadline = time.monotonic() + patience
        said, sent = b"", False
        while started not in said:
            more = self._more(deadline, terminal=terminal)
            said += more
            if not more or len(said) > _CHUNK:
                self.fail_sudo(said, sent=sent)
            if password is not None and not sent and prompt in said:
                said = said.replace(prompt, b"", 1)
                self.send(password.reveal().encode() + b"\n")
                sent = True
            if sent and prompt in said:  # asked again: it was wrong
                self.fail_sudo(said.replace(prompt, b""), sent=True)
        before, _, after = said.partition(started)
        self.early = after if terminal else before.replace(prompt, b"") + after
        self.marks = None

    def terminal_name(self, mark: str, patience: float = 30.0) -> str:
        """The terminal's device, told by a script that begins with `command.naming(mark)`.

        What a login prints before is no part of the dialogue and goes.

        Returns:
            "" where the script did not begin; then all that came is in `early`.
        """
        said, deadline = self.early, time.monotonic() + patience
        pattern = re.compile(re.escape(mark.encode()) + rb"(/dev/[\w/]+)?[^\n]*\n")
        with translated(self.host):
            while not (found := pattern.search(said)):
                more = self._more(deadline, terminal=True)
                said += more
                if not more or len(said) > _CHUNK:
                    self.early = said
                    return ""
        self.early = said[found.end() :]
        return (found[1] or b"").decode()

    def _more(self, deadline: float, *, terminal: bool) -> bytes:
        """The next bytes of the stream on which sudo speaks; b"" when it has ended or time is over."""
        channel = self.channel
        ready, receive = (
            (channel.recv_ready, channel.recv) if terminal else (channel.recv_stderr_ready, channel.recv_stderr)
        )
        while True:
            self._wake.reset()
            over = channel.closed or channel.exit_status_ready() or time.monotonic() >= deadline
            if ready():
                return receive(_CHUNK)
            if over:
                return b""
            self._wake.wait(_POLL)

    def fail_sudo(self, said: bytes, *, sent: bool) -> None:
        """Say why sudo did not let the script start.

        Raises:
            ConnectionLost: it was no refusal, the connection is gone.
            SudoFailed: always otherwise.
        """
        let_go(self.channel)
        if not self._transport_lives():
            raise ConnectionLost(self.host, "while sudo was starting")
        raise SudoFailed(self.host, sudo_reason(said.decode(errors="replace"), sent=sent))

    def send(self, data: bytes) -> None:
        """Send a little standard input."""
        with translated(self.host):
            self.channel.sendall(data)

    def _transport_lives(self, grace: float = 0.5) -> bool:
        """Whether the connection is still there; channels are told of its end a moment before it says so itself."""
        transport = self.channel.get_transport()
        deadline = time.monotonic() + grace
        while transport.is_active():
            if self.channel.eof_received or time.monotonic() >= deadline:
                return True
            time.sleep(0.02)
        return False

    # ------------------------------------------------------------------ to the end

    def communicate(self, stdin: bytes, *, timeout: float, limit: int) -> tuple[int, bytes, bytes]:
        """Feed `stdin`, collect both streams, and wait for the end.

        Args:
            stdin: all of it; the end of input follows.
            timeout: seconds by the wall clock.
            limit: bytes that both streams may hold together.

        Returns:
            Exit status, stdout, stderr.

        Raises:
            CommandTimeout: it had not ended by then. OutputFlood: over `limit`. ConnectionLost: no status came.
            SudoFailed: sudo did not let it start.
        """
        deadline = time.monotonic() + timeout
        out, err = bytearray(), bytearray(self.early)
        with translated(self.host):
            self._pump(memoryview(stdin), out, err, deadline=deadline, limit=limit, timeout=timeout)
            status = self.status(min(_STATUS_GRACE, max(0.1, deadline - time.monotonic())))
        out += self.out.rest()
        err += self.err.rest()
        return status, bytes(out), self.without_mark(bytes(err), status)

    def without_mark(self, err: bytes, status: int) -> bytes:
        """Standard error without the mark that sudo's script leaves; a missing mark means that sudo refused."""
        if self.marks is None:
            return err
        mark = self.marks.started.encode()
        if mark not in err and status != 0:
            self.fail_sudo(err, sent=False)
        return err.replace(mark, b"", 1)

    def _pump(
        self, stdin: memoryview, out: bytearray, err: bytearray, *, deadline: float, limit: int, timeout: float
    ) -> None:
        channel = self.channel
        fed, orphaned = False, None
        while True:
            self._wake.reset()
            if not fed:
                stdin = self._feed(stdin)
                if fed := not stdin:
                    channel.shutdown_write()
            over = channel.closed or channel.eof_received  # looked at first: what came before the end is drained below
            got = self._drain(out, err)
            if len(out) + len(err) > limit:
                let_go(channel)
                raise OutputFlood(self.host, f"`{self.display}` printed more than {limit} bytes")
            now = time.monotonic()
            if not got:
                if over or (orphaned and now > orphaned):
                    return
                if channel.exit_status_ready():
                    orphaned = orphaned or now + _ORPHAN_GRACE
            if now >= deadline:
                let_go(channel)
                raise CommandTimeout(self.host, f"`{self.display}` had not ended after {timeout:.0f} s", timeout)
            if not got:
                self._wake.wait(min(_POLL if fed else 0.02, deadline - now))

    def _feed(self, stdin: memoryview) -> memoryview:
        while stdin and self.channel.send_ready():
            try:
                sent = self.channel.send(stdin[: 1 << 15].tobytes())
            except OSError:  # it ended without reading everything; its status says whether that is bad
                return stdin[len(stdin) :]
            stdin = stdin[sent:]
            if self.channel.recv_ready() or self.channel.recv_stderr_ready():
                break
        return stdin

    def _drain(self, out: bytearray, err: bytearray) -> bool:
        got = False
        if self.channel.recv_ready():
            out += self.out.take(self.channel.recv(_CHUNK))
            got = True
        if self.channel.recv_stderr_ready():
            err += self.err.take(self.channel.recv_stderr(_CHUNK))
            got = True
        return got

    def status(self, grace: float = _STATUS_GRACE) -> int:
        """The exit status; -1 when a signal ended it. Waits `grace` seconds at most.

        Raises:
            ConnectionLost: none came, and the connection is gone.
            CommandTimeout: none came, and the connection is still there.
        """
        channel = self.channel
        if not channel.status_event.wait(grace):
            let_go(channel)
            if not channel.get_transport().is_active():
                raise ConnectionLost(self.host, f"during `{self.display}`")
            raise CommandTimeout(self.host, f"`{self.display}` closed its output but did not end", grace)
        if channel.exit_status == -1 and not self._transport_lives():
            raise ConnectionLost(self.host, f"during `{self.display}`")
        return channel.exit_status

    def close(self) -> None:
        """Let go of the channel; the remote side gets a hangup."""
        let_go(self.channel)


def sudo_reason(said: str, *, sent: bool) -> str:
    """What sudo's refusal means, from what it printed in the C locale."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = redact.outside(lines[-1] if lines else "", 200)
    if "must have a tty" in said:
        return "requiretty is set in its sudoers: `Defaults:threatstop !requiretty` (visudo) lets sudo work over SSH"
    if "not allowed to execute" in said or "not in the sudoers" in said or "may not run sudo" in said:
        return f"this user may not use sudo: {last}"
    if sent:
        return "the sudo password was not accepted"
    if "password is required" in said or not last:
        return "sudo wants a password, and none is known"
    return last
