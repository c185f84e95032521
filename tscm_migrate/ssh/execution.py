"""One command on one channel: start it (as root where asked), feed it, drain both streams, know how it ended."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import paramiko
from paramiko import SSHException

from tscm_migrate.errors import CommandTimeout, ConnectionLost, NoTerminal, OutputCut, OutputFlood, SudoFailed
from tscm_migrate.ssh import quoting
from tscm_migrate.ssh.exceptions import let_go, lives, not_run, translated
from tscm_migrate.ssh.quoting import Frame
from tscm_migrate.util import redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from tscm_migrate.errors import MigrateError
    from tscm_migrate.model import Secret

    Explain = Callable[[MigrateError], MigrateError]

_CHUNK = 1 << 18
_STATUS_GRACE = 5.0  # seconds: the exit status may come after the end of the output
_ORPHAN_GRACE = 2.0  # seconds: a background child may hold the output open after the command's end
_POLL = 0.25
_BY_SIGNAL = 128  # and above: how shells report a command that a signal ended


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


def _as_it_is(error: MigrateError) -> MigrateError:
    return error


class Execution:
    """A started command. Everything that waits here has an end.

    Args:
        channel: an open session, on which nothing runs yet.
        host: the inventory name.
        display: what errors call the command.
        explain: adds to the error for a login that does not run commands what is known of it.

    Attributes:
        channel: the open channel.
        early: standard error that came before the script could start (sudo's lecture).
        out, err: where the script's own output begins and ends on either stream.
    """

    def __init__(
        self,
        channel: paramiko.Channel,
        host: str,
        display: str,
        explain: Explain = _as_it_is,
    ) -> None:
        self.channel = channel
        self._explain = explain
        self._unframed = True
        self.host = host
        self.display = display
        self.early = b""
        self.marks: quoting.SudoMarks | None = None
        self.out = Frame()
        self.err = Frame()
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
        marks = None if terminal else quoting.Marks()
        with translated(self.host):
            if terminal:
                self.get_terminal()
            if root is None:
                line = quoting.plain(script, seconds=seconds, marks=marks)
            else:
                self.marks = quoting.SudoMarks()
                line = quoting.with_sudo(
                    script, self.marks, password=root.password is not None, terminal=terminal, seconds=seconds,
                    marks=marks,
                )  # fmt: skip
            self._unframed = marks is None
            if marks is not None:
                end = marks.end.word
                self.out, self.err = Frame(marks.begin.word, end), Frame("" if root else marks.begin.word, end)
            self.channel.exec_command(line)
        if root is not None and self.marks is not None and (terminal or root.password is not None):
            self._become_root(self.marks, root.password, patience, terminal=terminal)

    def get_terminal(self) -> None:
        """Ask for a pty; wide: nothing is wrapped; dumb: nothing is painted.

        Raises:
            NoTerminal: the server refuses.
        """
        try:
            self.channel.get_pty("dumb", width=500, height=100)
        except SSHException as error:
            if not lives(self.channel):
                raise
            raise NoTerminal(self.host) from error

    def _become_root(
        self, marks: quoting.SudoMarks, password: Secret | None, patience: float, *, terminal: bool
    ) -> None:
        prompt, started = marks.prompt.encode(), marks.started.word.encode()
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

    def terminal_name(self, mark: quoting.Mark, patience: float = 30.0) -> str:
        """The terminal's device, told by a script that begins with `quoting.naming(mark)`.

        What a login prints before is no part of the dialogue and goes.

        Returns:
            "" where it has no name.

        Raises:
            NotRun: the script did not begin.
            ConnectionLost: the connection went away before.
        """
        said, deadline = self.early, time.monotonic() + patience
        pattern = re.compile(re.escape(mark.word.encode()) + rb"(/dev/[\w/]+)?[^\n]*\n")
        with translated(self.host):
            while not (found := pattern.search(said)):
                more = self._more(deadline, terminal=True)
                said += more
                if not more or len(said) > _CHUNK:
                    raise self.no_begin(said)
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

    def fail_sudo(self, said: bytes, *, sent: bool, status: int | None = None) -> None:
        """Say why sudo did not let the script start.

        Raises:
            ConnectionLost: it was no refusal, the connection is gone.
            SudoFailed: always otherwise.
        """
        let_go(self.channel)
        if not lives(self.channel):
            raise ConnectionLost(self.host, "while sudo was starting")
        if status == 0:
            raise SudoFailed(self.host, "sudo ended with exit status 0 and did not run the command")
        raise SudoFailed(self.host, sudo_reason(said.decode(errors="replace"), sent=sent))

    def send(self, data: bytes) -> None:
        """Send a little standard input."""
        with translated(self.host):
            self.channel.sendall(data)

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
        shown = self.without_mark(bytes(err), status)
        return self.judged(status, bytes(out), shown), bytes(out), shown

    def judged(self, status: int, out: bytes = b"", err: bytes = b"") -> int:
        """The script's own exit status, which stands behind its output.

        Args:
            status: what the server gave; a login can put its own in place of the script's.
            out: what was printed, for the error.
            err: the same of standard error.

        Raises:
            NotRun: the output does not begin with our mark.
            OutputCut: it does not end with our mark, and no signal ended the script.
        """
        if self.out.status is not None or self._unframed:
            return status if self.out.status is None else self.out.status
        if not self.out.begun:
            raise self.no_begin(out + self.out.rest() + b"\n" + err, status)
        if 0 <= status < _BY_SIGNAL:
            raise OutputCut(self.host, f"`{self.display}`, exit status {status}")
        return status

    def no_begin(self, said: bytes, status: int | None = None) -> MigrateError:
        """The error for a script that did not begin; the channel is closed."""
        let_go(self.channel)
        if not lives(self.channel):
            return ConnectionLost(self.host, f"before `{self.display}` began")
        return self._explain(not_run(self.host, self.display, said, status))

    def without_mark(self, err: bytes, status: int) -> bytes:
        """Standard error without the mark that sudo's script leaves.

        Raises:
            SudoFailed: the mark is missing: sudo refused, or ended without running the script.
        """
        if self.marks is None:
            return err
        if not self.out.begun:
            self.fail_sudo(err, sent=False, status=status)
        return err.replace(self.marks.started.word.encode(), b"", 1)

    def _pump(
        self, stdin: memoryview, out: bytearray, err: bytearray, *, deadline: float, limit: int, timeout: float
    ) -> None:
        channel = self.channel
        fed, orphaned = False, None
        while True:
            self._wake.reset()
            # what is not our script may take its input for commands
            if not fed and (self.out.begun or not stdin):
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
                if over or (self.out.ended and self.err.ended) or (orphaned and now > orphaned):
                    return
                if channel.exit_status_ready():
                    orphaned = orphaned or now + _ORPHAN_GRACE
            if now >= deadline:
                raise self._late(timeout)
            if not got:
                self._wake.wait(min(_POLL if fed else 0.02, deadline - now))

    def _late(self, timeout: float) -> MigrateError:
        let_go(self.channel)
        if not self.out.begun and self.marks is None:
            return self.no_begin(self.out.rest())
        return CommandTimeout(self.host, f"`{self.display}` had not ended after {timeout:.0f} s", timeout)

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
        """The exit status that the server gave; -1 when a signal ended it. Waits `grace` seconds at most.

        Where the output has come to its end mark, no more is needed than what stands there.

        Raises:
            ConnectionLost: none came, and the connection is gone.
            CommandTimeout: none came, and the connection is still there.
        """
        channel = self.channel
        told = channel.status_event.wait(grace)
        if self.out.status is not None:
            return self.out.status
        if not told:
            let_go(channel)
            if not channel.get_transport().is_active():
                raise ConnectionLost(self.host, f"during `{self.display}`")
            raise CommandTimeout(self.host, f"`{self.display}` closed its output but did not end", grace)
        if channel.exit_status == -1 and not lives(self.channel):
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
