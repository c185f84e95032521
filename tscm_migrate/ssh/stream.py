"""Stream bytes to or from a remote command, as fast as scp, with constant memory."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

from tscm_migrate.errors import CommandFailed, CommandTimeout, ConnectionLost, MigrateError
from tscm_migrate.ssh.accelerated import send
from tscm_migrate.ssh.exceptions import let_go, translated
from tscm_migrate.ssh.execution import CommandResult, Execution
from tscm_migrate.ssh.quoting import Frame

# The packet size decides the throughput (435 instead of 108 MB/s). The window limits what a fast sender can buffer in
# our memory (three times: received, decrypted, returned) while the consumer is slower, and the throughput at a long
# round-trip time: 160 MB/s at 50 ms; scp's 2 MiB allow 40.
WINDOW = 8 << 20
PACKET = 1 << 20
_TAIL = 1 << 16
_END_GRACE = 5.0  # seconds: the exit status may come after the end of the output
_BEGIN = 60.0  # seconds within which a script that reads input has to begin


class _Tail:
    """The last bytes of a stream."""

    def __init__(self) -> None:
        self._data = bytearray()

    def add(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > _TAIL:
            del self._data[:-_TAIL]

    def __bytes__(self) -> bytes:
        return bytes(self._data)


class _CommandStream:
    """The common part of reader and writer: background reading, the end, the context manager."""

    def __init__(self, execution: Execution, *, idle: float, ended: Callable[[int, float], None]) -> None:
        self.execution = execution
        self.channel = execution.channel
        self.idle = idle
        self._ended = ended
        self._began = time.monotonic()
        self._out, self._err = _Tail(), _Tail()
        self._err.add(execution.early)
        self._result: CommandResult | None = None
        self._moved = threading.Event()  # set whenever a background thread has read something
        self.channel.settimeout(idle)
        self._threads = [self._drainer(self.channel.recv_stderr, self._err, execution.err)]

    def _drainer(self, receive: Callable[[int], bytes], tail: _Tail, frame: Frame) -> threading.Thread:
        def drain() -> None:
            while not frame.ended:
                try:
                    data = receive(1 << 16)
                except TimeoutError:
                    if self.channel.closed:
                        return
                    continue
                if not data:
                    tail.add(frame.rest())
                    break
                tail.add(frame.take(data))
                self._moved.set()
            self._moved.set()

        thread = threading.Thread(target=drain, name="ssh-drain", daemon=True)
        thread.start()
        return thread

    def finish(self, timeout: float = 30.0, *, check: bool = True) -> CommandResult:
        """Wait up to `timeout` seconds for the command's end.

        Raises:
            CommandFailed: with `check`, a status other than 0.
            CommandTimeout, ConnectionLost: no exit status came.
        """
        if self._result is None:
            execution = self.execution
            try:
                status = execution.status(timeout)
            except MigrateError:
                self._ended(-1, time.monotonic() - self._began)
                raise
            self._settle()
            for thread in self._threads:
                thread.join(2.0)  # a background child may keep the stream open
            let_go(self.channel)
            err = execution.without_mark(bytes(self._err), status)
            status = execution.judged(status, bytes(self._out), err)
            took = time.monotonic() - self._began
            self._result = CommandResult(
                execution.display, status, bytes(self._out).decode(errors="replace"), err.decode(errors="replace"), took
            )
            self._ended(status, took)
        if check and self._result.status != 0:
            raise self._failed(self._result)
        return self._result

    def _settle(self) -> None:
        """Discard output that was not read."""

    def _failed(self, result: CommandResult) -> CommandFailed:
        output = result.stderr or result.stdout
        return CommandFailed(self.execution.host, "", result.display, result.status, output)

    def close(self) -> None:
        """Close the channel; a command that still runs gets a hangup or a broken pipe."""
        let_go(self.channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class StreamReader(_CommandStream):
    """The standard output of a remote command."""

    def __init__(self, execution: Execution, *, idle: float, ended: Callable[[int, float], None]) -> None:
        super().__init__(execution, idle=idle, ended=ended)
        self.channel.shutdown_write()

    def read(self, size: int = PACKET) -> bytes:
        """Return up to `size` bytes; b"" at the end of the stream (then `finish` returns the result).

        Raises:
            CommandTimeout: no data came for `idle` seconds.
            ConnectionLost: the connection was lost; a stream that is cut off never returns b"".
        """
        try:
            with translated(self.execution.host):
                data = self._receive(size)
        except ConnectionLost as error:
            if isinstance(error.__cause__, TimeoutError) and not self.execution.out.begun:
                raise self.execution.no_begin(self.execution.out.rest()) from error
            if isinstance(error.__cause__, TimeoutError):
                raise _silent(self, "sent nothing") from error
            raise
        if not data:
            self._check_end()
        return data

    def _check_end(self) -> None:
        """Check that the stream has ended and was not cut off.

        Raises:
            ConnectionLost, SudoFailed, CommandNotRun, OutputCut: it was cut off; see these errors.
        """
        execution, channel = self.execution, self.channel
        if execution.out.ended:
            return
        # A status counts as an EOF: some servers close the channel without sending an EOF.
        if not channel.eof_received and channel.exit_status == -1:
            raise ConnectionLost(execution.host, f"during `{execution.display}`")
        self.finish(_END_GRACE, check=False)

    def _settle(self) -> None:
        frame, deadline = self.execution.out, time.monotonic() + _END_GRACE
        self.channel.settimeout(_END_GRACE)
        with contextlib.suppress(OSError):
            while not frame.ended and time.monotonic() < deadline and (data := self.channel.recv(PACKET)):
                frame.take(data)

    def _receive(self, size: int) -> bytes:
        frame = self.execution.out
        while not frame.ended and (data := self.channel.recv(size)):
            if own := frame.take(data):
                return own
        return frame.rest() if frame.begun else b""

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read():
            yield chunk


class StreamWriter(_CommandStream):
    """The standard input of a remote command; the end of its output is kept, and never blocks the command."""

    def __init__(self, execution: Execution, *, idle: float, ended: Callable[[int, float], None]) -> None:
        super().__init__(execution, idle=idle, ended=ended)
        self._printing = self._drainer(self.channel.recv, self._out, execution.out)
        self._threads.append(self._printing)

    def _await_begin(self) -> None:
        """Wait until the script runs: a login shell might execute the bytes as commands.

        Raises:
            CommandNotRun, SudoFailed, ConnectionLost: it does not run.
        """
        frame, deadline = self.execution.out, time.monotonic() + min(self.idle, _BEGIN)
        while not frame.begun:
            if not self._printing.is_alive():
                super().finish(_END_GRACE, check=False)
            if time.monotonic() > deadline:
                raise self.execution.no_begin(frame.rest())
            self._moved.wait(0.25)
            self._moved.clear()

    def write(self, data: bytes | memoryview) -> int:
        """Send all of `data`.

        Raises:
            CommandFailed: the command ended before it had read everything.
            CommandTimeout: it accepted no data for `idle` seconds.
            ConnectionLost: the connection was lost.
            CommandNotRun: the login did not run the command.
        """
        self._await_begin()
        try:
            return send(self.channel, data)
        except TimeoutError as error:
            raise _silent(self, "took nothing") from error
        except (OSError, EOFError) as error:
            result = super().finish(10.0, check=False)  # raises ConnectionLost if that is the reason
            raise self._failed(result) from error

    def finish(self, timeout: float = 600.0, *, check: bool = True) -> CommandResult:
        """End the input and wait for the command's end, as above; a slow disk may need minutes."""
        if self._result is None:
            with translated(self.execution.host):
                self.channel.shutdown_write()
        return super().finish(timeout, check=check)


def _silent(stream: _CommandStream, what: str) -> CommandTimeout:
    stream.close()
    detail = f"`{stream.execution.display}` {what} for {stream.idle:.0f} s"
    return CommandTimeout(stream.execution.host, detail, stream.idle)
