"""Build the command line that runs a script under any login shell, and find the script's output in what comes back."""

import math
import re
import secrets
from dataclasses import dataclass, field
from shlex import quote

# The login shell may be zsh, bash, csh or fish. So the outer command has only plain words and single-quoted text, and
# everything else runs in `sh`. sudo's secure_path lacks /usr/local/bin on RHEL, a non-interactive login lacks the sbin
# folders: both are appended to PATH, never put first.
_PROLOGUE = "LC_ALL=C; PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export LC_ALL PATH; "
# Inside single quotes csh still interprets ! and newlines, fish \\; those are sent as octal escapes.
_MISREAD = re.compile(rb"[^ -~]|[\\!]")
_KILL_AFTER = 5  # seconds between TERM and KILL on the remote side


def _nonce() -> str:
    return secrets.token_hex(8)


def _long_nonce() -> str:
    """Return a nonce for a word that is searched for in much data.

    bytes.find skips as many bytes as the word has: 1 GiB takes 0.05 s of processor time instead of 0.2.
    """
    return secrets.token_hex(40)


@dataclass(frozen=True)
class SudoMarks:
    """Two unguessable words: sudo's prompt, and the script's first output when sudo has started it.

    With them sudo's own messages need not be interpreted: the password is sent only when sudo asks for it, and
    standard input only when the script can read it.
    """

    prompt: str = field(default_factory=lambda: f"tscm-ask-{_nonce()}:")
    started: "Mark" = field(default_factory=lambda: Mark("go"))


@dataclass(frozen=True)
class Mark:
    """An unguessable word that a script prints.

    The command line has it in parts, so that a login that prints the command line instead of running it, or a process
    list, does not contain the word.
    """

    kind: str
    nonce: str = field(default_factory=_nonce)

    @property
    def word(self) -> str:
        """Return the word that is printed."""
        return f"tscm-{self.kind}-{self.nonce}:"

    def printed(self, more: str = "", *values: str) -> str:
        """Return sh source that prints the word; `more` is appended to printf's format, `values` to its arguments."""
        return f"printf tscm-%s-%s:{more} {' '.join([self.kind, self.nonce, *values])}"


@dataclass(frozen=True)
class Marks:
    """The marks before and after a script's output; the exit status follows the end mark in three digits."""

    begin: Mark = field(default_factory=lambda: Mark("out"))
    end: Mark = field(default_factory=lambda: Mark("end", _long_nonce()))

    def closing(self) -> str:
        """Return sh source that follows the script."""
        end = self.end.printed("%03d", "$r")
        return f"; r=$?; {end}; {end} >&2; exit $r"


def in_sh(script: str, *, seconds: float | None = None, prologue: str = "", epilogue: str = "") -> str:
    """Return the command line that runs `script` in `sh` with LC_ALL=C.

    Args:
        script: sh source; may contain newlines and any quoting.
        seconds: timeout (rounded up), by the remote `timeout` command if it knows -k (an old busybox's does not).
        prologue: sh source that runs before the script, outside of the timeout.
        epilogue: sh source that runs after the script, outside of the timeout, in the shell that waits for it.
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
    """Return sh source that prints the mark and the name of its terminal."""
    return mark.printed("%s\\\\n", '"$(tty)"') + "; "


def plain(script: str, *, seconds: float | None = None, marks: Marks | None = None) -> str:
    """Return the command line for the login user; `marks` are printed before and after both outputs."""
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
    """Return the command line for root.

    Args:
        script: sh source that root runs.
        sudo: the marks of this call of sudo.
        password: False: `sudo -n`, which never asks. True: sudo asks with `sudo.prompt`, on standard error and
            standard input, or on the terminal.
        terminal: whether the command gets a pty.
        seconds: as for `in_sh`.
        marks: printed before and after its standard output.
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
    """Return a short form for display: the first line, at most 120 characters."""
    lines = script.strip().splitlines() or [""]
    text = lines[0] if len(lines) == 1 else lines[0] + " …"
    return text if len(text) <= 120 else text[:119] + "…"


_LONGEST = 1 << 20  # bytes before a script's output; a login that prints more has not run the script
_DIGITS = 3  # digits of the exit status after the end mark


class Frame:
    """Extracts the output between two marks.

    Args:
        begin: the mark before the output; "" if the output begins at once.
        end: the mark after the output, followed by the exit status in three digits; "" for no mark.

    Attributes:
        begun: whether the begin mark has been received.
        status: the exit status after the end mark; None before that mark.
    """

    def __init__(self, begin: str = "", end: str = "") -> None:
        self._begin, self._end = begin.encode(), end.encode()
        self._kept_back = b""
        self._lost = False
        self.begun = not begin
        self.status: int | None = None

    @property
    def ended(self) -> bool:
        """Return whether the end mark has been received."""
        return self.status is not None

    def take(self, data: bytes) -> bytes:
        """Return the part of `data`, and of data kept back before, that is the script's output."""
        if self.ended or self._lost:
            return b""
        data, self._kept_back = self._kept_back + data, b""
        if not self.begun:
            _, mark, behind = data.partition(self._begin)
            if not mark:
                self._kept_back = data[:_LONGEST]
                self._lost = len(data) > _LONGEST
                return b""
            self.begun, data = True, behind
        return self._until_end(data) if self._end else data

    def _until_end(self, data: bytes) -> bytes:
        own, mark, behind = data.partition(self._end)
        if not mark:
            kept = _overlap(data, self._end)
            self._kept_back = data[len(data) - kept :]
            return data[: len(data) - kept]
        if len(behind) < _DIGITS:
            self._kept_back = data[len(own) :]
        elif behind[:_DIGITS].isdigit():  # bytes: ASCII digits only
            self.status = int(behind[:_DIGITS])
        return own

    def rest(self) -> bytes:
        """Return, at the end of the stream, the data kept back: the complete stream if the begin mark never came."""
        kept_back, self._kept_back = self._kept_back, b""
        return kept_back


def _overlap(data: bytes, mark: bytes) -> int:
    """Return how many of the last bytes may be the beginning of the mark."""
    longest = min(len(mark) - 1, len(data))
    return next((size for size in range(longest, 0, -1) if data.endswith(mark[:size])), 0)
