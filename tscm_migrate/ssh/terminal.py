"""What a terminal would show, as plain text: incremental UTF-8, no escapes, carriage returns carried out; pure."""

from __future__ import annotations

import codecs
import re
from collections import deque

MASK = "•••"
_SHORTEST_MASKED = 4  # a shorter secret occurs by chance; its echo is removed all the same

# CSI, OSC/DCS strings (ended by BEL or ST), other two- and three-byte escapes; then single control characters.
_ESCAPE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]+[0-~]|[0-OQ-WYZ\\`-~])|[\x00-\x1f\x7f-\x9f]"
)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)$")
_ERASE_LINE = re.compile(r"\x1b\[[12]K")
_LONGEST_ESCAPE = 4096
_INVISIBLE = re.compile(r"[\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")  # would make two prompts look alike


class ScreenBuffer:
    """The text of a remote terminal since the last `mark`, bounded.

    Attributes:
        line: the unterminated last line.
    """

    def __init__(self, limit: int = 1 << 16) -> None:
        self._limit = limit
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""  # an escape whose end has not come
        self._returned = False  # a CR whose meaning the next character decides
        self._secrets: set[str] = set()
        self._echo = ""  # what the remote may be about to echo
        self._echoed = ""
        self._alone = False
        self.line = ""
        self._lines: deque[str] = deque()
        self._size = 0

    # ------------------------------------------------------------------ reading

    @property
    def lines(self) -> tuple[str, ...]:
        """The finished lines since the mark."""
        return tuple(self._lines)

    @property
    def text(self) -> str:
        """Everything since the mark."""
        return "".join(f"{line}\n" for line in self._lines) + self.line

    # ------------------------------------------------------------------ writing

    def hide(self, secret: str) -> None:
        """Never let this text be seen in what comes."""
        if len(secret) >= _SHORTEST_MASKED:
            self._secrets.add(secret)

    def mark(self, sent: str = "", *, alone: bool = False) -> None:
        """Begin a new context; `sent` is the line that was typed, its echo is taken out of what comes.

        `alone`: it was typed without Enter where the terminal echoes, so that anything may come right behind it.
        """
        self._lines.clear()
        self._size = 0
        self.line = ""
        self._returned = False
        self._echo, self._echoed = sent + "\n", ""
        self._alone = alone

    def settle(self) -> None:
        """Nothing came for a while: what looked like the beginning of an echo was one."""
        self._echo = self._echoed = ""

    def feed(self, data: bytes) -> list[str]:
        """Take bytes; the lines that they finished, as they would be shown."""
        text = self._rest + self._decode(data)
        self._rest = ""
        unfinished = _UNFINISHED.search(text)
        if unfinished and len(text) - unfinished.start() < _LONGEST_ESCAPE:
            text, self._rest = text[: unfinished.start()], text[unfinished.start() :]
        finished: list[str] = []
        at = 0
        for found in _ESCAPE.finditer(text):
            self._put(text[at : found.start()])
            self._control(found[0], finished)
            at = found.end()
        self._put(text[at:])
        return finished

    def _put(self, text: str) -> None:
        text = _INVISIBLE.sub("", text)
        if not text:
            return
        if self._echo:
            text = self._without_echo(text)
            if not text:
                return
        if self._returned:
            self.line, self._returned = "", False
        self.line = self._masked((self.line + text)[-self._limit :])

    def _without_echo(self, text: str) -> str:
        """Hold back what is the typed line coming back; give it out when it turns out to be something else."""
        seen = self._echoed + text
        if self._echo.startswith(seen):
            self._echoed = seen
            return ""
        typed = self._echo[:-1]
        self._echo = self._echoed = ""
        return seen.removeprefix(typed) if self._alone else seen

    def _control(self, code: str, finished: list[str]) -> None:
        if code == "\n":
            self._newline(finished)
        elif code == "\r":
            self._returned = True
        elif code == "\t":
            self._put("\t")
        elif code == "\b":
            self.line = self.line[:-1]
        elif _ERASE_LINE.match(code):
            self.line = ""

    def _newline(self, finished: list[str]) -> None:
        self._returned = False
        if self._echo:
            whole = self._echoed + "\n" == self._echo
            held, self._echo, self._echoed = self._echoed, "", ""
            if whole:
                return
            self.line = self._masked(self.line + held)
        finished.append(self.line)
        self._lines.append(self.line)
        self._size += len(self.line) + 1
        while self._size > self._limit and len(self._lines) > 1:
            self._size -= len(self._lines.popleft()) + 1
        self.line = ""

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text
