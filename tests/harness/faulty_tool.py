"""The tool with faults wrapped around it, for tests: `python -m tests.harness.faulty_tool PLAN TASK …`.

PLAN is a JSON list of faults (see `FAULTS`); the tool itself knows nothing of them. Points in time are events of the
journal, "before" or "after" they are on the disk: by number, counted from 0 in this process, or by a text that is in the
event's line (`text` instead of `n`); or bytes that went over ssh.
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
    "full": "n, count: the state folder's disk is full for so many events",
    "clock": "n, when, jump: the wall clock jumps by so many seconds",
    "reset": "bytes, port: the connection is reset once so many bytes have passed (all connections together)",
    "kill-at": "bytes: SIGKILL to itself once so many bytes have passed",
    "silence": "bytes: from then on nothing arrives on that connection, and what is sent vanishes",
}
_PATIENCE = 120.0  # seconds that a pause lasts at most
_REAL_TIME = time.time


class Hooks:
    """What happens around each event of the journal."""

    def __init__(self, plan: list[dict[str, Any]]) -> None:
        self.plan = [fault for fault in plan if "n" in fault or "text" in fault]
        self.n = 0

    def install(self) -> None:
        """Wrap `journal._append`, through which each event goes."""
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
            time.sleep(0.05)  # two at once would be heard as one

    @staticmethod
    def _pause(fault: dict[str, Any]) -> None:
        folder = Path(fault["folder"])
        (folder / "paused").touch()
        deadline = time.monotonic() + _PATIENCE
        while not (folder / "go").exists() and time.monotonic() < deadline:
            time.sleep(0.02)

    @staticmethod
    def _clock(fault: dict[str, Any]) -> None:
        time.time = lambda: _REAL_TIME() + float(fault["jump"])


def _nothing(_fault: dict[str, Any]) -> None:
    """`full` is done elsewhere."""


class Wire:
    """Counts what passes over all connections, and breaks the one on which a limit is reached; each fault once."""

    def __init__(self, plan: list[dict[str, Any]]) -> None:
        self.left = [dict(fault) for fault in plan if "bytes" in fault]
        self.seen = 0
        self.lock = threading.Lock()

    def install(self) -> None:
        """Wrap the sockets that paramiko is given."""
        import paramiko

        init = paramiko.Transport.__init__
        wire = self

        def wrapped(transport: Any, sock: Any, *args: Any, **kwargs: Any) -> None:
            faulty: Any = Faulty(sock, wire)
            init(transport, faulty, *args, **kwargs)

        paramiko.Transport.__init__ = wrapped  # type: ignore[assignment, method-assign]

    def passed(self, count: int) -> str:
        """Take note of some bytes; the kind of fault that is due now, or ""."""
        with self.lock:
            self.seen += count
            for fault in self.left:
                if self.seen >= fault["bytes"]:
                    self.left.remove(fault)
                    return str(fault["kind"])
            return ""


class Faulty:
    """A socket that obeys a Wire."""

    def __init__(self, sock: Any, wire: Wire) -> None:
        self._sock, self._wire = sock, wire
        self._silent = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def _strike(self, count: int) -> None:
        kind = self._wire.passed(count)
        self._silent = self._silent or kind == "silence"
        if kind == "kill-at":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "reset":
            self._sock.close()
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))

    def recv(self, size: int) -> bytes:
        """Receive, unless nothing comes any more."""
        if self._silent:
            time.sleep(self._sock.gettimeout() or 0.1)
            raise TimeoutError
        data: bytes = self._sock.recv(size)
        self._strike(len(data))
        return data

    def recv_into(self, room: memoryview) -> int:
        """Receive to where it is wanted."""
        data = self.recv(len(room))
        room[: len(data)] = data
        return len(data)

    def send(self, data: bytes) -> int:
        """Send, or let it vanish."""
        if self._silent:
            return len(data)
        count: int = self._sock.send(data)
        self._strike(count)
        return count


def main() -> None:
    """Install the faults, then be the tool."""
    plan = json.loads(sys.argv[1])
    unknown = {fault["kind"] for fault in plan} - set(FAULTS)
    if unknown:
        raise SystemExit(f"unknown faults: {sorted(unknown)}")
    Hooks(plan).install()
    Wire(plan).install()
    from tscm_migrate.cli.main import main as tool

    tool(["tscm-migrate", *sys.argv[2:]])


if __name__ == "__main__":
    main()
