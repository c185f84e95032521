"""How a script becomes the one string that an SSH server hands to whatever login shell there is; pure."""

from __future__ import annotations

import math
import re
import secrets
from dataclasses import dataclass, field
from shlex import quote

# The documented prompts suggest zsh and bash; csh and fish exist. So the outer string holds nothing but plain words and
# single-quoted text, and the rest is said to `sh`. sudo's secure_path lacks /usr/local/bin on RHEL, a non-interactive
# login lacks the sbin folders: both are appended, never put first.
_PROLOGUE = "LC_ALL=C; PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export LC_ALL PATH; "
# Inside single quotes csh still reads ! and newlines, fish reads \\; those travel as octal escapes.
_MISREAD = re.compile(rb"[^ -~]|[\\!]")
_KILL_AFTER = 5  # seconds between TERM and KILL on the remote side


def _nonce() -> str:
    return secrets.token_hex(8)


@dataclass(frozen=True)
class SudoMarks:
    """Two unguessable words: sudo's prompt, and what the script says when sudo has let it start.

    With them nothing has to be read out of sudo's own wording: the password is sent when (and only when) sudo asks for
    it, and standard input is sent when (and only when) the script can read it.
    """

    prompt: str = field(default_factory=lambda: f"tscm-ask-{_nonce()}:")
    started: str = field(default_factory=lambda: f"tscm-go-{_nonce()}:")


def in_sh(script: str, *, seconds: float | None = None, prologue: str = "") -> str:
    """Give the command line that runs `script` in `sh` with LC_ALL=C.

    Args:
        script: sh source; it may hold newlines and any quoting.
        seconds: let the remote `timeout`, where there is one, end it after this many seconds (rounded up).
        prologue: sh source that runs before, outside of the time limit.
    """
    run = 'exec sh -c "$s"'
    if seconds is not None:
        limit = max(1, math.ceil(seconds))
        run = f'if command -v timeout >/dev/null 2>&1; then exec timeout -k {_KILL_AFTER} {limit} sh -c "$s"; fi; {run}'
    source = script.encode()
    if _MISREAD.search(source):
        take = 's=$(printf "$0"); '
        script = _MISREAD.sub(lambda found: b"\\%03o" % found[0][0], source.replace(b"%", b"%%")).decode()
    else:
        take = "s=$0; "
    return f"sh -c {quote(_PROLOGUE + prologue + take + run)} {quote(script)}"


def tty_mark() -> str:
    """An unguessable word for `naming`."""
    return f"tscm-tty-{_nonce()}:"


def naming(mark: str) -> str:
    """Sh source that tells, behind the mark, which terminal it has."""
    return f'printf "%s%s\\n" {quote(mark)} "$(tty)"; '


def opening_mark() -> str:
    """An unguessable word with which a script's output begins: login shells may print before it."""
    return f"tscm-out-{_nonce()}:"


def _opened(mark: str) -> str:
    return f"printf %s {quote(mark)}; " if mark else ""


def plain(script: str, *, seconds: float | None = None, mark: str = "") -> str:
    """The command line for the login user; `mark`: what both of its streams begin with."""
    both = f"{_opened(mark)}printf %s {quote(mark)} >&2; " if mark else ""
    return in_sh(script, seconds=seconds, prologue=both)


def with_sudo(
    script: str,
    marks: SudoMarks,
    *,
    password: bool,
    terminal: bool = False,
    seconds: float | None = None,
    mark: str = "",
) -> str:
    """The command line for root.

    Args:
        script: sh source that root runs.
        marks: this command's own marks.
        password: False: `sudo -n`, which never asks. True: sudo asks with `marks.prompt`, on standard error and
            standard input, or on the terminal.
        terminal: whether the command gets a pty.
        seconds: as for `in_sh`.
        mark: what its standard output begins with.
    """
    if not password:
        how = "-n"
    elif terminal:
        how = f"-k -p {quote(marks.prompt)}"
    else:
        how = f"-k -S -p {quote(marks.prompt)}"
    where = "" if terminal else " >&2"
    started = f"printf %s {quote(marks.started)}{where}; {_opened(mark)}"
    return f"env LC_ALL=C sudo {how} -- {in_sh(script, seconds=seconds, prologue=started)}"


def shown(script: str) -> str:
    """A short display form: the first line, at most 120 characters."""
    lines = script.strip().splitlines() or [""]
    text = lines[0] if len(lines) == 1 else lines[0] + " …"
    return text if len(text) <= 120 else text[:119] + "…"
