"""Run the tool with injected faults: `python -m tests.harness.faulty_tool PLAN TASK …`.

PLAN is a JSON list of faults (see `FAULTS`). A fault happens `when` "before" or "after" an event of the journal is
written to the disk, or after a number of bytes over ssh. The event is given by its number `n`, counted from 0 in this
process, or by a `text` that its line contains.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

FAULTS = {
    "kill": "n, when: SIGKILL to itself",
    "signal": "n, when, signal, times: a signal to itself",
    "pause": "n, when, folder: make FOLDER/paused and wait for FOLDER/go",
    "full": "n, count: the disk of the state folder is full for `count` events",
    "clock": "n, when, jump: the wall clock jumps by `jump` seconds",
    "reset": "bytes, port: a connection is reset after this number of bytes (over all connections)",
    "kill-at": "bytes: SIGKILL to itself after this number of bytes",
    "silence": "bytes: after this number of bytes a connection loses what is sent, and nothing arrives",
}
_LONGEST_PAUSE = 120.0  # seconds
_REAL_TIME = time.time


class Hooks:
    """Cause the faults that are planned for events of the journal."""

    def __init__(self, plan: list[dict[str, Any]]) -> None:
        self.plan = [fault for fault in plan if "n" in fault or "text" in fault]
        self.n = 0

    def install(self) -> None:
        """Wrap `journal._append`, which writes each event."""
        from tscm_migrate.migration import journal

        write = journal._append

        def wrapped(path: Path, line: bytes) -> None:
            n, self.n = self.n, self.n + 1
            for fault in self.plan:
                if fault["kind"] == "full" and "n" in fault and fault["n"] <= n < fault["n"] + fault.get("count", 1):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._at(n, line, "before")
            write(path, line)
            self._at(n, line, "after")

        journal._append = wrapped

    def _at(self, n: int, line: bytes, when: str) -> None:
        for fault in self.plan:
            here = fault["n"] == n if "n" in fault else fault["text"].encode() in line
            if here and fault.get("when", "before") == when:
                getattr(self, f"_{fault['kind']}", _nothing)(fault)

    @staticmethod
    def _kill(_fault: dict[str, Any]) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    @staticmethod
    def _signal(fault: dict[str, Any]) -> None:
        for _ in range(fault.get("times", 1)):
            os.kill(os.getpid(), getattr(signal, fault.get("signal", "SIGINT")))
            time.sleep(0.05)  # two signals at once would be delivered as one

    @staticmethod
    def _pause(fault: dict[str, Any]) -> None:
        folder = Path(fault["folder"])
        (folder / "paused").touch()
        deadline = time.monotonic() + _LONGEST_PAUSE
        while not (folder / "go").exists() and time.monotonic() < deadline:
            time.sleep(0.02)

    @staticmethod
    def _clock(fault: dict[str, Any]) -> None:
        time.time = lambda: _REAL_TIME() + float(fault["jump"])


def _nothing(_fault: dict[str, Any]) -> None:
    """Do nothing: `install` handles "full"."""


class ByteCounter:
    """Count the bytes of all connections, and cause each planned fault once on the connection that reaches its number."""

    def __init__(self, plan: list[dict[str, Any]]) -> None:
        self.left = [dict(fault) for fault in plan if "bytes" in fault]
        self.total = 0
        self.lock = threading.Lock()

    def install(self) -> None:
        """Wrap the sockets that paramiko gets."""
        import paramiko

        init = paramiko.Transport.__init__
        counter = self

        def wrapped(transport: Any, sock: Any, *args: Any, **kwargs: Any) -> None:
            faulty: Any = FaultySocket(sock, counter)
            init(transport, faulty, *args, **kwargs)

        paramiko.Transport.__init__ = wrapped  # type: ignore[assignment, method-assign]

    def passed(self, count: int) -> str:
        """Count bytes, and return the kind of fault that is due now, or ""."""
        with self.lock:
            self.total += count
            for fault in self.left:
                if self.total >= fault["bytes"]:
                    self.left.remove(fault)
                    return str(fault["kind"])
            return ""


class FaultySocket:
    """A socket on which a ByteCounter causes faults."""

    def __init__(self, sock: Any, counter: ByteCounter) -> None:
        self._sock, self._counter = sock, counter
        self._silent = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def _count_and_break(self, count: int) -> None:
        kind = self._counter.passed(count)
        self._silent = self._silent or kind == "silence"
        if kind == "kill-at":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "reset":
            self._sock.close()
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))

    def recv(self, size: int) -> bytes:
        """Receive, or time out if the connection is silent."""
        if self._silent:
            time.sleep(self._sock.gettimeout() or 0.1)
            raise TimeoutError
        data: bytes = self._sock.recv(size)
        self._count_and_break(len(data))
        return data

    def recv_into(self, room: memoryview) -> int:
        """Receive into a buffer."""
        data = self.recv(len(room))
        room[: len(data)] = data
        return len(data)

    def send(self, data: bytes) -> int:
        """Send, or drop the data if the connection is silent."""
        if self._silent:
            return len(data)
        count: int = self._sock.send(data)
        self._count_and_break(count)
        return count


def main() -> None:
    """Install the faults, then run the tool."""
    plan = json.loads(sys.argv[1])
    unknown = {fault["kind"] for fault in plan} - set(FAULTS)
    if unknown:
        raise SystemExit(f"unknown faults: {sorted(unknown)}")
    Hooks(plan).install()
    ByteCounter(plan).install()
    from tscm_migrate.cli.main import main as tool

    tool(["tscm-migrate", *sys.argv[2:]])


if __name__ == "__main__":
    main()
