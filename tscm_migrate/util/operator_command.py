"""Commands for the operator's shell: run those of hooks and steps, and complete our own in messages.

Values in a command's environment may come from an appliance and are hostile. It gets none of this tool's secrets, its
output is limited, and on timeout its child processes are killed and not waited for.
"""

import contextlib
import os
import re
import shlex
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tscm_migrate.errors import HookFailed
from tscm_migrate.model import Host

from . import redact

_WANT_QUOTES = re.compile(r"[^\w\\/:.~+-]")
_OURS = {"TSCM_PASSPHRASE", "TSCM_SUDO_PASSWORD", "TSCM_LOGIN_PASSWORD"}
_LOOK = 0.5  # seconds between two looks at how much it has printed
_MOST = 64 << 20  # bytes of output on this workstation's disk
_KILL = 9  # SIGKILL, which has no name on Windows and is not sent there
_KEPT = 4096  # bytes of output, the last ones
# cmd.exe puts a variable's text into the line before it reads the line, so these would be commands, not text.
_CMD_SIGNS = str.maketrans(dict.fromkeys('&|<>^"%!()\r\n', " "))


@dataclass(frozen=True)
class LocalResult:
    """Result of a command.

    `status`: exit status; None if the command was killed. `ending`: the end of its output, cleaned. `flood`: it was
    killed because it printed too much, not because of the timeout.
    """

    status: int | None
    ending: str
    flood: bool = False

    def cut_short(self, timeout: float) -> str:
        """Return why the command was killed, or "" if it ended by itself."""
        if self.status is not None:
            return ""
        return f"printed more than {_MOST / 1e6:.0f} MB" if self.flood else f"did not end within {timeout:.0f} s"


def run(command: str, facts: Mapping[str, str], timeout: float) -> LocalResult:
    """Run a command line of the inventory in the operator's shell (sh; cmd.exe on Windows).

    Args:
        command: as in the inventory.
        facts: variables to add to the environment.
        timeout: seconds.

    Raises:
        OSError: it could not be started.
    """
    own = {k: v for k, v in os.environ.items() if k.upper() not in _OURS and not redact.known.holds(v)}
    # A file, not a pipe: what the command started and left behind may hold a pipe open for long.
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(  # noqa: S602 - a hypervisor's command line wants a shell, and it is the operator's
            command, shell=True, env=own | as_environment(facts), stdin=subprocess.DEVNULL, stdout=out,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            status, flood = _wait(process, out, timeout)
        finally:
            if process.poll() is None:  # also when Ctrl-C came
                _end(process)
        out.seek(max(0, out.seek(0, os.SEEK_END) - _KEPT))
        printed = out.read().decode("utf-8", "replace")
    return LocalResult(status, redact.outside(printed, lines=True).strip(), flood)


def _wait(process: subprocess.Popen[bytes], out: IO[bytes], timeout: float) -> tuple[int | None, bool]:
    """Return the exit status, None on timeout; and whether the output exceeded the limit."""
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        try:
            return process.wait(min(left, _LOOK)), False
        except subprocess.TimeoutExpired:
            if os.fstat(out.fileno()).st_size > _MOST:
                return None, True
    return None, False


def quoted(path: Path) -> str:
    """Quote a path for the operator's own shell, for a command in a message; only if quotes are needed."""
    if os.name == "nt":  # no quote can be in a name there
        return f'"{path}"' if _WANT_QUOTES.search(str(path)) else str(path)
    return shlex.quote(str(path))


def as_environment(facts: Mapping[str, str]) -> dict[str, str]:
    """Return the facts as an environment can hold them; on Windows without what cmd.exe would execute."""
    clean = {name: redact.printable(value).replace("\0", "") for name, value in facts.items()}
    if os.name == "nt":
        return {name: value.translate(_CMD_SIGNS) for name, value in clean.items()}
    return clean


def _end(process: subprocess.Popen[bytes]) -> None:
    if os.name == "nt":  # killing cmd.exe alone would leave its children
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False, timeout=30)
    below = _below(process.pid)  # before it is killed: afterwards its children cannot be found
    process.kill()
    process.wait()
    for pid in below:
        with contextlib.suppress(OSError):
            os.kill(pid, _KILL)


def _below(pid: int) -> list[int]:
    """List all descendants of a process; empty on Windows, where killing ends the tree."""
    if os.name == "nt":
        return []
    try:
        text = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, check=False, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):  # no ps: only the process itself is killed
        return []
    rows = [tuple(map(int, words)) for line in text.splitlines() if len(words := line.split()) == 2]
    found = [pid]
    for parent in found:
        found += [child for child, its in rows if its == parent]
    return found[1:]


# Commands that read the inventory; `resume` and other commands about a run know the one that the run was started with.
READ_INVENTORY = (
    "archive create", "archive list", "archive pull", "archive push", "campaign plan", "campaign run", "doctor",
    "host list", "host pin", "host show", "migrate", "offsite", "plan", "prompts explain", "prompts learn",
    "prompts record", "prompts replay", "rehearse", "run unlock", "schedule", "secret delete", "secret list",
    "secret set",
)  # fmt: skip
_COMMAND = re.compile(
    rf"\btscm-migrate (?=(?:{'|'.join(READ_INVENTORY)})\b(?![^;,)\n`]*--inventory))", re.ASCII
)  # fmt: skip
_given: list[str] = []


def use_inventory(path: str | None) -> None:
    """Remember the inventory that the user has named; None or "": none was named."""
    _given[:] = [path] if path else []


def completed(text: str) -> str:
    """Return a message whose commands have the option `--inventory`, if the user has given it."""
    if not _given or "tscm-migrate " not in text:
        return text
    file = quoted(Path(os.path.abspath(_given[0])))  # noqa: PTH100 - not resolved: links stay as they were given
    return _COMMAND.sub(lambda _: f"tscm-migrate --inventory {file} ", text)


HOOK_TIMEOUT = 900.0  # seconds


def hook_environment(host: Host, role: str, run: str, other: Host | None = None) -> dict[str, str]:
    """Return a hook's environment: TSCM_HOST, TSCM_ADDRESS, TSCM_ROLE (old, new), TSCM_RUN, TSCM_OTHER_…"""
    found = {"TSCM_HOST": host.name, "TSCM_ADDRESS": host.address, "TSCM_ROLE": role, "TSCM_RUN": run}
    if other is not None:
        found |= {"TSCM_OTHER_HOST": other.name, "TSCM_OTHER_ADDRESS": other.address}
    return found


def run_hook(name: str, command: str, facts: Mapping[str, str], *, timeout: float = HOOK_TIMEOUT) -> str:
    """Run one hook with the workstation's own shell; no secret of the tool is in its environment.

    Args:
        name: snapshot, offline or online.
        command: as the inventory has it.
        facts: see `hook_environment`.
        timeout: seconds.

    Returns:
        The last 2000 characters of its output.

    Raises:
        HookFailed: its exit status was not 0, or it did not end in time.
    """
    try:
        done = run(command, facts, timeout)
    except OSError as error:
        raise HookFailed(f"the hook `{name}` could not be started: {error.strerror}", name) from error
    if why := done.cut_short(timeout):
        raise HookFailed(f"the hook `{name}` {why}, and was ended", name)
    output = done.ending[-2000:]
    if done.status != 0:
        last = output.splitlines()[-1] if output else "no output"
        raise HookFailed(f"the hook `{name}` failed with exit status {done.status}: {last}", name)
    return output
