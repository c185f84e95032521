"""The client of the machine room (machine.py): starts it, asks it, ends it."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

PYTHON = "/usr/bin/python3"  # not ours: ours may lie where an appliance's user cannot read
PROGRAMS = ("unshare", "nsenter", "ip", "mount", "umount", "ssh-keygen", "openssl", "sudo", "rsync", "gpg", "arping")
SERVERS = ("/usr/sbin/sshd", "/usr/sbin/cron", PYTHON)
PACKAGES = "openssh-server cron sudo rsync gpg iputils-arping iputils-ping iproute2 openssl python3"


class LabError(Exception):
    """The lab itself, not what is rehearsed in it, went wrong."""


def available() -> str | None:
    """Why namespace labs cannot be had here, with what to do about it; None where they can."""
    if not sys.platform.startswith("linux"):
        return "needs Linux"
    if os.geteuid() != 0:
        return "needs root (sudo -E …)"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    missing += [name for name in SERVERS if not Path(name).exists()]
    if missing:
        return f"missing: {', '.join(missing)}; apt-get install {PACKAGES}"
    trial = ["unshare", "--mount", "--pid", "--net", "--uts", "--fork", "--mount-proc", "true"]
    done = subprocess.run(trial, capture_output=True, text=True, check=False, timeout=100)
    return f"name spaces are not allowed here: {done.stderr.strip()}" if done.returncode else None


class Room:
    """A running machine room."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._rest = b""
        machine = Path(__file__).with_name("machine.py")
        spaces = ["unshare", "--mount", "--pid", "--net", "--uts", "--fork", "--mount-proc", "--kill-child"]
        spaces += ["--propagation", "private"]
        with (folder / "room.log").open("ab") as log:
            self.process = subprocess.Popen(
                # the last word says whose it is: see `leftovers`
                [*spaces, "--", PYTHON, "-I", "-S", str(machine), str(folder), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                start_new_session=True,  # Ctrl-C is for the tool; the room ends with its input
            )
        self.call("hello")

    def call(self, op: str, name: str = "", *, timeout: float = 90, **arguments: Any) -> dict[str, Any]:
        """One request.

        Raises:
            LabError: the room said no, or is gone.
        """
        with self._lock:
            assert self.process.stdin is not None
            try:
                self.process.stdin.write(json.dumps({"op": op, "name": name, **arguments}).encode() + b"\n")
                answer: dict[str, Any] = json.loads(self._line(timeout))
            except OSError as problem:
                raise LabError(f"the machine room is gone: {self._last_words()}") from problem
        if not answer.pop("ok"):
            raise LabError(f"{op} {name}: {answer['error']}")
        return answer

    def _line(self, timeout: float) -> bytes:
        assert self.process.stdout is not None
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise LabError(f"the machine room did not answer within {timeout:.0f} s")
                more = os.read(self.process.stdout.fileno(), 65536)
                if not more:
                    raise LabError(f"the machine room ended: {self._last_words()}")
                self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _last_words(self) -> str:
        return (self.folder / "room.log").read_text(errors="replace")[-2000:]

    @property
    def proc(self) -> Path:
        """The room's /proc: process ids in it are those that the room speaks of."""
        return Path(f"/proc/{self.process.pid}/root/proc")

    def see(self, path: Path) -> Path:
        """A path of the room's mount name space, as it can be opened from here."""
        return Path(f"/proc/{self.process.pid}/root{path}")

    def close(self) -> None:
        """End it, and with it every process, mount and network that it made."""
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()  # --kill-child: pid 1 of the room dies with it
            self.process.wait(60)
        if self.process.stdout:
            self.process.stdout.close()


def leftovers() -> dict[int, str]:
    """Rooms that outlived the process that made them (it was killed while a child of it kept the pipe open).

    Returns:
        The process id to kill, and the lab's folder.
    """
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_text(errors="replace").split("\0")
            parent = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]
        except OSError:  # it has just ended
            continue
        if words[0] == "unshare" and len(words) > 3 and words[-4].endswith("namespaces/machine.py"):
            place, maker = words[-3:-1]
            if maker != parent:
                found[int(folder.name)] = place
    return found
