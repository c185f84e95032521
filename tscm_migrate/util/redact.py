"""Clean text from outside before it is shown, written or put into an exception.

Control sequences are removed, then known secrets are blanked. A secret is looked for in every encoding that
this package writes, and also where control sequences or line breaks cut it.

An ordinary secret (a short one, a number, or a word of our own texts, paths or of the inventory) cannot be blanked
everywhere: that would damage our own sentences, keys and paths. It is blanked only in what `outside` is given.
"""

from __future__ import annotations

import base64
import bisect
import contextlib
import functools
import html
import json
import quopri
import re
import shlex
import unicodedata
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

BLANK = "•••"
_SHORT = 6  # a shorter form occurs by chance
_SEQUENCE = (
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS: titles, clipboard
    r"|\x1b[ -/]*[0-~]?"
)
# Single controls; then what has no width or changes the direction of writing.
_SINGLE = (
    r"[\x00-\x07\x0b-\x1f\x7f-\x9f]"
    r"|[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u3164\uffa0\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb\ud800-\udfff"
    r"\U000e0000-\U000e0fff]"
)
_ESCAPES, _CONTROL = re.compile(_SEQUENCE), re.compile(f"{_SEQUENCE}|{_SINGLE}")
_BACKSPACE = re.compile(r"[^\x08\n]\x08")
# What may cut a secret into pieces: the same and line breaks with their indentation; then also as repr writes them.
_CUTS = rf"{_SEQUENCE}|{_SINGLE}|\x08|(?<![ \t])[ \t]*\n[ \t]*"
_JUNK = (
    re.compile(_CUTS),
    re.compile(_CUTS + r"|\\(?:x1b|u001b)\[[0-?]*[ -/]*[@-~]|\\(?:[nrtb]|x[0189][0-9a-f]|u00[0189][0-9a-f])"),
)
_NOT_PLAIN = re.compile(r"[^\w@%+=:,./-]", re.ASCII)
_BREAK = re.compile(r"\s*[\n\t]\s*")


def printable(text: str) -> str:
    """Text without control sequences, for a terminal or a log; newlines and tabs stay, backspaces are carried out.

    Also drops what is invisible or reverses the direction of writing: an appliance's words are hostile input.
    """
    if text.isascii() and text.isprintable():  # most texts: none of what follows is in them
        return text
    text = _ESCAPES.sub("", text.replace("\r\n", "\n"))
    while "\b" in text:
        shorter = _BACKSPACE.sub("", text)
        text = shorter if shorter != text else text.replace("\b", "")
    return _CONTROL.sub("", text)


class Redactor:
    """Replaces every registered value; safe to use from several threads."""

    def __init__(self) -> None:
        self._values: frozenset[str] = frozenset()
        self._own: frozenset[str] = frozenset()
        self._everywhere: re.Pattern[str] | None = None
        self._ordinary: re.Pattern[str] | None = None

    def add(self, value: str) -> None:
        """Blank this value from now on, in every encoding that is written anywhere."""
        if value.strip():
            self._values |= {value}
            self._compile()

    def spare(self, *texts: str) -> None:
        """Count these as our own words: names, addresses and paths of the inventory."""
        own = self._own | {text for text in texts if text}
        if own != self._own:
            self._own = own
            self._compile()

    def holds(self, value: str) -> bool:
        """Return whether this text is one of the values."""
        return value in self._values

    def __call__(self, text: str) -> str:
        """The text with every value blanked that is not an ordinary word."""
        pattern = self._everywhere
        return _without_numbers(self._values, _blanked(pattern, text)) if pattern else text

    def ordinary(self, text: str) -> str:
        """Return the text with the ordinary values blanked, if they are words of their own and not part of a path."""
        pattern = self._ordinary
        return pattern.sub(BLANK, text) if pattern else text

    def _compile(self) -> None:
        everywhere: set[str] = set()
        ordinary: set[str] = set()
        for form in {form for value in self._values for form in _forms(value)}:
            (ordinary if self._is_ordinary(form) else everywhere).add(form)
        self._ordinary = _pattern(ordinary, r"(?<![\w/.-]){}(?![\w/-]|\.\w)")
        self._everywhere = _pattern(everywhere, "{}")

    def _is_ordinary(self, form: str) -> bool:
        if len(form) < _SHORT or form.isdigit():
            return True
        return any(form in own for own in self._own) or form in _our_words()


def _pattern(forms: set[str], around: str) -> re.Pattern[str] | None:
    """Any of the forms, the longest first: one secret may hold another."""
    if not forms:
        return None
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    return re.compile(around.format("(?:" + "|".join(map(_expression, longest_first)) + ")"))


def _expression(form: str) -> str:
    """A blank of the secret may be the place at which its line was broken; hex digits of a URL have either case."""
    text = re.escape(form).replace(r"\ ", r"[ \t\xa0]*")
    return re.sub("%[0-9A-F]{2}", lambda found: f"(?i:{found[0]})", text)


@functools.cache
def _our_words() -> str:
    """The source of this package, in which all of its texts, keys and paths stand; the demo's apart."""
    room = Path(__file__).parents[1]
    files = [file for kind in ("*.py", "*.j2", "*.toml") for file in room.rglob(kind)]
    return "\0".join(
        file.read_text(encoding="utf-8", errors="replace") for file in files if not {"lab", "demo"} & set(file.parts)
    )


def _forms(value: str) -> set[str]:
    """The value in every encoding that we, a library or an appliance's program may write."""
    found = {form for variant in _variants(value) for form in _escaped(variant)}
    found |= {value.upper(), value.lower()}  # some programs print in capitals
    return {form for form in found | _in_url(value) | _in_base64(value) if form}


def _variants(value: str) -> set[str]:
    """The same text as Unicode composes it otherwise, without what is invisible, and encoded twice as Perl may do."""
    raw = value.encode(errors="surrogateescape")
    found = {value, unicodedata.normalize("NFC", value), unicodedata.normalize("NFD", value)}
    found |= {raw.decode("latin-1"), raw.decode("cp1252", errors="replace"), repr(raw)[2:-1]}
    found |= {value.encode("ascii", errors="xmlcharrefreplace").decode()}
    return found | {printable(text) for text in found}


def _escaped(value: str) -> set[str]:
    quoted = shlex.quote(value)
    marked = functools.reduce(lambda text, pair: text.replace(*pair), _MARKUP, value)  # as markupsafe and jinja2 do
    texts = {
        value,
        quoted[1:-1] if quoted.startswith("'") else quoted,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        repr("'\"" + value)[4:-1],  # in a text that has both kinds of quotes
        ascii(value)[1:-1],
        _NOT_PLAIN.sub(r"\\\g<0>", value),  # as bash's printf %q does
        re.sub(r"\W", r"\\\g<0>", value),  # as Perl's quotemeta does
    }
    texts |= {json.dumps(text)[1:-1] for text in texts} | {repr(text)[1:-1] for text in texts}
    texts |= {html.escape(text, quote=quote) for text in texts for quote in (True, False)}
    return (
        texts | {functools.reduce(lambda text, pair: text.replace(*pair), _MARKUP, text) for text in texts} | {marked}
    )


_MARKUP = (("&", "&amp;"), (">", "&gt;"), ("<", "&lt;"), ("'", "&#39;"), ('"', "&#34;"))


def _in_url(value: str) -> set[str]:
    found = {
        urllib.parse.quote(value, safe=safe, errors="surrogateescape") for safe in ("", "/", "!'()*", "/~:@!$&'()*+,;=")
    }
    found |= {urllib.parse.quote_plus(value, errors="surrogateescape")}
    return found | {urllib.parse.quote(form) for form in found}  # as a part of another address


def _in_base64(value: str) -> set[str]:
    """Return the part of its base64 that is the same at any place in a longer text; also its hex and base32."""
    raw = value.encode(errors="surrogateescape")
    found = {
        raw.hex(),
        raw.hex().upper(),
        base64.b32encode(raw).decode().rstrip("="),
        quopri.encodestring(raw).decode(),
    }
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        end = len(encoded) - (1 if (before + len(raw)) % 3 else 0)
        found |= {encoded[(0, 2, 3)[before] : end]}
    found |= {form.replace("+", "-").replace("/", "_") for form in found}
    return {form for form in found if len(form) >= _SHORT}


# Characters as numbers, as dumps, escapes and references write them: "47 72", "\\x47\\x72", "%47%72", "&#71;&#114;".
_HEX = "[0-9A-Fa-f]"
_NUMBER = (
    rf"(?:(?:\\x|%|0x){_HEX}{{2}}|\\u{_HEX}{{4}}|\\[0-7]{{3}}|&#[xX]?{_HEX}{{1,6}};|(?<![0-9A-Za-z])"
    rf"{_HEX}{{2,8}}(?![0-9A-Za-z]))"
)
_NUMBERS = re.compile(rf"{_NUMBER}(?:[ ,:-]{{0,2}}{_NUMBER}){{{_SHORT // 2 - 1},}}", re.ASCII)


def _without_numbers(values: frozenset[str], text: str) -> str:
    """Return the text without each row of numbers that contains a value."""
    known = [value for value in values if len(value) >= _SHORT]

    def checked(row: re.Match[str]) -> str:
        return BLANK if any(value in read for read in _characters(row[0]) for value in known) else row[0]

    return _NUMBERS.sub(checked, text) if known else text


def _characters(row: str) -> Iterator[str]:
    """Yield the text of a row of numbers: as hexadecimal bytes, and as characters or bytes in base 16, 10 and 8."""
    numbers = [re.sub(r"0x|[^0-9A-Fa-f]", "", number) for number in re.findall(_NUMBER, row, re.ASCII)]
    digits = "".join(numbers)
    yield bytes.fromhex(digits[: len(digits) // 2 * 2]).decode(errors="replace")
    for base in (16, 10, 8):
        with contextlib.suppress(ValueError, OverflowError):
            points = [int(number, base) for number in numbers]
            yield "".join(map(chr, points))
            yield bytes(points).decode(errors="replace")


def _blanked(pattern: re.Pattern[str], text: str) -> str:
    """The text without what the pattern finds, also where junk lies between its characters."""
    text = pattern.sub(BLANK, text)
    for junk in _JUNK:
        text = _blanked_over(junk, pattern, text)
    return text


def _blanked_over(junk: re.Pattern[str], pattern: re.Pattern[str], text: str) -> str:
    if not junk.search(text):
        return text
    pieces, begins, places = [], [], []  # texts between junk; where each begins without the junk, and with it
    at = size = 0
    for found in (*junk.finditer(text), None):
        piece = text[at : found.start() if found else len(text)]
        if piece:
            pieces.append(piece)
            begins.append(size)
            places.append(at)
            size += len(piece)
        at = found.end() if found else at

    def place(index: int) -> int:
        piece = bisect.bisect_right(begins, index) - 1
        return places[piece] + index - begins[piece]

    for found in reversed([*pattern.finditer("".join(pieces))]):
        if found.end() > found.start():
            text = text[: place(found.start())] + BLANK + text[place(found.end() - 1) + 1 :]
    return text


known = Redactor()  # the process's own: what one room resolves, no other room may show


def clean(text: str) -> str:
    """What may be shown or written: no control sequence, no secret that is not an ordinary word; lines stay lines."""
    return known(printable(known(text)))


def one_line(text: str) -> str:
    """A text whose line breaks and tabs are blanks, so that no part of it can look like a line of this tool."""
    return _BREAK.sub(" ", text)


def outside(text: str, most: int = 1 << 16, *, lines: bool = False) -> str:
    """A value that comes from an appliance, a store or a command, to be put into a text of this tool.

    Args:
        text: as it came.
        most: characters.
        lines: keep line breaks; else it becomes one line, so that it cannot look like a line of this tool.
    """
    text = known.ordinary(clean(text))
    text = text if lines else one_line(text).strip()
    return text if len(text) <= most else text[:most] + " …"


def tree(value: Any) -> Any:
    """Data for a journal, an event or JSON: every text in it `clean`, the shape as it was."""
    if isinstance(value, str):
        return clean(value) if type(value) is str else value
    if isinstance(value, dict):
        return {tree(key): tree(one) for key, one in value.items()}
    if isinstance(value, list):
        return [tree(one) for one in value]
    if type(value) is tuple:
        return tuple(tree(one) for one in value)
    return value
