"""What it means when a login gives an answer that our script did not give, and which start-up file is the cause."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from tscm_migrate.errors import MigrateError, NotRun, PasswordExpired

if TYPE_CHECKING:
    from collections.abc import Callable

    import paramiko

# What shells read before `-c COMMAND`, or what a user has put it into because another file of the list reads it.
FILES = (
    ".ssh/rc", ".bashrc", ".bash_profile", ".bash_login", ".profile", ".zshenv", ".zprofile", ".zshrc", ".zlogin",
    ".kshrc", ".cshrc", ".tcshrc", ".login", ".config/fish/config.fish",
)  # fmt: skip
_REPLACES = re.compile(
    r"\s*(?:[^#]*?(?:[;&|({]|\b(?:then|else|do))\s+)?(?:builtin\s+)?(?:exec\s+(?![<>&\d{])\S|(?:tmux|screen|exit)\b)"
)
_MOST = 1 << 16  # bytes of a start-up file
_EXPIRED = re.compile(
    r"password (?:has )?expired|password change required|required to change your password", re.IGNORECASE
)
_SHORT = 200


def not_run(host: str, display: str, said: bytes, status: int | None) -> MigrateError:
    """The error for a script whose begin mark did not come.

    Args:
        host: the inventory name.
        display: what the command is called.
        said: what came instead.
        status: the exit status; None: the login had not ended.
    """
    text = said.decode(errors="replace")
    lines = ["".join(c for c in line if c.isprintable()).strip() for line in text.splitlines()]
    last = next((line for line in reversed(lines) if line), "")[:_SHORT]
    if _EXPIRED.search(text):
        return PasswordExpired(host, last)
    ended = "it did not end" if status is None else f"exit status {status}"
    told = f"it said {last!r}" if last else "it said nothing"
    return NotRun(host, f"`{display}`: {told}, {ended}")


def startup_line(open_sftp: Callable[[], paramiko.SFTPClient]) -> str:
    """The first line of a start-up file that replaces or ends the login's shell: "~/.bashrc line 3: exec zsh".

    Read over SFTP, which does not need the shell where the server has it built in.

    Returns:
        "" where no file has such a line, or none can be read.
    """
    with contextlib.suppress(MigrateError, OSError, EOFError), contextlib.closing(open_sftp()) as client:
        for name in FILES:
            with contextlib.suppress(FileNotFoundError, PermissionError), client.open(name, "rb") as file:
                if line := replacing_line(file.read(_MOST).decode(errors="replace")):
                    return f"~/{name} line {line}"
    return ""


def replacing_line(text: str) -> str:
    """The first line that gives the shell to another program, with its number: "3: exec zsh"; "" where none does."""
    for number, line in enumerate(text.splitlines(), 1):
        if _REPLACES.match(line):
            return f"{number}: {line.strip()[:_SHORT]}"
    return ""
