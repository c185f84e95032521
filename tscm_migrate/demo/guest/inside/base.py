"""Shared by the programs of one appliance: configuration, state, journal, output, questions, network settings."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from ipaddress import IPv4Interface
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TRIES = 3
TEXTS = {
    # questions
    "encrypt": "Would you like to encrypt backups",
    "new_passphrase": "Enter encryption passphrase",
    "again": "Confirm encryption passphrase",
    "passphrase": "Enter decryption passphrase",
    "choose": "Enter backup number",
    "network": "Update network configuration",
    "warning": "Continue",
    "ssh": "Restore SSH configuration",
    "cron": "Restore Cron configuration",
    "reboot": "Reboot now",
    # other lines
    "backup": "Starting backup process",
    "restore": "Starting restore process",
    "check": "Checking network configuration",
    "bypass": "Bypassing network configuration",
    "please_reboot": "Please reboot and start the restore process again",
    "restoring": "Restoring '{label}' device {name}",
    "restored": "Restore complete",
    "not_listed": "Invalid selection",
    "no_match": "Passphrases do not match",
    "not_opened": "Unable to decrypt backup",
    "backups": "Available backups:",
}


TAGS = {"info": "[INFO ] : ", "warn": "[WARN ] : ", "error": "[ERROR] : ", "debug": "[DEBUG] : "}
COMMANDS = {"reboot": ["shutdown", "-r", "now"], "restart_ssh": ["systemctl", "restart", "ssh"]}


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
        self.user: str = data["user"]
        self._paths: dict[str, str] = data["paths"]
        self.program = program
        self.argv = argv
        self.texts: Mapping[str, str] = TEXTS
        self.tags: Mapping[str, str] = TAGS
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
        """Return whether the program was started by the lab's sudo."""
        return bool(os.environ.get("TSCM_LAB_ROOT"))

    def want_root(self) -> None:
        """Start the program again by sudo on an appliance that needs it: the embedded ones do not."""

    def own(self, path: Path, mode: int) -> None:
        """Set the mode of a file, and give it to the appliance's user where this process can."""
        path.chmod(mode)

    def sudo(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run "reboot" or "restart_ssh" as root."""
        env = {**os.environ, "TSCM_LAB_ROOT": "1"}
        return subprocess.run(COMMANDS[name], check=False, capture_output=True, text=True, timeout=60, env=env)

    # ---- lines

    def write(self, text: str) -> None:
        """Write text unchanged, at once."""
        data = text.encode()
        while data:
            data = data[os.write(1, data) :]

    def info(self, text: str) -> None:
        """Write an ordinary line."""
        self.write(f"{self.tags['info']}{text}\n")

    def warn(self, text: str) -> None:
        """Write a warning line."""
        self.write(f"{self.tags['warn']}{text}\n")

    def error(self, text: str) -> None:
        """Write an error line; the program continues."""
        self.write(f"{self.tags['error']}{text}\n")

    def detail(self, text: str) -> None:
        """Write a line that only --debug=6 and above shows."""
        if self.debug > 5:
            self.write(f"{self.tags['debug']}{text}\n")

    def fail(self, text: str, status: int = 1) -> NoReturn:
        """Write the reason, and end the program."""
        self.error(text)
        raise ProgramExit(status)

    def text(self, which: str, **values: str) -> str:
        """Return a text of `TEXTS`; an undocumented question is its own text."""
        return self.texts.get(which, which).format(**values)

    # ---- questions

    def show(self, prompt: str) -> None:
        """Write a prompt."""
        self.write(prompt)

    def read(self) -> str:
        """Read a line, byte by byte; the end of input ends the program."""
        line = b""
        while not line.endswith(b"\n"):
            byte = os.read(0, 1)
            if not byte:
                self.write("\n")
                self.fail("End of input.", 130)
            line += byte
        return line.decode("utf-8", "replace").strip("\r\n")

    def answer(self, question: str, prompt: str) -> str:
        """Show a prompt and return what is typed; both go to the lab's journal."""
        if not sys.stdin.isatty():
            self.fail("No terminal to ask on.")
        self.show(prompt)
        answer = self.read()
        self.note("asked", question=question, answer=answer)
        return answer

    def slot(self, question: str, **values: str) -> str:
        """Return the prompt of a question that is not yes-or-no."""
        return f"{self.text(question, **values)}: "

    def lead(self, question: str, **values: str) -> None:
        """Write the lines above a question."""
        if question == "warning":
            self.warn("This TSCM already has devices setup:")
            for name in device_names(self):
                self.write(f"  {name} ({device_label(self, name)})\n")
            self.warn("Existing device configurations will be overwritten")
        elif question == "network":
            own, theirs = values["own"], values["theirs"]
            self.warn(f"IP Address detected on system ({own}) is not the IP Address stored in the backup ({theirs})")

    def ask_yes(self, question: str, **values: str) -> bool:
        """Ask for yes or no; repeat the question after another answer, three times at most."""
        self.lead(question, **values)
        for _ in range(TRIES):
            answer = self.answer(question, f"{self.text(question, **values)}[y/n]: ").strip().lower()
            if answer in ("y", "n", "yes", "no"):
                return answer.startswith("y")
        self.fail("No valid answer, giving up.")

    def ask_line(self, question: str, **values: str) -> str:
        """Ask for a line of text."""
        return self.answer(question, self.slot(question, **values))

    def ask_number(self, paths: list[Path], base: int = 1) -> int:
        """Show a list that is numbered from `base`, and let one item be chosen; return its index."""
        self.info(self.text("backups"))
        for number, path in enumerate(paths, base):
            self.write(self.item(number, path) + "\n")
        last = base + len(paths) - 1
        for _ in range(TRIES):
            answer = self.ask_line("choose", first=str(base), last=str(last)).strip()
            if answer.isascii() and answer.isdigit() and base <= int(answer) <= last:
                return int(answer) - base
            self.error(self.text("not_listed"))
        self.fail("No valid selection, giving up.")

    def item(self, number: int, path: Path) -> str:
        """Return a line of the list of archives."""
        return f"  {number}) {path}"

    def ask_secret(self, question: str) -> str:
        """Ask for a passphrase without echo; the journal records only the question."""
        if not sys.stdin.isatty():
            self.fail("No terminal to ask for a passphrase on.")
        import termios

        before, silent = termios.tcgetattr(0), termios.tcgetattr(0)
        silent[3] &= ~termios.ECHO
        termios.tcsetattr(0, termios.TCSADRAIN, silent)
        try:
            self.show(self.slot(question))
            answer = self.read()
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, before)
        self.write("\n")
        self.note("asked", question=question)
        return answer

    def given_passphrase(self, options: Options) -> str | None:
        """Return the passphrase from the options."""
        if options.gpg_passphrase or not options.gpg_passphrase_file:
            return options.gpg_passphrase or None
        try:
            text = Path(options.gpg_passphrase_file).read_text("utf-8")
        except OSError as error:
            self.fail(f"{options.gpg_passphrase_file}: {error.strerror}")
        return text.splitlines()[0] if text else ""


def address_of(machine: Machine, interface: str) -> tuple[str, int]:
    """Return the address and prefix length of an interface from `ip`; end the program if it has no address."""
    command = ["ip", "-4", "-o", "addr", "show", "dev", interface]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    address = re.search(r"inet (\d+\.\d+\.\d+\.\d+)/(\d+)", done.stdout)
    if not address:
        machine.fail(f"Interface {interface} not found or without an address; see --interface")
    return address[1], int(address[2])


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


def device_label(machine: Machine, name: str) -> str:
    """Return the vendor's label for a device's type; "" where the archive of another appliance lacks its file."""
    kind = device_settings(machine, name)["kind"] if name in device_names(machine) else ""
    return _LABELS.get(kind, kind)


def device_names(machine: Machine) -> list[str]:
    """Return the configured devices."""
    return sorted(path.parent.name for path in machine.path("devices").glob("*/device.json"))


def device_settings(machine: Machine, name: str) -> dict[str, Any]:
    """Return the content of a device's file."""
    loaded: dict[str, Any] = json.loads(machine.path("devices").joinpath(name, "device.json").read_text("utf-8"))
    return loaded


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
        name, equals, value = word[2:].partition("=")
        if not word.startswith("--"):
            options.words.append(word)
        elif name not in known:
            machine.fail(f"Unknown option: --{name}", 2)
        elif name == "all":
            options.all = 1
        else:
            value = value if equals else rest.pop(0) if rest else ""
            if name in NUMBERS and not value.isdigit():
                machine.fail(f"--{name} wants a number", 2)
            setattr(options, name, int(value) if name in NUMBERS else value)
    if not 1 <= options.debug <= 7:
        machine.fail("--debug wants a number from 1 to 7", 2)
    machine.debug = options.debug
    return options


def apply_network(machine: Machine, net: Net, own: str) -> None:
    """Save the settings; the present address stays until the next boot."""
    path = machine.path("interfaces")
    machine.write("[Backing up current configuration]\n")
    path.with_name("interfaces.bak").write_bytes(path.read_bytes())
    machine.write(f"using {'DHCP' if net.dhcp else 'STATIC'} template\n")
    machine.write("applying permanent config to /etc/network/interfaces\n")
    machine.write("[ ok ] Restarting networking (via systemctl): networking.service.\n")
    part = path.with_name("interfaces.part")
    part.write_text(net_text(net), "utf-8")
    part.replace(path)
    machine.note("network-saved", address=net.address, dhcp=net.dhcp)
    machine.write(f"The IP address: {own} will disappear on next reboot\nYour current IP: {own}\n")
    machine.write("Success: Network setup complete.\n")


@dataclass(frozen=True)
class Net:
    """Settings of an interface for the next boot; `address` is "" with DHCP."""

    interface: str
    address: str = ""
    prefix: int = 24
    gateway: str = ""
    dns: tuple[str, ...] = ()
    dhcp: bool = False


def net_text(net: Net) -> str:
    """Return the text of the file."""
    head = "# written by tsadmin network\nauto lo\niface lo inet loopback\n\n"
    head += f"auto {net.interface}\niface {net.interface} inet {'dhcp' if net.dhcp else 'static'}\n"
    if net.dhcp:
        return head
    mask = IPv4Interface(f"{net.address}/{net.prefix}").netmask
    body = f"    address {net.address}\n    netmask {mask}\n"
    if net.gateway:
        body += f"    gateway {net.gateway}\n"
    if net.dns:
        body += f"    dns-nameservers {' '.join(net.dns)}\n"
    return head + body


def parse_net(text: str) -> Net | None:
    """Return the first interface that is not loopback; None if the text has no such interface, or is not valid."""
    name, method, values = "", "", {}
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if len(words) >= 4 and words[0] == "iface":
            if name:
                break
            if words[1] != "lo":
                name, method = words[1], words[3]
        elif len(words) >= 2 and name:
            values[words[0]] = words[1:]
    if not name:
        return None
    if method == "dhcp":
        return Net(name, dhcp=True)
    try:
        address, _, length = values["address"][0].partition("/")
        mask = length or values.get("netmask", ["255.255.255.0"])[0]
        own = IPv4Interface(f"{address}/{mask}")
    except (KeyError, ValueError):
        return None
    gateway = values.get("gateway", [""])[0]
    return Net(name, str(own.ip), own.network.prefixlen, gateway, tuple(values.get("dns-nameservers", ())))
