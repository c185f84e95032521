"""The operator's own commands on this workstation: hooks, and what runs around steps.

What a command gets in its environment may come from an appliance and is hostile; what it does not get is any of our
secrets; what it prints is bounded; and when its time is over nobody waits for what it left running.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from . import redact

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_WANT_QUOTES = re.compile(r"[^\w\\/:.~+-]")
_OURS = {"TSCM_PASSPHRASE", "TSCM_SUDO_PASSWORD", "TSCM_LOGIN_PASSWORD"}
_LOOK = 0.5  # seconds between two looks at how much it has printed
_MOST = 64 << 20  # bytes of output on this workstation's disk
_KILL = 9  # SIGKILL, which has no name on Windows and is not sent there
_KEPT = 4096  # bytes of output, the last ones
# cmd.exe puts a variable's text into the line before it reads the line, so these would be commands, not text.
_CMD_SIGNS = str.maketrans(dict.fromkeys('&|<>^"%!()\r\n', " "))


@dataclass(frozen=True)
class Ended:
    """How a command ended: `status` is None when it had to be ended, `said` the end of what it printed, cleaned.

    `flood`: it was ended because it printed without end; else its time was over.
    """

    status: int | None
    said: str
    flood: bool = False

    def cut_short(self, timeout: float) -> str:
        """Why it had to be ended, in words; "" where it ended by itself."""
        if self.status is not None:
            return ""
        return f"printed more than {_MOST / 1e6:.0f} MB" if self.flood else f"did not end within {timeout:.0f} s"


def run(command: str, facts: Mapping[str, str], timeout: float) -> Ended:
    """Run a line of the operator's inventory in his shell (sh, on Windows cmd.exe).

    Args:
        command: as the inventory has it.
        facts: added to the environment.
        timeout: seconds.

    Raises:
        OSError: it could not be started.
    """
    own = {k: v for k, v in os.environ.items() if k.upper() not in _OURS and not redact.known.holds(v)}
    # A file, not a pipe: what the command started and left behind may hold a pipe open for long.
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(  # noqa: S602 - a hypervisor's command line wants a shell, and it is the operator's
            command, shell=True, env=own | told(facts), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            status, flood = _wait(process, out, timeout)
        finally:
            if process.poll() is None:  # also when Ctrl-C came
                _end(process)
        out.seek(max(0, out.seek(0, os.SEEK_END) - _KEPT))
        said = out.read().decode("utf-8", "replace")
    return Ended(status, redact.outside(said, lines=True).strip(), flood)


def _wait(process: subprocess.Popen[bytes], out: IO[bytes], timeout: float) -> tuple[int | None, bool]:
    """Its exit status, None where it has to be ended; and whether it has filled the file with its output."""
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        try:
            return process.wait(min(left, _LOOK)), False
        except subprocess.TimeoutExpired:
            if os.fstat(out.fileno()).st_size > _MOST:
                return None, True
    return None, False


def quoted(path: Path) -> str:
    """A path as the operator's own shell takes it, in a command that he is told to say; plain where that will do."""
    if os.name == "nt":  # no quote can be in a name there
        return f'"{path}"' if _WANT_QUOTES.search(str(path)) else str(path)
    return shlex.quote(str(path))


def told(facts: Mapping[str, str]) -> dict[str, str]:
    """The facts as the environment can hold them; on Windows without what cmd.exe would obey."""
    clean = {name: redact.printable(value).replace("\0", "") for name, value in facts.items()}
    if os.name == "nt":
        return {name: value.translate(_CMD_SIGNS) for name, value in clean.items()}
    return clean


def _end(process: subprocess.Popen[bytes]) -> None:
    if os.name == "nt":  # cmd.exe's own end would leave what it runs
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False, timeout=30)
    below = _below(process.pid)  # while it is there: afterwards nothing tells whose they were
    process.kill()
    process.wait()
    for pid in below:
        with contextlib.suppress(OSError):
            os.kill(pid, _KILL)


def _below(pid: int) -> list[int]:
    """All that a process has begun, and what that has begun; not asked on Windows, where the end takes the tree."""
    if os.name == "nt":
        return []
    try:
        text = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, check=False, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):  # no ps: then the first alone is ended
        return []
    rows = [tuple(map(int, words)) for line in text.splitlines() if len(words := line.split()) == 2]
    found = [pid]
    for parent in found:
        found += [child for child, its in rows if its == parent]
    return found[1:]
