"""Build the command line that runs a script under any login shell, and find the script's output in what comes back."""

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
    started: Mark = field(default_factory=lambda: Mark("go"))


@dataclass(frozen=True)
class Mark:
    """An unguessable word that a script prints.

    The command line holds it in parts: a login that repeats the command line instead of running it, or a process list
    that shows it, does not print the word.
    """

    kind: str
    nonce: str = field(default_factory=_nonce)

    @property
    def word(self) -> str:
        """What is printed."""
        return f"tscm-{self.kind}-{self.nonce}:"

    def printed(self, more: str = "", *values: str) -> str:
        """Sh source that prints it; `more` is appended to printf's format, `values` to its arguments."""
        return f"printf tscm-%s-%s:{more} {' '.join([self.kind, self.nonce, *values])}"


@dataclass(frozen=True)
class Marks:
    """Between what a script's output stands; behind the end stands its exit status in three digits."""

    begin: Mark = field(default_factory=lambda: Mark("out"))
    end: Mark = field(default_factory=lambda: Mark("end"))

    def closing(self) -> str:
        """Sh source that follows the script."""
        end = self.end.printed("%03d", "$r")
        return f"; r=$?; {end}; {end} >&2; exit $r"


def in_sh(script: str, *, seconds: float | None = None, prologue: str = "", epilogue: str = "") -> str:
    """Give the command line that runs `script` in `sh` with LC_ALL=C.

    Args:
        script: sh source; it may hold newlines and any quoting.
        seconds: let the remote `timeout`, where there is one that knows -k (an old busybox's does not), end it after
            this many seconds (rounded up).
        prologue: sh source that runs before, outside of the time limit.
        epilogue: sh source that runs behind it, outside of the time limit, in the shell that waits for it.
    """
    leave = "" if epilogue else "exec "
    run = f'{leave}sh -c "$s"'
    if seconds is not None:
        limit = max(1, math.ceil(seconds))
        bounded = f'{leave}timeout -k {_KILL_AFTER} {limit} sh -c "$s"'
        run = f"if timeout -k 1 9 true >/dev/null 2>&1; then {bounded}; else {run}; fi"
    source = script.encode()
    if _MISREAD.search(source):
        take = 's=$(printf "$0"); '
        script = _MISREAD.sub(lambda found: b"\\%03o" % found[0][0], source.replace(b"%", b"%%")).decode()
    else:
        take = "s=$0; "
    return f"sh -c {quote(_PROLOGUE + prologue + take + run + epilogue)} {quote(script)}"


def naming(mark: Mark) -> str:
    """Sh source that tells, behind the mark, which terminal it has."""
    return mark.printed("%s\\\\n", '"$(tty)"') + "; "


def plain(script: str, *, seconds: float | None = None, marks: Marks | None = None) -> str:
    """The command line for the login user; `marks`: what both of its streams begin and end with."""
    if marks is None:
        return in_sh(script, seconds=seconds)
    begin = marks.begin.printed()
    return in_sh(script, seconds=seconds, prologue=f"{begin}; {begin} >&2; ", epilogue=marks.closing())


def with_sudo(
    script: str,
    sudo: SudoMarks,
    *,
    password: bool,
    terminal: bool = False,
    seconds: float | None = None,
    marks: Marks | None = None,
) -> str:
    """The command line for root.

    Args:
        script: sh source that root runs.
        sudo: the marks of this call of sudo.
        password: False: `sudo -n`, which never asks. True: sudo asks with `sudo.prompt`, on standard error and
            standard input, or on the terminal.
        terminal: whether the command gets a pty.
        seconds: as for `in_sh`.
        marks: what its standard output begins and ends with.
    """
    if not password:
        how = "-n"
    elif terminal:
        how = f"-k -p {quote(sudo.prompt)}"
    else:
        how = f"-k -S -p {quote(sudo.prompt)}"
    started = f"{sudo.started.printed()}{'' if terminal else ' >&2'}; "
    if marks is None:
        inner = in_sh(script, seconds=seconds, prologue=started)
    else:
        begin = f"{marks.begin.printed()}; "
        inner = in_sh(script, seconds=seconds, prologue=started + begin, epilogue=marks.closing())
    return f"env LC_ALL=C sudo {how} -- {inner}"


def shown(script: str) -> str:
    """A short display form: the first line, at most 120 characters."""
    lines = script.strip().splitlines() or [""]
    text = lines[0] if len(lines) == 1 else lines[0] + " …"
    return text if len(text) <= 120 else text[:119] + "…"


_LONGEST = 1 << 20  # bytes before a script; a login that prints more has not run it
_DIGITS = 3  # of the exit status behind the end mark


class Frame:
    """Keeps what stands between two marks.

    Args:
        begin: the mark before the output; "": it begins at once.
        end: the mark behind the output, followed by the exit status in three digits; "": there is none.

    Attributes:
        begun: whether the first mark has come.
        status: the exit status behind the end mark; None: that mark has not come.
    """

    def __init__(self, begin: str = "", end: str = "") -> None:
        self._begin, self._end = begin.encode(), end.encode()
        self._held = b""
        self._lost = False
        self.begun = not begin
        self.status: int | None = None

    @property
    def ended(self) -> bool:
        """Whether the end mark has come."""
        return self.status is not None

    def take(self, data: bytes) -> bytes:
        """Return what of `data`, and of what was held back before, belongs to the script."""
        if self.ended or self._lost:
            return b""
        data, self._held = self._held + data, b""
        if not self.begun:
            _, mark, behind = data.partition(self._begin)
            if not mark:
                self._held = data[:_LONGEST]
                self._lost = len(data) > _LONGEST
                return b""
            self.begun, data = True, behind
        return self._until_end(data) if self._end else data

    def _until_end(self, data: bytes) -> bytes:
        own, mark, behind = data.partition(self._end)
        if not mark:
            kept = _overlap(data, self._end)
            self._held = data[len(data) - kept :]
            return data[: len(data) - kept]
        if len(behind) < _DIGITS:
            self._held = data[len(own) :]
        elif behind[:_DIGITS].isdigit():  # bytes: ASCII digits only
            self.status = int(behind[:_DIGITS])
        return own

    def rest(self) -> bytes:
        """At the end of the stream: what was held back; all of the stream where the first mark never came."""
        held, self._held = self._held, b""
        return held


def _overlap(data: bytes, mark: bytes) -> int:
    """How many of the last bytes may be the beginning of the mark."""
    longest = min(len(mark) - 1, len(data))
    return next((size for size in range(longest, 0, -1) if data.endswith(mark[:size])), 0)
