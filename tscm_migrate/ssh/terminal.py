"""Convert terminal output to plain text: incremental UTF-8, without escape sequences, carriage returns applied."""

import codecs
import re
from collections import deque

MASK = "•••"
_SHORTEST_MASKED = 4  # a shorter secret occurs by chance; its echo is removed anyway

# CSI, OSC and DCS strings (ended by BEL or ST), other escapes of two or three bytes, then single control characters.
_ESCAPE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]+[0-~]|[0-OQ-WYZ\\`-~])|[\x00-\x1f\x7f-\x9f]"
)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)$")
_ERASE_LINE = re.compile(r"\x1b\[[12]K")
_LONGEST_ESCAPE = 4096
_INVISIBLE = re.compile(r"[\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")  # two different prompts would look the same


class ScreenBuffer:
    """The text of a remote terminal since the last `mark`, with a size limit.

    Attributes:
        line: the unterminated last line.
    """

    def __init__(self, limit: int = 1 << 16) -> None:
        self._limit = limit
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""  # an incomplete escape sequence
        self._returned = False  # a CR whose meaning depends on the next character
        self._secrets: set[str] = set()
        self._echo = ""  # what the remote program may echo next
        self._echoed = ""
        self._alone = False
        self.line = ""
        self._lines: deque[str] = deque()
        self._size = 0

    # ------------------------------------------------------------------ reading

    @property
    def lines(self) -> tuple[str, ...]:
        """Return the finished lines since the mark."""
        return tuple(self._lines)

    @property
    def text(self) -> str:
        """Return all text since the mark."""
        return "".join(f"{line}\n" for line in self._lines) + self.line

    # ------------------------------------------------------------------ writing

    def hide(self, secret: str) -> None:
        """Mask this text in all further output."""
        if len(secret) >= _SHORTEST_MASKED:
            self._secrets.add(secret)

    def mark(self, sent: str = "", *, alone: bool = False) -> None:
        """Begin a new context; the echo of the typed line `sent` is removed from the output that follows.

        `alone`: it was typed without Enter on a terminal that echoes, so that output may follow it on the same line.
        """
        self._lines.clear()
        self._size = 0
        self.line = ""
        self._returned = False
        self._echo, self._echoed = sent + "\n", ""
        self._alone = alone

    def settle(self) -> None:
        """Treat a partial echo as complete, because no output has followed it for a while."""
        self._echo = self._echoed = ""

    def feed(self, data: bytes) -> list[str]:
        """Process bytes; return the lines that they completed, as a terminal would show them."""
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
        """Keep back the echo of the typed line; return it if it turns out to be other text."""
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
            typed, self._echo, self._echoed = self._echoed, "", ""
            if whole:
                return
            self.line = self._masked(self.line + typed)
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
