"""Replaces sudo: asks for a password as the real program does, then runs the command with a mark for "root"."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from .main import Shim

TRIES = 3
WITH_VALUE = {
    "p": "prompt",
    "u": "user",
    "g": "group",
    "C": "",
    "D": "",
    "h": "",
    "R": "",
    "r": "",
    "t": "",
    "T": "",
    "U": "",
}
LONG_WITH_VALUE = {"prompt": "p", "user": "u", "group": "g"}
LONG = {
    "non-interactive": "n",
    "stdin": "S",
    "validate": "v",
    "reset-timestamp": "k",
    "remove-timestamp": "K",
    "list": "l",
}


class Asked:
    """A parsed command line."""

    def __init__(self) -> None:
        self.flags: set[str] = set()
        self.values: dict[str, str] = {}
        self.env: dict[str, str] = {}
        self.command: list[str] = []


def parse(argv: list[str]) -> Asked:
    """Parse options, then NAME=VALUE pairs, then the command."""
    asked, rest = Asked(), list(argv)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            _long(asked, word[2:], rest)
        else:
            _short(asked, word[1:], rest)
    while rest and "=" in rest[0] and rest[0].partition("=")[0].isidentifier():
        name, _, value = rest.pop(0).partition("=")
        asked.env[name] = value
    asked.command = rest
    return asked


def _long(asked: Asked, word: str, rest: list[str]) -> None:
    name, equals, value = word.partition("=")
    if name in LONG_WITH_VALUE:
        asked.values[LONG_WITH_VALUE[name]] = value if equals or not rest else rest.pop(0)
    asked.flags.add(LONG.get(name, name))


def _short(asked: Asked, letters: str, rest: list[str]) -> None:
    for at, letter in enumerate(letters, 1):
        if letter in WITH_VALUE:
            asked.values[letter] = letters[at:] or (rest.pop(0) if rest else "")
            return
        asked.flags.add(letter)


def run(shim: Shim) -> int:
    """Check the password if one is needed, then run the command."""
    asked = parse(shim.argv)
    if asked.flags & {"k", "K"} and not asked.command:
        return 0
    if not shim.is_root and shim.config["sudo_hash"]:
        _authenticate(shim, asked)
    user = shim.config["user"]
    if not shim.is_root and not shim.config["sudo_allowed"]:
        shim.complain(f"{user} is not in the sudoers file.")
        return 1
    if "v" in asked.flags:
        return 0
    if "l" in asked.flags:
        shim.say(f"User {user} may run the following commands on {shim.config['hostname']}:\n    (ALL : ALL) ALL")
        return 0
    if asked.flags & {"s", "i"}:
        asked.command = ["sh", "-c", " ".join(asked.command)] if asked.command else ["sh"]
    if not asked.command:
        shim.complain("usage: sudo -h | -K | -k | -V")
        return 1
    return _become(shim, asked)


def _become(shim: Shim, asked: Asked) -> int:
    env = {**os.environ, **asked.env, "TSCM_LAB_ROOT": "1", "SUDO_USER": shim.config["user"]}
    target = asked.values.get("u", "root")
    if target != "root":
        del env["TSCM_LAB_ROOT"]
    sys.stdout.flush()
    try:
        os.execvpe(asked.command[0], asked.command, env)  # noqa: S606
    except OSError:
        shim.complain(f"sudo: {asked.command[0]}: command not found")
        return 1


def _authenticate(shim: Shim, asked: Asked) -> None:
    """Read the password from stdin (-S) or the terminal; three attempts."""
    import hashlib

    if "n" in asked.flags:
        _refuse(shim, "sudo: a password is required")
    user = shim.config["user"]
    prompt = asked.values.get("p", os.environ.get("SUDO_PROMPT", f"[sudo] password for {user}: "))
    prompt = prompt.replace("%u", user).replace("%p", user).replace("%h", shim.config["hostname"]).replace("%%", "%")
    if "S" in asked.flags:
        source, echo_on = 0, None
    else:
        source, echo_on = _terminal(shim), True
    for attempt in range(TRIES):
        answer = _question(source, prompt, terminal=echo_on is not None)
        if answer is None:
            _refuse(
                shim,
                "sudo: no password was provided" if attempt == 0 else f"sudo: {attempt} incorrect password attempts",
            )
        if hashlib.sha256(answer.encode()).hexdigest() == shim.config["sudo_hash"]:
            return
        if attempt < TRIES - 1:
            shim.complain("Sorry, try again.")
    _refuse(shim, f"sudo: {TRIES} incorrect password attempts")


def _terminal(shim: Shim) -> int:
    try:
        return os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        _refuse(
            shim,
            "sudo: a terminal is required to read the password; either use the -S option to read from standard input "
            "or configure an askpass helper\nsudo: a password is required",
        )


def _question(source: int, prompt: str, *, terminal: bool) -> str | None:
    """Write a prompt and read a line; None at the end of input."""
    if not terminal:
        os.write(2, prompt.encode())
        return _line(source)
    import termios

    before = termios.tcgetattr(source)
    silent = termios.tcgetattr(source)
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(source, termios.TCSAFLUSH, silent)
    try:
        os.write(source, prompt.encode())
        return _line(source)
    finally:
        termios.tcsetattr(source, termios.TCSADRAIN, before)
        os.write(source, b"\n")


def _line(source: int) -> str | None:
    """Read byte by byte, because what follows the line belongs to the command."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(source, 1)
        if not byte:
            return None
        line += byte
    return line.decode("utf-8", "replace").rstrip("\r\n")


def _refuse(shim: Shim, text: str) -> NoReturn:
    shim.complain(text)
    raise SystemExit(1)
