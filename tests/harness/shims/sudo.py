"""Replaces sudo: asks for a password as the real program does, then runs the command with a mark for "root"."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

from tscm_migrate.demo.embedded.shims.system import execute, parse

if TYPE_CHECKING:
    from tscm_migrate.demo.embedded.shims.main import Shim
    from tscm_migrate.demo.embedded.shims.system import Asked

TRIES = 3


def run(shim: Shim) -> int:
    """Check the password if one is needed, then run the command."""
    asked = parse(shim.argv)
    if asked.flags & {"k", "K"} and not asked.command:
        return 0
    if not shim.is_root and shim.config["sudo_hash"]:
        _authenticate(shim, asked)
    if not shim.is_root and not shim.config["sudo_allowed"]:
        shim.complain(f"{shim.config['user']} is not in the sudoers file.")
        return 1
    return execute(shim, asked)


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
