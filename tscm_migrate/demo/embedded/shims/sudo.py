"""Replaces sudo, which needs no password here: runs the command with a mark for "root"."""

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


def run(shim: Shim) -> int:
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
