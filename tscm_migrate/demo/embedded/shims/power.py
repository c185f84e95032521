"""Replaces shutdown, reboot, poweroff, halt, systemctl and service: they inform the lab."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .main import Shim

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
