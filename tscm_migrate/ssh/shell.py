"""SSH connection to one host: run commands (also with sudo), stream data, drive interactive programs."""

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from shlex import quote
from typing import Literal, Self

import paramiko

from tscm_migrate import errors
from tscm_migrate.events import CommandRun, Emit, Prompted
from tscm_migrate.model import Host, Secret
from tscm_migrate.ssh import dialogue, known_hosts, quoting, sftp, stream
from tscm_migrate.ssh.accelerated import buffer_blocks, limit_buffers
from tscm_migrate.ssh.auth import Credentials
from tscm_migrate.ssh.dialogue import Decide, DialoguePace, Exchange, Transcript
from tscm_migrate.ssh.exceptions import let_go, login_of, startup_line, translated
from tscm_migrate.ssh.execution import CommandResult, Execution, Root, sudo_reason
from tscm_migrate.ssh.sessions import Sessions

_LOCAL_GRACE = 8.0  # seconds added to the remote timeout before this side gives up
_TIMED_OUT = (124, 137)  # exit status of `timeout`: ended by TERM, by KILL
_NO_LIMIT = 8 << 20
_SFTP_SILENCE = 120.0  # seconds: a disk may be slow
_SURE = (1 << 18) - 4096  # bytes of a packet that every server accepts
_LARGE_SINCE = (7, 0)  # OpenSSH versions that accept packets of any size
_LOOK = 5.0  # seconds for each answer while looking for the cause of an error


@dataclass(frozen=True)
class Timeouts:
    """Timeouts in seconds; `dead` is how long the peer may not answer before the connection is closed."""

    connect: float = 15.0
    banner: float = 15.0
    auth: float = 30.0
    channel: float = 20.0
    dead: float = 30.0


DEFAULT_TIMEOUTS = Timeouts()


class Shell:
    """One connection with any number of channels; safe to use from several threads."""

    def __init__(
        self,
        host: Host,
        transport: paramiko.Transport,
        *,
        credentials: Credentials,
        emit: Emit,
        timeouts: Timeouts,
        on_close: Callable[[], None],
        again: "Callable[[], Shell] | None" = None,
    ) -> None:
        self.host = host
        self._transport = transport
        self._credentials = credentials
        self._emit = emit
        self._timeouts = timeouts
        self._on_close = on_close
        self._sessions = Sessions(host.name, transport, timeouts.channel, again)
        self._sudo_lock = threading.Lock()
        self._root: Root | None = None
        self._startup_line: str | None = None

    # ------------------------------------------------------------------ the connection

    @property
    def alive(self) -> bool:
        """Return whether the connection is up, as far as known without asking the server."""
        return self._transport.is_active()

    def server_fingerprint(self) -> str:
        """Return `SHA256:…` of the host key of this connection."""
        return known_hosts.fingerprint(self._transport.get_remote_server_key())

    def close(self) -> None:
        """Close the connection and those to its gateways; safe to call twice."""
        self._sessions.close()
        self._on_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def session(self, window: int | None = None, packet: int | None = None) -> paramiko.Channel:
        """Open a session; if the server's limit is reached, wait until another session ends.

        Raises:
            SessionsRefused: the server refuses sessions.
        """
        channel = self._sessions.open(window, self._packet(packet))
        channel.settimeout(self._timeouts.channel)
        if window is not None:
            buffer_blocks(channel)
        limit_buffers(channel)
        return channel

    def sessions(self, most: int) -> int:
        """Return how many sessions the server allows at a time, up to `most`."""
        return self._sessions.limit(most)

    def _packet(self, wanted: int | None) -> int | None:
        """Return the packet size to announce: OpenSSH before 6.7 fails with 1 MiB; other servers are not known."""
        version = getattr(self._transport, "version", lambda: None)()
        return wanted if wanted is None or (version is not None and version >= _LARGE_SINCE) else min(wanted, _SURE)

    def sftp(self, silence: float = _SFTP_SILENCE) -> paramiko.SFTPClient:
        """Open an SFTP session with a timeout of `silence` seconds for an answer; use it in one thread at a time.

        Raises:
            NoSftp: the server has no SFTP. LoginPrintsOutput: the answer is not SFTP.
        """
        channel = self.session(stream.WINDOW, stream.PACKET)
        channel.settimeout(min(silence, self._timeouts.channel))
        try:
            with translated(self.host.name):
                client = sftp.client(channel, self.host.name)
        except BaseException:
            let_go(channel)
            raise
        channel.settimeout(silence)
        return client

    def _explained(self, error: errors.MigrateError) -> errors.MigrateError:
        """Add the login, and the line of a startup file that prevents commands from running (searched once)."""
        if isinstance(error, errors.CommandNotRun | errors.PasswordExpired):
            error.login = login_of(self.host)
        if isinstance(error, errors.CommandNotRun):
            if self._startup_line is None:
                self._startup_line = ""  # an error in the search must not start another search
                self._startup_line = startup_line(lambda: self.sftp(_LOOK))
            error.startup = self._startup_line
        return error

    def server_key(self) -> str:
        """Return `type base64` of the host key of this connection."""
        key = self._transport.get_remote_server_key()
        return f"{key.get_name()} {key.get_base64()}"

    def forwarded(self, accept: Callable[[paramiko.Channel], None]) -> int:
        """Make the host listen on a port of its loopback until the connection ends; return the port.

        `accept` is called with the channel of each incoming connection.
        """
        with translated(self.host.name):
            return self._transport.request_port_forward(
                "127.0.0.1", 0, lambda channel, _origin, _server: accept(channel)
            )

    def unforward(self, port: int) -> None:
        """Stop a forwarding that `forwarded` started."""
        with translated(self.host.name):
            self._transport.cancel_port_forward("127.0.0.1", port)

    def open_tunnel(self, host: str, port: int) -> paramiko.Channel:
        """Open a TCP connection from this host to `host`:`port`; return a socket-like channel."""
        with translated(self.host.name):
            return self._transport.open_channel(
                "direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=self._timeouts.channel
            )

    # ------------------------------------------------------------------ commands

    def run(
        self,
        script: str,
        *,
        sudo: bool = False,
        stdin: bytes = b"",
        timeout: float = 60.0,
        check: bool = True,
        limit: int = _NO_LIMIT,
        display: str | None = None,
    ) -> CommandResult:
        """Run sh source on the host and wait for its end.

        Args:
            script: given to `sh` with LC_ALL=C, whatever the login shell is.
            sudo: whether to run it as root.
            stdin: its complete input.
            timeout: seconds; the host also ends the command, if it has a `timeout` command.
            check: whether a status other than 0 is an error.
            limit: bytes of stdout and stderr together.
            display: name for events and errors, without secrets; default: the first line of the script.

        Raises:
            CommandFailed: with `check`, a status other than 0.
            CommandTimeout, TooMuchOutput, ConnectionLost, SudoFailed: no result could be had.
            CommandNotRun: the login did not run it. OutputCut: its output is not complete.
        """
        display = display if display is not None else quoting.shown(script)
        root = self._as_root() if sudo else None
        began = time.monotonic()
        status = -1
        execution = Execution(self.session(), self.host.name, display, self._explained)
        try:
            execution.start(script, root=root, seconds=timeout)
            status, out, err = execution.communicate(stdin, timeout=timeout + _LOCAL_GRACE, limit=limit)
        finally:
            execution.close()
            self._emit(CommandRun(self.host.name, display, status, round(time.monotonic() - began, 3)))
        took = time.monotonic() - began
        if status in _TIMED_OUT and took >= timeout:
            raise errors.CommandTimeout(self.host.name, f"`{display}` had not ended after {timeout:.0f} s", timeout)
        result = CommandResult(display, status, out.decode(errors="replace"), err.decode(errors="replace"), took)
        if check and status != 0:
            raise errors.CommandFailed(self.host.name, "", display, status, result.stderr.strip() or result.stdout)
        return result

    def terminal_ready(self) -> None:
        """Check that the server provides a terminal, which dialogues need.

        Raises:
            NoTerminal: it refuses.
        """
        execution = Execution(self.session(), self.host.name, "a terminal")
        try:
            with translated(self.host.name):
                execution.get_terminal()
        finally:
            execution.close()

    # ------------------------------------------------------------------ sudo

    def sudo_ready(self) -> Literal["passwordless", "password"]:
        """Check once per connection that sudo works; resolve the password if sudo needs one.

        Raises:
            SudoFailed: sudo is missing or not allowed, or the password is missing or wrong.
        """
        return "passwordless" if self._as_root().password is None else "password"

    def sudo_secret(self) -> Secret | None:
        """Return the sudo password, for a program that calls sudo itself; None if sudo needs no password."""
        return self._as_root().password

    def _as_root(self) -> Root:
        with self._sudo_lock:
            if self._root is None:
                self._root = self._find_root()
            return self._root

    def _find_root(self) -> Root:
        # -k: ignore cached credentials, which would expire during a run
        mark = quoting.Mark("root")
        script = f"LC_ALL=C sudo -k -n -- sh -c {quote(mark.printed())}"
        probe = self.run(script, check=False, timeout=20.0, display="sudo -n true")
        if probe.status == 0 and mark.word in probe.stdout:
            return Root(None)
        if probe.status == 0:
            raise errors.SudoFailed(self.host.name, "sudo ended with exit status 0 and did not run the command")
        if probe.status == 127:
            raise errors.SudoFailed(self.host.name, "there is no sudo on this host")
        password = self._credentials.sudo_password(self.host)
        if password is None:
            raise errors.SudoFailed(self.host.name, sudo_reason(probe.stderr, sent=False))
        root = Root(password)
        execution = Execution(self.session(), self.host.name, "sudo true")
        try:
            execution.start(":", root=root, seconds=20.0)
            execution.communicate(b"", timeout=20.0, limit=1 << 16)
        finally:
            execution.close()
        return root

    # ------------------------------------------------------------------ dialogue

    def converse(
        self,
        script: str,
        on_prompt: Decide,
        *,
        sudo: bool = False,
        pace: DialoguePace | None = None,
        on_exchange: Callable[[Exchange], None] | None = None,
        display: str | None = None,
    ) -> Transcript:
        """Run sh source on a terminal and answer its prompts.

        Args:
            script: given to `sh` with LC_ALL=C.
            on_prompt: decides the answer to a prompt.
            sudo: whether to run it as root; sudo's own prompt is answered here, and not passed to `on_prompt`.
            pace: the times of the dialogue.
            on_exchange: called for every answer sent.
            display: name for events and errors.

        Raises:
            DialogueSilent: the pace's `idle` or `total` timeout has passed.
            SudoFailed, TooMuchOutput: as for `run`. A lost connection does not raise: see `Transcript.lost`.
        """
        display = display if display is not None else quoting.shown(script)
        root = self._as_root() if sudo else None
        report = self._reporter(display)
        began, status = time.monotonic(), -1
        execution = Execution(self.session(), self.host.name, display, self._explained)

        def exchanged(exchange: Exchange) -> None:
            self._emit(Prompted(self.host.name, exchange.prompt, exchange.rule, exchange.shown))
            if on_exchange is not None:
                on_exchange(exchange)

        try:
            mark = quoting.Mark("tty")
            execution.start(quoting.naming(mark) + script, root=root, terminal=True)
            tty = execution.terminal_name(mark)
            talk = dialogue.Dialogue(
                execution.channel,
                self.host.name,
                on_prompt,
                pace=pace,
                on_exchange=exchanged,
                modes=lambda: self._modes(tty),
            )
            transcript = talk.run(execution.early)
            status = -1 if transcript.status is None else transcript.status
        finally:
            execution.close()
            report(status, time.monotonic() - began)
        return transcript

    def _modes(self, tty: str) -> Collection[str]:
        """Return the modes of a remote terminal, as stty names them; none if they cannot be read."""
        if not tty:
            return ()
        try:
            printed = self.run(f"stty -a -F {tty}", check=False, timeout=10.0, display="does it want a key or a line?")
        except errors.SshError:  # the dialogue itself reports a lost connection
            return ()
        return frozenset(printed.stdout.replace(";", " ").split())

    # ------------------------------------------------------------------ streams

    def reader(
        self,
        script: str,
        *,
        sudo: bool = False,
        idle: float = 60.0,
        display: str | None = None,
        window: int = stream.WINDOW,
    ) -> stream.StreamReader:
        """Start a command whose output is read as bytes; `idle` seconds without output are an error.

        `window`: bytes buffered here while the consumer is slower; use less for many streams at once.
        """
        execution = self._streamed(script, sudo=sudo, display=display, window=window)
        return stream.StreamReader(execution, idle=idle, ended=self._reporter(execution.display))

    def writer(
        self, script: str, *, sudo: bool = False, idle: float = 60.0, display: str | None = None
    ) -> stream.StreamWriter:
        """Start a command whose input is written as bytes; `idle` seconds without accepting any are an error."""
        execution = self._streamed(script, sudo=sudo, display=display, window=None)
        return stream.StreamWriter(execution, idle=idle, ended=self._reporter(execution.display))

    def _streamed(self, script: str, *, sudo: bool, display: str | None, window: int | None) -> Execution:
        display = display if display is not None else quoting.shown(script)
        root = self._as_root() if sudo else None
        channel = self.session(window, stream.PACKET if window else None)
        execution = Execution(channel, self.host.name, display, self._explained)
        try:
            execution.start(script, root=root)
        except BaseException:
            execution.close()
            raise
        return execution

    def _reporter(self, display: str) -> Callable[[int, float], None]:
        return lambda status, seconds: self._emit(CommandRun(self.host.name, display, status, round(seconds, 3)))
