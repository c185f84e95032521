"""The operator's workstation: inventory, keys, environment, and runs of the tool in its network."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.harness.namespaces.provision import KEY_TYPES
from tscm_migrate.demo.base import INVENTORY_NAMES, tool_command, tool_env

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.harness.profile import Profile

CHECKOUT = Path(__file__).resolve().parents[3]


class Workstation:
    """Run programs in the network of 10.1.1.10.

    Args:
        net: the file of its network namespace.
    """

    def __init__(self, folder: Path, net: Path) -> None:
        self.folder, self.net = folder, net
        self.inventory = folder / "inventory" / "hosts.toml"
        self.key = folder / "inventory" / "id_ed25519"
        self._running: list[subprocess.Popen[Any]] = []

    def write(self, hosts: Mapping[str, Profile], host_keys: Mapping[str, Path]) -> None:
        """Write hosts.toml, known_hosts and the client's key (if it is missing)."""
        place = self.inventory.parent
        for part in (place, self.folder / "workstation"):
            part.mkdir(parents=True, exist_ok=True)
        if not self.key.exists():
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tscm-lab", "-f", str(self.key)]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        text = 'known_hosts = "known_hosts"\n\n[defaults]\nuser = "threatstop"\nidentity_file = "id_ed25519"\n'
        pinned = ""
        for name, profile in hosts.items():
            text += (
                f'\n[hosts.{INVENTORY_NAMES[name]}]\naddress = "{profile.address}"\ninterface = "{profile.interface}"\n'
            )
            for kind in KEY_TYPES:
                words = (host_keys[name] / f"ssh_host_{kind}_key.pub").read_text().split()
                pinned += f"{profile.address} {words[0]} {words[1]}\n"
        self.inventory.write_text(text)
        (place / "known_hosts").write_text(pinned)

    def env(self) -> dict[str, str]:
        """Return the tool's environment."""
        return tool_env(self.folder, self.inventory)

    def inside(self, *command: str) -> list[str]:
        """Return a command line for the workstation's network; the started process is the command itself."""
        return ["nsenter", f"--net={self.net}", "--", *command]

    def tool(self, *args: str) -> list[str]:
        """Return the command line of `tscm-migrate ARGS`."""
        return self.inside(*tool_command(*args))

    def options(self, env: Mapping[str, str] | None) -> dict[str, Any]:
        """Return the arguments of Popen for each run of the tool."""
        source = {"cwd": CHECKOUT} if (CHECKOUT / "pyproject.toml").exists() else {}
        return {"env": self.env() | dict(env or {}), "text": True, "start_new_session": True, **source}

    def spawn(self, *command: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a command line made by `inside` or `tool`; `close` kills it if it still runs."""
        process: subprocess.Popen[str] = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **self.options(env),
        )
        self._running.append(process)
        return process

    def run(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        timeout: float = 60,
        tty: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command line made by `inside` or `tool` to its end.

        Raises:
            subprocess.TimeoutExpired: it and its children are killed; `output` has the output so far.
        """
        if tty:
            return self._run_tty([*command], env, stdin or "", timeout)
        feed: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"stdin": subprocess.PIPE}
        process: subprocess.Popen[str] = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **feed, **self.options(env)
        )
        self._running.append(process)
        try:
            out, err = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired as late:
            kill(process)
            out, err = process.communicate(timeout=100)
            raise subprocess.TimeoutExpired(process.args, timeout, out, err) from late
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def _run_tty(
        self, command: list[str], env: Mapping[str, str] | None, stdin: str, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run on a terminal of 120 columns; `stdout` has the output with the terminal's line ends."""
        import pty  # these two are not on Windows, where this module is imported too
        import termios

        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (40, 120))
        options = self.options({"TERM": "xterm-256color", **(env or {})})
        # setsid --ctty: a password prompt reads /dev/tty, so this has to be the controlling terminal
        del options["start_new_session"]
        process: subprocess.Popen[str] = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *command], stdin=theirs, stdout=theirs, stderr=theirs, **options
        )
        self._running.append(process)
        os.close(theirs)
        try:
            output = type_and_listen(process, ours, stdin.splitlines(keepends=True), timeout)
        finally:
            kill(process)
            os.close(ours)
        return subprocess.CompletedProcess(command, process.returncode, output, "")

    def close(self) -> None:
        """Kill processes that still run."""
        for process in self._running:
            kill(process)


def type_and_listen(process: subprocess.Popen[str], terminal: int, lines: list[str], timeout: float) -> str:
    """Type the next line when the program waits: a password prompt drops what is typed before it appears.

    Raises:
        subprocess.TimeoutExpired: with the output so far.
    """
    output, typed, last = b"", list(lines), time.monotonic()
    deadline = last + timeout
    while True:
        now = time.monotonic()
        if now > deadline:
            raise subprocess.TimeoutExpired(process.args, timeout, output.decode(errors="replace"))
        if select.select([terminal], [], [], 0.05)[0]:
            try:
                piece = os.read(terminal, 65536)
            except OSError:  # the last process closed the terminal
                piece = b""
            if not piece:
                process.wait(max(0.0, deadline - now))
                return output.decode(errors="replace")
            output, last = output + piece, now
        elif typed and now - last > (1.5 if output[-1:] in (b"", b"\n") else 0.3):
            os.write(terminal, typed.pop(0).encode())
            last = now
        elif process.poll() is not None and now - last > 0.3:  # a child may still have the terminal open
            return output.decode(errors="replace")


def kill(process: subprocess.Popen[Any]) -> None:
    """Kill a process and its group if it still runs."""
    if process.poll() is not None:
        return
    if os.getpgid(process.pid) == process.pid:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
