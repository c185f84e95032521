"""Clean text from outside before it is shown, written or put into an exception.

Control sequences are removed, then known secrets are blanked. A secret is looked for in every encoding that
this package or a usual program writes, and also where control sequences, line breaks or punctuation divide it.

An ordinary secret (a short one, a number, or a word of our own texts, paths or of the inventory) cannot be blanked
everywhere: that would damage our own sentences, keys and paths. It is blanked only in what `outside` is given.
"""

import base64
import binascii
import bisect
import codecs
import contextlib
import functools
import html
import json
import quopri
import re
import shlex
import unicodedata
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

BLANK = "•••"
_SHORT = 6  # a shorter form occurs by chance
_SPELLED = 8  # letters and digits of a value; fewer are in other words by chance
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
    re.compile(  # controls as repr and shells write them
        _CUTS + r"|(?:\\(?:x1b|u001b|033|e)|\^\[)\[[0-?]*[ -/]*[@-~]|\\(?:[nrtb]|x[0189][0-9a-f]|u00[0189][0-9a-f])"
        r"|\^\["
    ),
    re.compile(r"<[^<>\n]{0,40}>"),
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
        self._forms: frozenset[str] = frozenset()  # the values in every encoding; it takes long to make them
        self._long: tuple[str, ...] = ()  # values that are also searched for in rows of numbers
        self._own: frozenset[str] = frozenset()
        self._everywhere: re.Pattern[str] | None = None
        self._ordinary: re.Pattern[str] | None = None
        self._spelled: tuple[str, ...] = ()

    def add(self, value: str) -> None:
        """Blank this value from now on, in every encoding that is written anywhere."""
        if value.strip() and value not in self._values:
            self._values, self._forms = self._values | {value}, self._forms | _forms(value)
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
        if not pattern:
            return text
        return _without_numbers(self._long, pattern, _without_dumps(self._long, _blanked(pattern, text)))

    def spelled(self, text: str) -> str:
        """Return the text without each value whose letters and digits are there in order, whatever is between them."""
        if not self._spelled:
            return text
        bare = _bare(text)
        for value in self._spelled:
            if value in bare:
                text = _without_spelled(value, text)
        return text

    def ordinary(self, text: str) -> str:
        """Return the text with the ordinary values blanked, if they are words of their own and not part of a path."""
        pattern = self._ordinary
        return pattern.sub(BLANK, text) if pattern else text

    def _compile(self) -> None:
        everywhere: set[str] = set()
        ordinary: set[str] = set()
        for form in self._forms:
            (ordinary if self._is_ordinary(form) else everywhere).add(form)
        self._ordinary = _pattern(ordinary, r"(?<![\w/.-]){}(?![\w/-]|\.\w)")
        self._everywhere = _pattern(everywhere, "{}")
        self._long = tuple(value for value in self._values if len(value) >= _SHORT)
        self._spelled = tuple(form for value in self._spellable() for form in (value, value[::-1]))

    def _spellable(self) -> Iterator[str]:
        """Yield the letters and digits of each value in which they do not occur by chance."""
        ours = _bare("\0".join(self._own)) + _bare_words()
        for value in {_bare(value) for value in self._values}:
            if len(value) >= _SPELLED and not value.isdecimal() and value not in ours:
                yield value

    def _is_ordinary(self, form: str) -> bool:
        if len(form) < _SHORT or form.isdigit():
            return True
        return any(form in own for own in self._own) or form in _our_words()


def _pattern(forms: set[str], around: str) -> re.Pattern[str] | None:
    """Any of the forms, the longest first: one secret may hold another."""
    if not forms:
        return None
    tree: dict[str, Any] = {}
    for form in forms:
        at = tree
        for sign in _SIGN.findall(form):
            at = at.setdefault(sign, {})
        at[""] = {}
    return re.compile(around.format(_expression(tree)))


_SIGN = re.compile("%[0-9A-F]{2}|.", re.DOTALL)


def _expression(tree: dict[str, Any]) -> str:
    """Return the expression of a tree of forms by their characters: with a list of hundreds it would take much longer.

    A blank of the secret may be the place at which its line was broken; hex digits of a URL have either case.
    """
    branches = []
    for sign in sorted(tree, reverse=True):  # the end of a form, "", is the last
        path, below = [sign], tree[sign]
        while len(below) == 1:
            ((then, below),) = below.items()
            path.append(then)
        branches.append("".join(map(_sign, path)) + (_expression(below) if below else ""))
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"


def _sign(sign: str) -> str:
    return r"[ \t\xa0]*" if sign == " " else f"(?i:{sign})" if len(sign) > 1 else re.escape(sign)


@functools.cache
def _our_words() -> str:
    """The source of this package, in which all of its texts, keys and paths stand; the demo's apart."""
    room = Path(__file__).parents[1]
    files = [file for kind in ("*.py", "*.j2", "*.toml") for file in room.rglob(kind)]
    return "\0".join(
        file.read_text(encoding="utf-8", errors="replace") for file in files if not {"lab", "demo"} & set(file.parts)
    )


@functools.cache
def _bare_words() -> str:
    return _bare(_our_words())


_NO_LETTER = re.compile(r"[\W_]+")


def _bare(text: str) -> str:
    """Return the letters and digits of a text, without case, accents and typographic variants."""
    text = text if text.isascii() else unicodedata.normalize("NFKD", text)
    return _NO_LETTER.sub("", text.casefold())


def _without_spelled(value: str, text: str) -> str:
    """Return the text without the places whose letters and digits are this value."""
    places = [at for at, sign in enumerate(text) for _ in _bare(sign)]
    bare = "".join(map(_bare, text))
    for found in reversed([*re.finditer(re.escape(value), bare)]):
        text = text[: places[found.start()]] + BLANK + text[places[found.end() - 1] + 1 :]
    return text


def _forms(value: str) -> set[str]:
    """The value in every encoding that we, a library or an appliance's program may write."""
    found = {form for variant in _variants(value) for form in _escaped(variant)}
    found |= {value.upper(), value.lower()}  # some programs print in capitals
    return {form for form in found | _in_url(value) | _in_bases(value) | _ciphered(value) if form}


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
        html.escape(value).replace("&#x27;", "&apos;"),  # as XML writes it
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


_QUADS = (
    "".join(map(chr, (*range(48, 58), *range(65, 91), *range(97, 123)))) + "!#$%&()*+-;<=>?@^_`{|}~"
)  # of b85encode
_Z85 = str.maketrans(
    _QUADS, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".swapcase() + ".-:+=^!/*?&<>()[]{}@%$#"
)


def _uuencoded(raw: bytes) -> bytes:
    return b"".join(binascii.b2a_uu(raw[at : at + 45])[1:-1] for at in range(0, len(raw), 45))


# Each with the number of bytes that it encodes together.
_BASES: tuple[tuple[int, Callable[[bytes], bytes]], ...] = (
    (3, base64.b64encode), (5, base64.b32encode), (5, base64.b32hexencode), (4, base64.b85encode),
    (4, base64.a85encode), (3, _uuencoded),
)  # fmt: skip


def _at_any_place(raw: bytes, size: int, encode: Callable[[bytes], bytes]) -> set[str]:
    """Return the part of an encoding that is the same whatever is before and behind `raw`, for each offset."""
    found = set()
    for before in range(size):
        behind = -(before + len(raw)) % size
        one, other = (encode(sign * before + raw + sign * behind).decode() for sign in (b"\1", b"\xfe"))
        same = "".join(a if a == b else "\n" for a, b in zip(one, other, strict=True))
        found.add(max(same.split("\n"), key=len))
    return found


def _in_bases(value: str) -> set[str]:
    """Return the value in base64 and its relatives, at any place in a longer text; also in hex."""
    raw = value.encode(errors="surrogateescape")
    forms = {
        raw.hex(),
        raw.hex().upper(),
        quopri.encodestring(raw).decode(),
        base64.b32encode(raw).decode().rstrip("="),
    }
    forms |= {encode(raw).decode() for _, encode in _BASES}
    forms |= {
        re.sub(rb"[^A-Za-z0-9 ]", lambda sign: b"=%02X" % ord(sign[0]), raw).decode().replace(" ", "_")
    }  # in a header
    for size, encode in _BASES:
        forms |= _at_any_place(raw, size, encode)
    for wide in ("utf-16-le", "utf-16-be"):
        forms |= _at_any_place(value.encode(wide, errors="surrogatepass"), 3, base64.b64encode)
    twice = {
        form
        for once in _at_any_place(raw, 3, base64.b64encode)
        for form in _at_any_place(once.encode(), 3, base64.b64encode)
    }
    forms |= twice | {form.replace("+", "-").replace("/", "_") for form in forms}
    forms |= {form.lower() for form in forms if form.isupper()} | {form.translate(_Z85) for form in forms}
    return {form for form in forms if len(form) >= _SHORT}


def _ciphered(value: str) -> set[str]:
    """Return the value as programs write it that hide a text from a glance: reversed, rot13, rot47."""
    rot47 = "".join(chr(33 + (ord(sign) + 14) % 94) if "!" <= sign <= "~" else sign for sign in value)
    return {value[::-1], codecs.encode(value, "rot13"), rot47}


# Characters as numbers, as dumps, escapes and references write them: "47 72", "\\x47\\x72", "%47%72", "&#71;&#114;".
_HEX = "[0-9A-Fa-f]"
_NUMBER = (
    rf"(?:(?:\\x|%|=|0x){_HEX}{{1,2}}|\\[xu]\{{{_HEX}{{1,6}}\}}|\\u{_HEX}{{4}}|\\U{_HEX}{{8}}|[Uu]\+{_HEX}{{4,6}}|\\[0-7]{{3}}"
    rf"|&#[xX]?{_HEX}{{1,6}};?|(?<![0-9A-Za-z]){_HEX}{{2,8}}(?![0-9A-Za-z]))"
)
_NUMBERS = re.compile(
    rf"{_NUMBER}(?:[\s,:-]{{0,3}}{_NUMBER}){{{_SHORT // 2 - 1},}}"
    rf"|(?<![0-9A-Za-z]){_HEX}{{{2 * _SHORT},}}(?![0-9A-Za-z])",
    re.ASCII,
)
# Lines of hexdump, xxd and od: an offset, then numbers or characters, and perhaps the text.
_DUMP = re.compile(r"^[ \t]*[0-9A-Fa-f]{4,16}:?[ \t].*(?:\n[ \t]*[0-9A-Fa-f]{4,16}:?(?:[ \t].*)?$)*", re.MULTILINE)
_OFFSET, _TEXT = re.compile(r"^\s*[0-9A-Fa-f]+:?\s+", re.MULTILINE), re.compile(r"\s*(?:\||>|\s{2}\S).*$", re.MULTILINE)


def _without_numbers(known: tuple[str, ...], pattern: re.Pattern[str], text: str) -> str:
    """Return the text without each row of numbers that contains a value, or a form of it."""

    def checked(row: re.Match[str]) -> str:
        read = _characters(row[0])
        return BLANK if any(pattern.search(one) or any(value in one for value in known) for one in read) else row[0]

    return _NUMBERS.sub(checked, text) if known else text


def _without_dumps(known: tuple[str, ...], text: str) -> str:
    """Return the text without each dump of memory, with offsets, that contains a value."""

    def checked(dump: re.Match[str]) -> str:
        bare = _OFFSET.sub("", dump[0])
        read = [*_characters(_TEXT.sub("", bare)), "".join(line[::4] for line in bare.splitlines())]
        return BLANK if any(value in one for value in known for one in read) else dump[0]

    return _DUMP.sub(checked, text) if known else text


def _characters(row: str) -> Iterator[str]:
    """Yield the text of a row of numbers: as hexadecimal bytes, and as characters or bytes in several bases."""
    numbers = [re.sub(r"0x|[^0-9A-Fa-f]", "", number) for number in re.findall(rf"{_NUMBER}|{_HEX}+", row, re.ASCII)]
    digits = "".join(numbers)
    yield bytes.fromhex(digits[: len(digits) // 2 * 2]).decode(errors="replace")
    yield b"".join(bytes.fromhex(number)[::-1] for number in numbers if not len(number) % 2).decode(errors="replace")
    for base in (16, 10, 8, 2):
        with contextlib.suppress(ValueError, OverflowError):
            points = [int(number, base) for number in numbers]
            yield "".join(map(chr, points))
            yield bytes(points).decode(errors="replace")
    with contextlib.suppress(ValueError, OverflowError):
        yield int(digits, 2).to_bytes(len(digits) // 8).decode(errors="replace")


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
    for match in (*junk.finditer(text), None):
        piece = text[at : match.start() if match else len(text)]
        if piece:
            pieces.append(piece)
            begins.append(size)
            places.append(at)
            size += len(piece)
        at = match.end() if match else at

    def place(index: int) -> int:
        piece = bisect.bisect_right(begins, index) - 1
        return places[piece] + index - begins[piece]

    for match in reversed([*pattern.finditer("".join(pieces))]):
        if match.end() > match.start():
            text = text[: place(match.start())] + BLANK + text[place(match.end() - 1) + 1 :]
    return text


known = Redactor()  # the process's own: what one room resolves, no other room may show


def clean(text: str) -> str:
    """What may be shown or written: no control sequence, no secret that is not an ordinary word; lines stay lines."""
    return known.spelled(known(printable(known(text))))


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
