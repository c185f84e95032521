"""Dialects: the questions of one `tsadmin` as data. The loader refuses everything that is not closed. Pure.

A dialect is a TOML file of complete questions (`[[question]]`) and of lines that can be above a question without
content of its own (`[[fact]]`). A text is matched completely. It may contain slots ({ip}, {archive}, …), and references
to closed lists of phrases in `[parts]`: `<part>`, or `<part>?` if it is optional. Wildcards do not exist.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import DialectError
from tscm_migrate.tsadmin.spelling import CHOICES, take_apart

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent / "dialects"
SHIPPED = ("documented", "term-prompt", "plain-english")


class Kind(StrEnum):
    """What a question asks for."""

    ARCHIVE = "archive"  # a row of the shown list
    ARCHIVE_NAME = "archive-name"
    ARCHIVE_PATH = "archive-path"
    OFFERED_NAME = "offered-name"  # of a new archive; an empty answer accepts the offered name
    PASSPHRASE = "passphrase"  # noqa: S105 - a kind, no password
    SUDO = "sudo"
    NETWORK = "network"
    SSH = "ssh"
    CRON = "cron"
    DEVICES_EXIST = "devices-exist"
    DEVICES = "devices"
    PROCEED = "proceed"
    REBOOT = "reboot"
    ENCRYPT = "encrypt"
    OLD_OFFLINE = "old-offline"
    UNDER_WAY = "under-way"  # a restore that this run has started before
    DHCP = "dhcp"
    STATIC = "static"
    METHOD = "method"  # "dhcp" or "static", as a word
    APPLY = "apply"
    ADDRESS = "address"
    CIDR = "cidr"
    PREFIX = "prefix"
    NETMASK = "netmask"
    NETWORK_ADDRESS = "network-address"
    BROADCAST = "broadcast"
    GATEWAY = "gateway"
    DNS = "dns"
    DNS_LIST = "dns-list"
    MORE_DNS = "more-dns"
    HOSTNAME = "hostname"
    INTERFACE = "interface"
    CONFIRM = "confirm"  # the name in the question
    KEY = "key"  # "press Enter"
    PAGER = "pager"
    LITERAL = "literal"  # always the text that was taught


YES_NO = frozenset({
    Kind.NETWORK, Kind.SSH, Kind.CRON, Kind.DEVICES_EXIST, Kind.DEVICES, Kind.PROCEED, Kind.REBOOT, Kind.ENCRYPT,
    Kind.OLD_OFFLINE, Kind.UNDER_WAY, Kind.DHCP, Kind.STATIC, Kind.APPLY, Kind.MORE_DNS,
})  # fmt: skip
SECRET = frozenset({Kind.PASSPHRASE, Kind.SUDO})
NOTE, REFUSED = "note", "refused"  # kinds of facts that do not describe a question, and that an answer was refused

LABELS = (
    "Palo Alto Networks", "A10 Networks", "Cisco ASA", "Cisco ISR", "Cisco Firepower", "Fortinet Fortigate", "Infoblox NIOS",
    "Check Point", "ISC BIND 9",
)  # fmt: skip
_IP = r"(?:\d{1,3}\.){3}\d{1,3}(?!\d)"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
SLOTS = {
    "ip": _IP,
    "cidr": rf"{_IP}/\d{{1,2}}",
    "archive": r"(?:/(?:[\w.-]+/)+)?threatstop_backup_\d{4}-\d\d-\d\d_\d\d_\d\d_\d\d\.tsbak(?:\.gpg)?(?![\w.]\w)",
    "device": _NAME,
    "hostname": _NAME,
    "n": r"\d{1,6}",
    "label": "|".join(re.escape(label) for label in LABELS),
}
_WILD = re.compile(
    r"\\|\.[*+?]|[\])}>][*+]|(?<![*])[*](?![*])|\[\^|\[(?:[A-Za-z]-[A-Za-z]|0-9){1,4}\]|\(\?|\{\d*,?\d*\}|^\^|\$$|(?<=\w)\|(?=\w)|%s|[^/]\?\?|\.{4,}"
)
UNKNOWN_CHOICE = re.compile(r"[\[(<{] ?\w+(?: ?(?:/|,|\||\bor\b) ?\w+)+ ?[\])>}]$", re.ASCII)
_OPEN_CHOICE = re.compile(r"<\w+(?:[|,/]\w+)+$", re.ASCII)  # its ">" was read as the mark of a prompt
_PIECE = re.compile(r"\{(?P<slot>[^{}|,/]*)\}|<(?P<part>[^<>\s|,/]+)>|(?P<plain>[{<]\w+(?:[|,/]\w+)+[}>]?|[^{<]+|[{<])")
_QUESTION_KEYS = {
    "kind",
    "text",
    "yes",
    "does",
    "leaves",
    "answer",
    "above",
    "of",
    "ips",
    "dialogue",
    "source",
    "times",
}
_FACT_KEYS = {"kind", "text", "ips", "source"}
_ABOVE = ("any", "known", "fact", "list")
_YES = ("does", "leaves", "words")
_IPS = ("address", "here", "gateway", "netmask", "any")
_DIALOGUES = ("backup", "restore", "update", "any")


@dataclass(frozen=True)
class DialectRow:
    """One question, or one fact.

    Attributes:
        kind: what is asked for; None: what the facts above it are about (see `of`).
        text: as written in the file, without its choice.
        yes: meaning of yes: do it ("does"), leave things as they are ("leaves"), or the choice names it ("words").
        does: the answer for doing it, if that is not yes or no.
        leaves: the answer for not doing it.
        answer: of the kind `literal`.
        default: text in brackets at its end, if that is read as a default ("… or abort [A]").
        above: lines that may be above: "any", only "known" ones, or at least one "fact" of a kind in `of`; "list": the
            list of archives and nothing after it.
        ips: the roles of the addresses in it, in order; with another address it is another question.
    """

    kind: Kind | None
    text: str
    pattern: re.Pattern[str] = field(repr=False, compare=False)
    dialect: str = ""
    yes: str = "does"
    does: str | None = None
    leaves: str | None = None
    answer: str | None = None
    default: str | None = None
    above: str = "any"
    of: frozenset[str] = frozenset()
    ips: tuple[str, ...] = ()
    dialogue: str = "any"
    about: str = ""  # of a fact: its kind, "note" or "refused"

    @property
    def name(self) -> str:
        """Its name in explanations and journals."""
        return self.text or "(a bare prompt below the list)"


@dataclass(frozen=True)
class Dialect:
    """A loaded dialect: its name, its questions and its facts."""

    name: str
    questions: tuple[DialectRow, ...]
    facts: tuple[DialectRow, ...]
    choices: frozenset[str] = frozenset()  # the spellings that it uses, "" for no choice; empty: all known ones


def load(source: str | Path) -> Dialect:
    """Load a dialect: a shipped one by name, another by its file.

    Raises:
        DialectError: with the file, the row, and what is allowed there.
    """
    path = HERE / f"{source}.toml" if source in SHIPPED else Path(source)
    try:
        return parse(path.read_text(encoding="utf-8-sig"), str(path), path.stem)
    except OSError as error:
        raise DialectError(f"cannot be read: {error.strerror}", "name an existing file", file=str(path)) from error
    except UnicodeDecodeError as error:
        raise DialectError("is not UTF-8 text", "save it as UTF-8", file=str(path)) from error


def parse(text: str, file: str, name: str) -> Dialect:
    """Parse the text of a dialect file.

    Raises:
        DialectError: see `load`.
    """
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise DialectError(f"not valid TOML: {error}", "correct that line", file=file) from error
    return _Loader(data, file, name).dialect()


class _Loader:
    """Loads one file row by row."""

    def __init__(self, data: dict[str, Any], file: str, name: str) -> None:
        self.data, self.file, self.name = data, file, name
        self.parts: dict[str, list[str]] = {}

    def dialect(self) -> Dialect:
        self._keys(self.data, {"parts", "question", "fact", "choices", "words_of"}, "the file")
        choices = self._list(self.data, "choices", ("", *CHOICES), "choices")
        self._load_parts()
        questions = [row for at, table in self._tables("question") for row in self._question(table, at)]
        facts = [row for at, table in self._tables("fact") for row in self._fact(table, at)]
        if "words_of" in self.data:
            same = load(self._one_of(self.data, "words_of", SHIPPED, "words_of"))
            questions += [replace(row, dialect=self.name) for row in same.questions]
            facts += [replace(row, dialect=self.name) for row in same.facts]
        return Dialect(self.name, tuple(questions), tuple(facts), frozenset(choices))

    def _load_parts(self) -> None:
        parts = self.data.get("parts", {})
        for part, phrases in parts.items() if isinstance(parts, dict) else ():
            self.parts[part] = self._texts(phrases, f"part {part!r}")
        for part, texts in self.parts.items():
            for text in texts:
                self._pattern(text, f"part {part!r}", (part,))

    def _fail(self, problem: str, at: str, fix: str) -> DialectError:
        return DialectError(problem, fix, file=self.file, row=at)

    def _keys(self, table: dict[str, Any], allowed: set[str], at: str) -> None:
        if unknown := sorted(set(table) - allowed):
            raise self._fail(f"unknown key {unknown[0]!r}", at, f"keys are: {', '.join(sorted(allowed))}")

    def _tables(self, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
        rows = self.data.get(key, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self._fail("is not a list of rows", key, f"begin each row with [[{key}]]")
        for number, row in enumerate(rows, 1):
            yield f"{key} row {number}", row

    def _texts(self, value: object, at: str) -> list[str]:
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise self._fail("has no text", at, 'set text = "the complete question", or a list of such texts')
        return texts

    def _one_of(self, table: dict[str, Any], key: str, allowed: tuple[str, ...], at: str) -> str:
        value = table.get(key, allowed[0])
        if value not in allowed:
            raise self._fail(f"{key} = {value!r}", at, f"{key} is one of: {', '.join(allowed)}")
        return str(value)

    def _question(self, table: dict[str, Any], at: str) -> Iterator[DialectRow]:
        self._keys(table, _QUESTION_KEYS, at)
        kinds = tuple(Kind)
        of = self._list(table, "of", kinds, at)
        kind = None if of else Kind(self._one_of({"kind": "", **table}, "kind", kinds, at))
        above = self._one_of({"above": "fact" if of else "any", **table}, "above", _ABOVE, at)
        typed = {key: self._typed(table, key, at) for key in ("does", "leaves", "answer")}
        if (kind is Kind.LITERAL) != (typed["answer"] is not None):
            raise self._fail(
                "answer belongs to the kind literal", at, 'give kind = "literal" and answer = "…", or neither'
            )
        own: dict[str, Any] = {
            "yes": self._one_of(table, "yes", _YES, at), "above": above, "of": frozenset(of), **typed,
            "ips": self._list(table, "ips", _IPS, at), "dialogue": self._one_of({"dialogue": "any", **table}, "dialogue", _DIALOGUES, at),
        }  # fmt: skip
        free = kind in (Kind.LITERAL, Kind.METHOD) or typed["does"] is not None or typed["leaves"] is not None
        for text in self._texts(table.get("text"), at):
            words = self._words(text, at, free=free)
            if not words and kind is not Kind.ARCHIVE:
                raise self._fail(
                    "a question without words would match every question", at, 'only kind = "archive" may have one'
                )
            pattern = self._pattern(words, at)
            if kind is Kind.CONFIRM and "hostname" not in words:
                raise self._fail("the kind confirm answers with the name in the question", at, "put {hostname} into it")
            yield DialectRow(kind, words, pattern, self.name, default=take_apart(text).default, **own)

    def _fact(self, table: dict[str, Any], at: str) -> Iterator[DialectRow]:
        self._keys(table, _FACT_KEYS, at)
        about = self._one_of({"kind": NOTE, **table}, "kind", (NOTE, REFUSED, *YES_NO), at)
        ips = self._list(table, "ips", _IPS, at)
        for text in self._texts(table.get("text"), at):
            words = " ".join(text.split()).rstrip(" .!")
            yield DialectRow(None, words, self._pattern(words, at), self.name, about=about, ips=ips)

    def _list(self, table: dict[str, Any], key: str, allowed: tuple[str, ...], at: str) -> tuple[str, ...]:
        values = table.get(key, [])
        for value in values if isinstance(values, list) else [values]:
            if value not in allowed:
                raise self._fail(f"{key} = {value!r}", at, f"known are: {'  '.join(map(repr, allowed))}")
        return tuple(values)

    def _typed(self, table: dict[str, Any], key: str, at: str) -> str | None:
        value = table.get(key)
        if value is not None and (not isinstance(value, str) or not value.isprintable()):
            raise self._fail(f"{key} is not a line of text", at, "give the text to type, without Enter")
        return value

    def _words(self, text: str, at: str, *, free: bool) -> str:
        """Return the text of a question without its choice, which must be a known one."""
        if any(f"<{part}>" in text for part in self.parts):
            return " ".join(text.split()).rstrip(" :.")
        self._closed(text, at)
        asked = take_apart(text)
        if not free and UNKNOWN_CHOICE.search(asked.words):
            raise self._fail(f"the choice at the end of {text!r} is not known", at, f"known are: {'  '.join(CHOICES)}")
        return asked.words

    def _closed(self, text: str, at: str) -> None:
        """Refuse characters that look like a wildcard."""
        text = _OPEN_CHOICE.sub(
            "", UNKNOWN_CHOICE.sub("", text.rstrip(" \t:=?."))
        )  # words to choose from are literal: "{aye|nay}"
        unknown = [f"<{part}>" for part in re.findall(r"<(\w[\w-]*)>", text) if part not in self.parts]
        if wild := next((found[0] for found in _WILD.finditer(text)), next(iter(unknown), "")):
            raise self._fail(
                f"{wild!r} in {text!r} is not allowed", at,
                f"write the complete question; only slots can vary: {' '.join('{' + s + '}' for s in SLOTS)}",
            )  # fmt: skip

    def _pattern(self, text: str, at: str, within: tuple[str, ...] = ()) -> re.Pattern[str]:
        """Return the regular expression of one text; everything in it is literal except slots and parts."""
        names: list[str] = []
        try:
            return re.compile(self._sequence(text, at, names, within), re.IGNORECASE | re.ASCII)
        except re.error as error:  # pragma: no cover - every piece is escaped
            raise self._fail(f"cannot be compiled: {error}", at, "write the complete question") from error

    def _sequence(self, text: str, at: str, names: list[str], within: tuple[str, ...]) -> str:
        self._closed(text, at)
        made, begun = "", False
        for token in text.split():
            optional = token.startswith("<") and token.endswith(">?") and token.count("<") == 1
            piece = self._token(token[:-1] if optional else token, at, names, within)
            if optional:
                made += f"(?: {piece})?" if begun else f"(?:{piece} )?"
            else:
                made += f" {piece}" if begun else piece
                begun = True
        return made

    def _token(self, token: str, at: str, names: list[str], within: tuple[str, ...]) -> str:
        made = ""
        for piece in _PIECE.finditer(token):
            if piece["slot"] is not None:
                made += self._slot(piece["slot"], at, names)
            elif piece["part"] is not None and piece["part"] in self.parts:
                if piece["part"] in within:
                    raise self._fail(f"<{piece['part']}> contains itself", at, "a part must not contain itself")
                alternatives = (
                    self._sequence(text, at, names, (*within, piece["part"])) for text in self.parts[piece["part"]]
                )
                made += f"(?:{'|'.join(alternatives)})"
            elif piece["part"] is not None:
                raise self._fail(
                    f"there is no part <{piece['part']}>", at, f"parts are: {', '.join(self.parts) or 'none'}"
                )
            elif piece["plain"] == "{":
                raise self._fail(
                    f"a lone {piece['plain']!r}", at, f"slots are: {' '.join('{' + s + '}' for s in SLOTS)}"
                )
            else:
                made += re.escape(piece["plain"])
        return made

    def _slot(self, slot: str, at: str, names: list[str]) -> str:
        if slot not in SLOTS:
            raise self._fail(f"unknown slot {{{slot}}}", at, f"slots are: {' '.join('{' + s + '}' for s in SLOTS)}")
        names.append(slot)
        return f"(?P<{slot}_{len(names)}>{SLOTS[slot]})"


def slots_of(match: re.Match[str]) -> dict[str, list[str]]:
    """Return the text in each slot of a matched question, by slot, in order."""
    found: dict[str, list[str]] = {}
    for name, value in match.groupdict().items():
        if value is not None:
            found.setdefault(name.rpartition("_")[0], []).append(value)
    return found
