"""Shared by the programs of one appliance: configuration, state, journal, privileges, output."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .wording import WORDINGS, Wording

if TYPE_CHECKING:
    from collections.abc import Callable


class ProgramExit(Exception):
    """End the program with this exit status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Machine:
    """One appliance, as its own programs see it.

    Args:
        data: the configuration that `guest.install` wrote.
        program: name by which it was called, for the journal.
        argv: the arguments.
    """

    def __init__(self, data: dict[str, Any], program: str, argv: list[str]) -> None:
        self.profile: dict[str, Any] = data["profile"]
        self.faults: dict[str, Any] = self.profile["faults"]
        self.commands: dict[str, list[str]] = data["commands"]
        self.privileged: bool = data["privileged"]
        self.owner: list[int] | None = data["owner"]
        self.user: str = data["user"]
        self._paths: dict[str, str] = data["paths"]
        self.program = program
        self.argv = argv
        self.wording: Wording = WORDINGS[self.profile["wording"]]
        self.debug = 5

    @classmethod
    def for_lab(cls, data: dict[str, Any], host: Callable[[str], Path]) -> Machine:
        """Return the same appliance for the lab, every path converted by `host`."""
        outside = {name: str(host(path)) for name, path in data["paths"].items()}
        return cls({**data, "paths": outside}, "lab", [])

    def path(self, name: str) -> Path:
        """Return a folder or file of the appliance by its logical name (backup, etc, log, ssh, …)."""
        return Path(self._paths[name])

    # ---- the lab's own records

    def note(self, event: str, **fields: Any) -> None:
        """Append one line to the lab's journal, which the tool under test never reads."""
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        line = json.dumps({"t": now, "event": event, "pid": os.getpid(), "program": self.program, **fields})
        fd = os.open(self._paths["journal"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(fd, line.encode() + b"\n")
        finally:
            os.close(fd)

    def state(self) -> dict[str, Any]:
        """The state of the appliance between two calls (encryption, counters)."""
        with suppress(FileNotFoundError):
            loaded: dict[str, Any] = json.loads(self.path("state").read_text("utf-8"))
            return loaded
        return {}

    def remember(self, **changes: Any) -> None:
        """Change the state; the file is replaced atomically."""
        path = self.path("state")
        part = path.with_name(f"{path.name}.{os.getpid()}")
        part.write_text(json.dumps({**self.state(), **changes}), "utf-8")
        part.replace(path)

    # ---- privileges

    def is_root(self) -> bool:
        """Return whether the program runs as root, or by the embedded lab's sudo."""
        return (self.privileged and os.geteuid() == 0) or bool(os.environ.get("TSCM_LAB_ROOT"))

    def want_root(self) -> None:
        """Start again by sudo if this appliance's programs do that; else return."""
        if self.is_root():
            return
        asks = self.profile["tsadmin_needs_sudo"]
        if not asks and not self.privileged:
            return
        sys.stdout.flush()
        helper = self._paths["as_root"]
        os.execvp("sudo", ["sudo", *([] if asks else ["-n"]), helper, self.program, *self.argv])  # noqa: S606

    def own(self, path: Path, mode: int) -> None:
        """Give a file to the appliance's user, as the real programs do."""
        path.chmod(mode)
        if self.owner is not None and os.geteuid() == 0:
            os.chown(path, *self.owner)

    def sudo(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run one of the lab's commands ("reboot", "restart_ssh") as root."""
        front = ["sudo", "-n"] if self.privileged and not self.is_root() else []
        command = [*front, *self.commands[name]]
        env = os.environ if self.privileged else {**os.environ, "TSCM_LAB_ROOT": "1"}
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=env)

    # ---- lines

    def write(self, text: str) -> None:
        """Write text unchanged, at once."""
        data = text.encode()
        while data:
            data = data[os.write(1, data) :]

    def info(self, text: str) -> None:
        """Write an ordinary line, with this wording's tag."""
        self.write(f"{self.wording.tag('info')}{text}\n")

    def warn(self, text: str) -> None:
        """Write a warning line."""
        self.write(f"{self.wording.tag('warn')}{text}\n")

    def error(self, text: str) -> None:
        """Write an error line; the program continues."""
        self.write(f"{self.wording.tag('error')}{text}\n")

    def detail(self, text: str) -> None:
        """Write a line that only --debug=6 and above shows."""
        if self.debug > 5:
            self.write(f"{self.wording.tag('debug')}{text}\n")

    def fail(self, text: str, status: int | None = None) -> NoReturn:
        """Write the reason, and end the program."""
        self.error(text)
        raise ProgramExit(self.profile["exit_error"] if status is None else status)

    def busy(self, what: str) -> None:
        """Show progress that rewrites its own line, if this wording does so."""
        if self.wording.noise:
            for percent in (7, 42, 88, 100):
                self.write(f"\r\x1b[K{what} … {percent:3d}%")
                time.sleep(0.01)
            self.write("\r\x1b[K")

    def hang(self, fault: str) -> None:
        """Print nothing for the time in the fault."""
        if seconds := self.faults.get(fault):
            self.note("hangs", fault=fault)
            time.sleep(float(seconds))

    def drip(self) -> None:
        """Print that it continues, again and again, as long as the output is read."""
        if every := self.faults.get("drips"):
            self.note("drips")
            for line in itertools.count(1):
                self.info(f"still at it ({line})")
                time.sleep(float(every))


def address_of(machine: Machine, interface: str) -> tuple[str, int]:
    """Return the address and prefix length of an interface from `ip`; end the program if it has no address."""
    command = ["ip", "-4", "-o", "addr", "show", "dev", interface]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    found = re.search(r"inet (\d+\.\d+\.\d+\.\d+)/(\d+)", done.stdout)
    if not found:
        machine.fail(f"Interface {interface} not found or without an address; see --interface")
    return found[1], int(found[2])


def updates_running(machine: Machine) -> int:
    """Return the number of this appliance's ts-update processes in `ps`, to mark archives that were made too early."""
    root = str(machine.path("bin").parents[2]).rstrip("/") + "/"  # several appliances may run on one machine
    done = subprocess.run(["ps", "-A", "-o", "args="], check=False, capture_output=True, text=True, timeout=30)
    lines = [line.split()[:4] for line in done.stdout.splitlines()]
    return sum(any(word.startswith(root) and word.endswith("/ts-update") for word in words) for words in lines)


_LABELS = {
    "asa": "Cisco ASA", "isr": "Cisco ISR", "firepower": "Cisco Firepower", "pan": "Palo Alto Networks",
    "panos": "Palo Alto Networks", "fortinet": "Fortinet Fortigate", "nios": "Infoblox NIOS", "a10": "A10 Networks",
    "checkpoint": "Check Point", "bind": "ISC BIND 9",
}  # fmt: skip


def device_label(kind: str) -> str:
    """Return the vendor's label for a type of device."""
    return _LABELS.get(kind, kind)


def device_names(machine: Machine) -> list[str]:
    """Return the configured devices."""
    folder = machine.path("devices")
    return sorted(path.parent.name for path in folder.glob("*/device.json"))


def device_settings(machine: Machine, name: str) -> dict[str, Any]:
    """Return the content of a device's file."""
    loaded: dict[str, Any] = json.loads(machine.path("devices").joinpath(name, "device.json").read_text("utf-8"))
    return loaded


FLAGS = {"all"}
NUMBERS = {"debug", "bypass_netconf", "leave_tmp_files", "force_apply_netconf"}


@dataclass
class Options:
    """Parsed arguments; names and defaults as documented."""

    words: list[str] = field(default_factory=list)
    interface: str = "eth0"
    action: str = "backup"
    gpg_passphrase: str = ""
    gpg_passphrase_file: str = ""
    type: str = ""
    debug: int = 5
    bypass_netconf: int = 0
    leave_tmp_files: int = 0
    force_apply_netconf: int = 0
    all: int = 0


def parse_options(machine: Machine, argv: list[str]) -> Options:
    """`--name=value` and `--name value`; anything unknown ends the program with status 2."""
    options = Options()
    known = {f.name for f in fields(Options)} - {"words"}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            options.words.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if name not in known:
            machine.fail(f"Unknown option: --{name}", 2)
        if not equals:
            value = "1" if name in FLAGS else rest.pop(0) if rest else ""
        if name in NUMBERS | FLAGS:
            if not value.isdigit():
                machine.fail(f"--{name} wants a number", 2)
            setattr(options, name, int(value))
        else:
            setattr(options, name, value)
    if not 1 <= options.debug <= 7:
        machine.fail("--debug wants a number from 1 to 7", 2)
    machine.debug = options.debug
    return options
