"""Run one command on one channel: start it (as root if needed), write its input, read both outputs, get its status."""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import paramiko
from paramiko import SSHException

from tscm_migrate import errors
from tscm_migrate.model import Secret
from tscm_migrate.ssh import quoting
from tscm_migrate.ssh.exceptions import let_go, lives, not_run, translated
from tscm_migrate.ssh.quoting import Frame
from tscm_migrate.util import redact

Explain = Callable[[errors.MigrateError], errors.MigrateError]
_CHUNK = 1 << 18
_STATUS_GRACE = 5.0  # seconds: the exit status may come after the end of the output
_ORPHAN_GRACE = 2.0  # seconds: a background child may keep the output open after the command's end
_POLL = 0.25
_BY_SIGNAL = 128  # shells report a command that a signal ended with a status from here on


class Wake(threading.Event):
    """An event shared by two buffers: emptying one buffer must not clear the event while the other has data."""

    def clear(self) -> None:
        """Do nothing: the buffers call this; only the reader calls `reset`."""

    def reset(self) -> None:
        """Clear the event, before both buffers are checked."""
        super().clear()


@dataclass(frozen=True)
class CommandResult:
    """The result of a command; text is UTF-8 with replacement characters.

    `status` is over 128 if a signal ended the script, -1 if a signal ended the login shell. Of a streamed command,
    `stdout` (of a writer) and `stderr` are the last 64 KiB.
    """

    display: str
    status: int
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)
    seconds: float

    @property
    def error_output(self) -> str:
        """Return the end of its standard error, cleaned for use in a message."""
        return redact.outside(self.stderr[-4096:])[-200:]


@dataclass(frozen=True)
class Root:
    """How to become root; without `password`, sudo needs none."""

    password: Secret | None


def _as_it_is(error: errors.MigrateError) -> errors.MigrateError:
    return error


class Execution:
    """A running remote command; all waits are bounded.

    Args:
        channel: an open session, on which nothing runs yet.
        host: the inventory name.
        display: what errors call the command.
        explain: adds details to the error for a login that does not run commands.

    Attributes:
        channel: the open channel.
        early: standard error before the script started (sudo's lecture).
        out, err: find the script's own output in each stream.
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
        self._orphaned: float | None = None  # when to stop reading what a child of the ended command keeps open
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
        """Start `script`; with a sudo password, return when root's shell has started.

        Args:
            script: sh source.
            root: how to become root; None to run as the login user.
            seconds: the remote timeout; never with a terminal (`timeout` would detach the program from it).
            terminal: whether to run on a pty; `early` is then the beginning of its output.
            patience: seconds that sudo may take.

        Raises:
            SudoFailed: sudo did not start the script.
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
        """Request a pty: wide, so that no line is wrapped; "dumb", so that programs do not use escape sequences.

        Raises:
            NoTerminal: the server refuses.
        """
        try:
            self.channel.get_pty("dumb", width=500, height=100)
        except SSHException as error:
            if not lives(self.channel):
                raise
            raise errors.NoTerminal(self.host) from error

    def _become_root(
        self, marks: quoting.SudoMarks, password: Secret | None, patience: float, *, terminal: bool
    ) -> None:
        prompt, started = marks.prompt.encode(), marks.started.word.encode()
        deadline = time.monotonic() + patience
        printed, sent = b"", False
        while started not in printed:
            more = self._more(deadline, terminal=terminal)
            printed += more
            if not more or len(printed) > _CHUNK:
                self.fail_sudo(printed, sent=sent)
            if password is not None and not sent and prompt in printed:
                printed = printed.replace(prompt, b"", 1)
                self.send(password.reveal().encode() + b"\n")
                sent = True
            if sent and prompt in printed:  # asked again: the password was wrong
                self.fail_sudo(printed.replace(prompt, b""), sent=True)
        before, _, after = printed.partition(started)
        self.early = after if terminal else before.replace(prompt, b"") + after
        self.marks = None

    def terminal_name(self, mark: quoting.Mark, patience: float = 30.0) -> str:
        """Return the terminal's device, printed by a script that begins with `quoting.naming(mark)`.

        Output of the login before the mark is discarded.

        Returns:
            "/dev/…"; "" if the device is not known.

        Raises:
            CommandNotRun: the script did not begin.
            ConnectionLost: the connection was lost before.
        """
        printed, deadline = self.early, time.monotonic() + patience
        pattern = re.compile(re.escape(mark.word.encode()) + rb"(/dev/[\w/]+)?[^\n]*\n")
        with translated(self.host):
            while not (found := pattern.search(printed)):
                more = self._more(deadline, terminal=True)
                printed += more
                if not more or len(printed) > _CHUNK:
                    raise self.no_begin(printed)
        self.early = printed[found.end() :]
        return (found[1] or b"").decode()

    def _more(self, deadline: float, *, terminal: bool) -> bytes:
        """Return the next bytes of the stream that sudo writes to; b"" at its end or on timeout."""
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

    def fail_sudo(self, printed: bytes, *, sent: bool, status: int | None = None) -> None:
        """Raise the reason why sudo did not start the script.

        Raises:
            ConnectionLost: sudo did not refuse; the connection was lost.
            SudoFailed: always otherwise.
        """
        let_go(self.channel)
        if not lives(self.channel):
            raise errors.ConnectionLost(self.host, "while sudo was starting")
        if status == 0:
            raise errors.SudoFailed(self.host, "sudo ended with exit status 0 and did not run the command")
        raise errors.SudoFailed(self.host, sudo_reason(printed.decode(errors="replace"), sent=sent))

    def send(self, data: bytes) -> None:
        """Send a small amount of standard input."""
        with translated(self.host):
            self.channel.sendall(data)

    # ------------------------------------------------------------------ to the end

    def communicate(self, stdin: bytes, *, timeout: float, limit: int) -> tuple[int, bytes, bytes]:
        """Feed `stdin`, collect both streams, and wait for the end.

        Args:
            stdin: all of it; the end of input follows.
            timeout: seconds by the wall clock.
            limit: bytes of both streams together.

        Returns:
            Exit status, stdout, stderr.

        Raises:
            CommandTimeout: not ended in time. TooMuchOutput: more than `limit`. ConnectionLost: no exit status came.
            SudoFailed: sudo did not start it.
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
        """Return the script's own exit status, which it prints after its output.

        Args:
            status: the server's exit status; a login shell can replace the script's by its own.
            out: standard output, for the error.
            err: standard error, for the error.

        Raises:
            CommandNotRun: the output does not begin with our mark.
            OutputCut: it does not end with our mark, and no signal ended the script.
        """
        if self.out.status is not None or self._unframed:
            return status if self.out.status is None else self.out.status
        if not self.out.begun:
            raise self.no_begin(out + self.out.rest() + b"\n" + err, status)
        if 0 <= status < _BY_SIGNAL:
            raise errors.OutputCut(self.host, f"`{self.display}`, exit status {status}")
        return status

    def no_begin(self, printed: bytes, status: int | None = None) -> errors.MigrateError:
        """Return the error for a script that did not begin; close the channel."""
        let_go(self.channel)
        if not lives(self.channel):
            return errors.ConnectionLost(self.host, f"before `{self.display}` began")
        return self._explain(not_run(self.host, self.display, printed, status))

    def without_mark(self, err: bytes, status: int) -> bytes:
        """Return standard error without the mark that the script prints when sudo has started it.

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
        fed = False
        while True:
            self._wake.reset()
            # before our script runs, a login shell might execute its input as commands
            if not fed and (self.out.begun or not stdin):
                stdin = self._feed(stdin)
                if fed := not stdin:
                    channel.shutdown_write()
            over = channel.closed or channel.eof_received  # read first: data from before the end is drained below
            got = self._drain(out, err)
            self._check_size(len(out) + len(err), limit)
            now = time.monotonic()
            if not got and self._ended(now, over=bool(over)):
                return
            if now >= deadline:
                raise self._late(timeout)
            if not got:
                self._wake.wait(min(_POLL if fed else 0.02, deadline - now))

    def _check_size(self, size: int, limit: int) -> None:
        if size > limit:
            let_go(self.channel)
            raise errors.TooMuchOutput(self.host, f"`{self.display}` printed more than {limit} bytes")

    def _ended(self, now: float, *, over: bool) -> bool:
        """Return whether both streams have ended, or the command has, and only a child keeps them open."""
        if self._orphaned is None and self.channel.exit_status_ready():
            self._orphaned = now + _ORPHAN_GRACE
        return over or (self.out.ended and self.err.ended) or (self._orphaned is not None and now > self._orphaned)

    def _late(self, timeout: float) -> errors.MigrateError:
        let_go(self.channel)
        if not self.out.begun and self.marks is None:
            return self.no_begin(self.out.rest())
        return errors.CommandTimeout(self.host, f"`{self.display}` had not ended after {timeout:.0f} s", timeout)

    def _feed(self, stdin: memoryview) -> memoryview:
        while stdin and self.channel.send_ready():
            try:
                sent = self.channel.send(stdin[: 1 << 15].tobytes())
            except OSError:  # it ended without reading all input; its status shows whether that is an error
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
        """Wait up to `grace` seconds for the exit status; -1 if a signal ended the command.

        The status printed at the end of the output is used, if the output is complete.

        Raises:
            ConnectionLost: no status came, and the connection is lost.
            CommandTimeout: no status came, and the connection is up.
        """
        channel = self.channel
        came = channel.status_event.wait(grace)
        if self.out.status is not None:
            return self.out.status
        if not came:
            let_go(channel)
            if not channel.get_transport().is_active():
                raise errors.ConnectionLost(self.host, f"during `{self.display}`")
            raise errors.CommandTimeout(self.host, f"`{self.display}` closed its output but did not end", grace)
        if channel.exit_status == -1 and not lives(self.channel):
            raise errors.ConnectionLost(self.host, f"during `{self.display}`")
        return channel.exit_status

    def close(self) -> None:
        """Close the channel; the remote process gets a hangup."""
        let_go(self.channel)


def sudo_reason(printed: str, *, sent: bool) -> str:
    """Return what sudo's refusal means, from its output in the C locale."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    last = redact.outside(lines[-1] if lines else "", 200)
    if "must have a tty" in printed:
        return "requiretty is set in its sudoers: `Defaults:threatstop !requiretty` (visudo) lets sudo work over SSH"
    if "not allowed to execute" in printed or "not in the sudoers" in printed or "may not run sudo" in printed:
        return f"this user may not use sudo: {last}"
    if sent:
        return "the sudo password was not accepted"
    if "password is required" in printed or not last:
        return "sudo wants a password, and none is known"
    return last
