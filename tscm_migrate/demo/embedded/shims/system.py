"""Replaces sudo (no password, a mark for "root"), and what needs it: shutdown, reboot, poweroff, systemctl, service."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .main import Shim

WITH_VALUE = "pugCDhRrtTU"
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


def sudo(shim: Shim) -> int:
    """Run the command."""
    return execute(shim, parse(shim.argv))


def execute(shim: Shim, asked: Asked) -> int:
    """Run the command of a user who may do everything."""
    if asked.flags & {"k", "K", "v"} and not asked.command:
        return 0
    user = shim.config["user"]
    if "l" in asked.flags:
        shim.say(f"User {user} may run the following commands on {shim.config['hostname']}:\n    (ALL : ALL) ALL")
        return 0
    if asked.flags & {"s", "i"}:
        asked.command = ["sh", "-c", " ".join(asked.command)] if asked.command else ["sh"]
    if not asked.command:
        shim.complain("usage: sudo -h | -K | -k | -V")
        return 1
    env = {**os.environ, **asked.env, "TSCM_LAB_ROOT": "1", "SUDO_USER": user}
    if asked.values.get("u", "root") != "root":
        del env["TSCM_LAB_ROOT"]
    sys.stdout.flush()
    try:
        os.execvpe(asked.command[0], asked.command, env)  # noqa: S606
    except OSError:
        shim.complain(f"sudo: {asked.command[0]}: command not found")
        return 1


ENDS = {"reboot": "reboot", "poweroff": "poweroff", "halt": "poweroff"}
STATES = {"is-active": "active", "is-enabled": "enabled"}
SSH = {"ssh", "sshd", "ssh.service", "sshd.service"}


def _power(shim: Shim, op: str) -> int:
    if not shim.is_root:
        shim.complain("Failed to set wall message, ignoring: Interactive authentication required.")
        shim.complain(f"Failed to {op} system via logind: Interactive authentication required.")
        return 1
    shim.ask_lab(op)
    return 0


def shutdown(shim: Shim) -> int:
    """`shutdown -r|-h|-P [now|+N]`; -c does nothing."""
    letters = {letter for word in shim.argv if word.startswith("-") for letter in word[1:]}
    if "c" in letters:
        return 0
    return _power(shim, "reboot" if "r" in letters else "poweroff")


def reboot(shim: Shim) -> int:
    """`reboot`."""
    return _power(shim, "reboot")


def poweroff(shim: Shim) -> int:
    """`poweroff`, `halt`."""
    return _power(shim, "poweroff")


def systemctl(shim: Shim) -> int:
    """The verbs that the tool uses."""
    verb, *units = [word for word in shim.argv if not word.startswith("-")] or [""]
    if verb in ENDS:
        return _power(shim, ENDS[verb])
    if verb in ("restart", "reload", "try-restart", "reload-or-restart"):
        if set(units) & SSH:
            shim.ask_lab("restart_ssh")
        return 0
    if verb in STATES:
        known = all(unit.removesuffix(".service") in {"ssh", "sshd", "cron", "crond"} for unit in units)
        shim.say(STATES[verb] if known else "inactive")
        return 0 if known else 3
    if verb == "is-system-running":
        shim.say("running")
        return 0
    shim.complain(f"Unknown command verb {verb}.")
    return 1


def service(shim: Shim) -> int:
    """`service NAME restart`."""
    if len(shim.argv) >= 2 and shim.argv[0] in SSH and shim.argv[1] in ("restart", "reload"):
        shim.ask_lab("restart_ssh")
    return 0


def on_terminal(shim: Shim) -> int:
    """Make stdin the controlling terminal of this session, then become the command; the lab's server uses it."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.execvp(shim.argv[0], shim.argv)  # noqa: S606
