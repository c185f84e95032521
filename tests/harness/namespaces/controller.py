"""The client of the lab's controller process (machine.py): starts it, sends requests, ends it."""

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

PYTHON = "/usr/bin/python3"  # not sys.executable: an appliance's user may be unable to read its folder
PROGRAMS = ("unshare", "nsenter", "ip", "mount", "umount", "ssh-keygen", "openssl", "sudo", "rsync", "gpg", "arping")
SERVERS = ("/usr/sbin/sshd", "/usr/sbin/cron", PYTHON)
PACKAGES = "openssh-server cron sudo rsync gpg iputils-arping iputils-ping iproute2 openssl python3"


class LabError(Exception):
    """The lab failed, not the migration in it."""


def available() -> str | None:
    """Return why namespace labs cannot run here, with a remedy; None if they can."""
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
    return f"namespaces are not allowed here: {done.stderr.strip()}" if done.returncode else None


class Controller:
    """A running controller process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._rest = b""
        machine = Path(__file__).with_name("machine.py")
        spaces = ["unshare", "--mount", "--pid", "--net", "--uts", "--fork", "--mount-proc", "--kill-child"]
        spaces += ["--propagation", "private"]
        with (folder / "room.log").open("ab") as log:
            self.process = subprocess.Popen(
                # the last argument names the owner: see `leftovers`
                [*spaces, "--", PYTHON, "-I", "-S", str(machine), str(folder), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                start_new_session=True,  # Ctrl-C is for the tool; the controller ends with its standard input
            )
        self.call("hello")

    def call(self, op: str, name: str = "", *, timeout: float = 90, **arguments: Any) -> dict[str, Any]:
        """Send one request, and return the answer.

        Raises:
            LabError: the request failed, or the controller has ended.
        """
        with self._lock:
            assert self.process.stdin is not None
            try:
                self.process.stdin.write(json.dumps({"op": op, "name": name, **arguments}).encode() + b"\n")
                answer: dict[str, Any] = json.loads(self._line(timeout))
            except OSError as problem:
                raise LabError(f"the lab's controller has ended: {self._end_of_log()}") from problem
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
                    raise LabError(f"the lab's controller did not answer within {timeout:.0f} s")
                more = os.read(self.process.stdout.fileno(), 65536)
                if not more:
                    raise LabError(f"the lab's controller ended: {self._end_of_log()}")
                self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _end_of_log(self) -> str:
        return (self.folder / "room.log").read_text(errors="replace")[-2000:]

    @property
    def proc(self) -> Path:
        """Return the controller's /proc: its process ids are those of the controller's answers."""
        return Path(f"/proc/{self.process.pid}/root/proc")

    def see(self, path: Path) -> Path:
        """Return the path by which this process can open a path of the controller's mount namespace."""
        return Path(f"/proc/{self.process.pid}/root{path}")

    def close(self) -> None:
        """End the controller, and with it all its processes, mounts and networks."""
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()  # --kill-child: pid 1 of the namespace dies with it
            self.process.wait(60)
        if self.process.stdout:
            self.process.stdout.close()


def leftovers() -> dict[int, str]:
    """Return controllers that still run after their test run was killed, because a child kept the pipe open.

    Returns:
        Process id to kill → folder of the lab.
    """
    labs = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_text(errors="replace").split("\0")
            parent = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]
        except OSError:  # it has just ended
            continue
        if words[0] == "unshare" and len(words) > 3 and words[-4].endswith("namespaces/machine.py"):
            place, maker = words[-3:-1]
            if maker != parent:
                labs[int(folder.name)] = place
    return labs
