"""The operator's own commands on this workstation: hooks, and what runs around steps.

What a command gets in its environment may come from an appliance and is hostile; what it does not get is any of our
secrets; what it prints is bounded; and when its time is over nobody waits for what it left running.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import redact

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_WANT_QUOTES = re.compile(r"[^\w\\/:.~+-]")
_OURS = {"TSCM_PASSPHRASE", "TSCM_SUDO_PASSWORD", "TSCM_LOGIN_PASSWORD"}
_KEPT = 4096  # bytes of output, the last ones
# cmd.exe puts a variable's text into the line before it reads the line, so these would be commands, not text.
_CMD_SIGNS = str.maketrans(dict.fromkeys('&|<>^"%!()\r\n', " "))


@dataclass(frozen=True)
class Ended:
    """How a command ended: `status` is None when its time was over, `said` the end of what it printed, cleaned."""

    status: int | None
    said: str


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
            status: int | None = process.wait(timeout)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            if process.poll() is None:  # also when Ctrl-C came
                _end(process)
        out.seek(max(0, out.seek(0, os.SEEK_END) - _KEPT))
        said = out.read().decode("utf-8", "replace")
    return Ended(status, redact.printable(redact.known(said)).strip())


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
    process.kill()
    process.wait()
