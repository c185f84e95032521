"""Known secrets are replaced in every encoding and division; output of an appliance cannot control the terminal."""

from __future__ import annotations

import base64
import binascii
import codecs
import dataclasses
import functools
import html
import importlib
import inspect
import json
import os
import pkgutil
import quopri
import re
import shlex
import subprocess
import sys
import textwrap
import traceback
import unicodedata
import urllib.parse
from typing import TYPE_CHECKING, Any

import markupsafe
import pytest

import tscm_migrate
from tscm_migrate import errors, events
from tscm_migrate.model import Secret
from tscm_migrate.util import redact
from tscm_migrate.util.redact import BLANK, Redactor, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECRETS = [
    "correct horse battery staple",
    "p'ä\"s & <w>/%\\",
    "Zk3!vq9`Lw$(id)",
    "tränen+lachen=ß/ö",
    "a\\nb\\x1bc-K7",
    "Qx7-" * 12,
    "zw\u200djo\u00adin-K9",  # with invisible characters, which are removed from output
]

ENCODINGS = {
    "raw": str,
    "json": json.dumps,
    "json, not ascii": lambda s: json.dumps(s, ensure_ascii=False),
    "json in json": lambda s: json.dumps(json.dumps({"said": s})),
    "repr": repr,
    "repr of both quotes": lambda s: repr(f'it\'s "{s}"'),
    "ascii": ascii,
    "repr in json": lambda s: json.dumps(repr(s)),
    "repr in repr": lambda s: repr(repr(s)),
    "shell": shlex.quote,
    "markupsafe": lambda s: str(markupsafe.escape(s)),
    "html": html.escape,
    "html without quotes": lambda s: html.escape(s, quote=False),
    "repr in html": lambda s: str(markupsafe.escape(repr(s))),
    "url": urllib.parse.quote,
    "url, all of it": lambda s: urllib.parse.quote(s, safe=""),
    "url, lower case": lambda s: urllib.parse.quote(s, safe="").replace("%C3", "%c3"),
    "form": urllib.parse.quote_plus,
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 of a header": lambda s: "Basic " + base64.b64encode(f"u:{s}".encode()).decode(),
    "base64 at another place": lambda s: base64.b64encode(f"us:{s}\r\n".encode()).decode(),
    "base64 for urls": lambda s: base64.urlsafe_b64encode(f"us{s}".encode()).decode(),
    "base64 in lines": lambda s: "\n".join(textwrap.wrap(base64.b64encode((s * 3).encode()).decode(), 20)),
    "hex": lambda s: s.encode().hex(),
    "hex, by bytes": lambda s: s.encode().hex(" "),
    "hex, by pairs": lambda s: s.encode().hex(" ", -2),
    "hex, as in C": lambda s: ", ".join(f"0x{one:02X}" for one in s.encode()),
    "hex, with colons": lambda s: s.encode().hex(":"),
    "octal, as od": lambda s: " ".join(f"{one:03o}" for one in s.encode()),
    "octal escapes": lambda s: "".join(f"\\{one:03o}" for one in s.encode()),
    "decimal bytes": lambda s: " ".join(map(str, s.encode())),
    "every byte escaped": lambda s: "".join(f"\\x{one:02x}" for one in s.encode()),
    "every character escaped": lambda s: "".join(f"\\u{ord(one):04X}" for one in s),
    "url, every byte": lambda s: "".join(f"%{one:02X}" for one in s.encode()),
    "url in a url": lambda s: urllib.parse.quote(urllib.parse.quote(s)),
    "a reference each": lambda s: "".join(f"&#{ord(one)};" for one in s),
    "a hex reference each": lambda s: "".join(f"&#x{ord(one):x};" for one in s),
    "quotemeta": lambda s: re.sub(r"(\W)", r"\\\1", s),
    "quoted-printable": lambda s: quopri.encodestring(s.encode()).decode().replace("=\n", ""),
    "base32": lambda s: base64.b32encode(s.encode()).decode().rstrip("="),
    "capitals": str.upper,
    "bytes": lambda s: repr(s.encode()),
    "decomposed": lambda s: unicodedata.normalize("NFD", s),
    "UTF-8 encoded twice": lambda s: s.encode().decode("latin-1"),
    "references": lambda s: s.encode("ascii", errors="xmlcharrefreplace").decode(),
    "printf %q": lambda s: re.sub(r"([^\w@%+=:,./-])", r"\\\1", s, flags=re.ASCII),
}

DIVISIONS = {
    "colours": "\x1b[31m".join,
    "eight-bit CSI": "\x9b1m".join,
    "titles": "\x1b]0;x\x07".join,
    "carriage returns": "\r".join,
    "NUL": "\0".join,
    "zero width": "\u200b".join,
    "soft hyphens": "\u00ad".join,
    "overstruck": lambda s: "".join(f"{sign}\b{sign}" for sign in s),
    "typed wrong": lambda s: s[:3] + "x\b" + s[3:],
    "stepped back": lambda s: s[:4] + "\b\b" + s[2:],
    "wrapped": lambda s: "\n".join(textwrap.wrap(s, 7, drop_whitespace=False)) if " " not in s else s[:5] + "\n" + s[5:],
    "wrapped, CRLF": lambda s: s[:5] + "\r\n" + s[5:],
    "wrapped and indented": lambda s: s[:5] + "\n      " + s[5:],
    "wrapped behind a blank": lambda s: s[:5] + " \n  " + s[5:],
    "folded at a blank": lambda s: s.replace(" ", "\n  ", 1),
    "controls as repr": lambda s: repr("\x1b[1m".join(s)),
}  # fmt: skip


def delimiters(encoding: str) -> set[str]:
    """Return what an encoding may add around a text: its quotes, which depend on the quotes in the text."""
    encode = ENCODINGS[encoding]
    added = {"", encode(""), re.sub("'|&#39;|&#x27;", "", encode("'"))}
    return added | {r"'\'\''", "'\"\"'"} if encoding == "repr in repr" else added


def pieces(secret: str) -> list[str]:
    """Return parts of a secret from which it can be guessed."""
    return [secret, secret[:-1], secret[1:], secret[3:]]


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Redactor:
    fresh = Redactor()
    monkeypatch.setattr(redact, "known", fresh)
    return fresh


@functools.cache
def redactor_of(secret: str) -> Redactor:
    """Return a redactor that knows one secret; its patterns are made once for all tests, which takes longer than using them."""
    made = Redactor()
    made.add(secret)
    return made


@pytest.fixture
def knows(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let this process know one secret and no other."""
    return lambda secret: monkeypatch.setattr(redact, "known", redactor_of(secret))


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_secret_is_replaced_in_each_encoding(knows: Callable[[str], None], secret: str, encoding: str) -> None:
    knows(secret)
    form = ENCODINGS[encoding](secret)
    shown = redact.clean(f"before {form} after")
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert BLANK in shown
    left = shown.replace(BLANK, "").removeprefix("before ").removesuffix(" after")
    if "base64" in encoding:
        assert len(left) <= len(ENCODINGS[encoding]("")) + 14, (
            f"{left!r}: the first and last characters of base64 depend on the text around it"
        )
    else:
        assert left in delimiters(encoding), "a character of the secret is left at its start or end"


@pytest.mark.parametrize("encoding", [name for name in ENCODINGS if "base64" not in name])
def test_first_and_last_character_are_replaced_in_each_encoding(knows: Callable[[str], None], encoding: str) -> None:
    """Also where they are escaped: a remaining backslash would show which character followed it."""
    for edge in ('"', "'", "\\", "é", "&", "\n"):
        secret = f"{edge}Mz4-kite{edge}"
        knows(secret)
        shown = redact.clean(ENCODINGS[encoding](secret)).strip()
        assert shown.replace(BLANK, "") in delimiters(encoding), (
            f"{shown}: more than the quotes of the encoding is left"
        )


def dumped(raw: bytes, width: int, line: str = "{at:08x}  {hexes}  |{text}|") -> str:
    """Return a dump as hexdump and its relatives print it, with numbers of `width` bytes."""
    rows = [raw[at : at + 16] for at in range(0, len(raw), 16)]
    texts = ["".join(chr(one) if 32 <= one < 127 else "." for one in row) for row in rows]
    pairs = enumerate(zip(rows, texts, strict=True))
    return "\n".join(line.format(at=16 * n, hexes=row.hex(" ", -width), text=text) for n, (row, text) in pairs)


def swapped(raw: bytes) -> str:
    """Return 16-bit numbers of a little-endian machine, as `od -x` prints them."""
    even = raw + b"\0" * (len(raw) % 2)
    return " ".join(even[at : at + 2][::-1].hex() for at in range(0, len(even), 2))


# What a program on an appliance may print if it does not print the text: each hides the secret from a glance only.
DISGUISES: dict[str, Callable[[str], str]] = {
    "reversed": lambda s: s[::-1],
    "rot13": lambda s: codecs.encode(s, "rot13"),
    "base85": lambda s: base64.b85encode(s.encode()).decode(),
    "base85 at another place": lambda s: base64.b85encode(f"pw:{s}\n".encode()).decode(),
    "ascii85": lambda s: base64.a85encode(f"p:{s}\n".encode()).decode(),
    "base32 at another place": lambda s: base64.b32encode(f"pw:{s}\n".encode()).decode(),
    "base32, lower case": lambda s: base64.b32encode(s.encode()).decode().lower(),
    "base32hex": lambda s: base64.b32hexencode(s.encode()).decode(),
    "uuencode": lambda s: binascii.b2a_uu(f"p:{s}".encode()).decode(),
    "base64 of UTF-16": lambda s: base64.b64encode(s.encode("utf-16-le")).decode(),
    "base64 twice": lambda s: base64.b64encode(base64.b64encode(s.encode())).decode(),
    "hex of base64": lambda s: base64.b64encode(s.encode()).hex(),
    "quoted-printable, every byte": lambda s: "".join(f"={one:02X}" for one in s.encode()),
    "a header": lambda s: re.sub("[^A-Za-z0-9 ]", lambda sign: f"={ord(sign[0]):02X}", s).replace(" ", "_"),
    "hexdump": lambda s: dumped(s.encode(), 1),
    "xxd": lambda s: dumped(s.encode(), 2, "{at:08x}: {hexes}  {text}"),
    "od of characters": lambda s: f"0000000{''.join(f'   {sign}' for sign in s[:16])}\n0000020{'   '.join(['', *s[16:]])}",
    "little-endian": lambda s: swapped(s.encode()),
    "binary": lambda s: " ".join(f"{one:08b}" for one in s.encode()),
    "binary without blanks": lambda s: "".join(f"{one:08b}" for one in s.encode()),
    "braced escapes": lambda s: "".join(f"\\u{{{ord(sign):x}}}" for sign in s),
    "code points": lambda s: " ".join(f"U+{ord(sign):04X}" for sign in s),
    "spaced": " ".join,
    "a list": lambda s: json.dumps(list(s)),
    "joined strings": lambda s: "'" + "' . '".join(s) + "'",
    "full width": lambda s: "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in s),
    "accents": "\u0301".join,
    "mixed case": str.swapcase,
    "tags": "<b>".join,
    "colours of printf": "\\033[1m".join,
}  # fmt: skip


@pytest.mark.parametrize("secret", ["correct horse battery staple", "Zk3!vq9`Lw$(id)"])
@pytest.mark.parametrize("disguise", DISGUISES)
def test_secret_is_replaced_in_each_disguise(knows: Callable[[str], None], secret: str, disguise: str) -> None:
    knows(secret)
    form = DISGUISES[disguise](secret)
    shown = redact.clean(f"before {form} after" if "\n" not in form.strip() else f"before\n{form}\nafter")
    assert BLANK in shown
    assert shown.startswith("before")
    assert shown.endswith("after")
    assert not any(form[at : at + 10] in shown for at in range(len(form) - 9)), shown


def test_words_that_only_resemble_a_secret_stay(known: Redactor) -> None:
    known.add("Xk-9 backup of tscm")  # ends like one of our own texts
    known.add("20.261-127")
    for text in ("the backup of tscm-old", "2026-11-27 and 20 261 127", "0000 1111 2222 3333", "cafe babe 0bad f00d"):
        assert redact.clean(text) == text


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("division", DIVISIONS)
def test_secret_is_replaced_when_it_is_divided(knows: Callable[[str], None], secret: str, division: str) -> None:
    knows(secret)
    for text in (DIVISIONS[division](secret), f"output: {DIVISIONS[division](secret)}!"):
        shown = redact.clean(text)
        assert BLANK in shown
        assert not any(piece in shown or piece in shown.replace("\n", "") for piece in pieces(secret)), shown


def test_secret_of_the_environment_is_replaced_by_every_task(tmp_path: Path) -> None:
    """Also by a task that needs no secret: an appliance that knows the secret may print it at any time."""
    env = {**os.environ, "TSCM_PASSPHRASE": SECRETS[3], "XDG_CONFIG_HOME": str(tmp_path)}
    argv = [sys.executable, "-m", "tscm_migrate", "prompts", "explain"]
    question = json.dumps(f"is it {SECRETS[3]}? [y/n] ")
    done = subprocess.run(argv, input=question, capture_output=True, text=True, env=env, timeout=60, check=True)
    assert f"is it {BLANK}? [y/n]" in json.loads(done.stdout)["question"]


@pytest.mark.skipif(os.name == "nt", reason="Windows writes no core file")
def test_crash_writes_no_memory_to_a_file() -> None:
    code = """if True:
        import contextlib, resource
        from tscm_migrate.cli.main import main
        resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
        with contextlib.suppress(SystemExit):
            main(["--version"])
        print(resource.getrlimit(resource.RLIMIT_CORE)[0])
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.splitlines()[-1] == "0"


def test_longest_of_overlapping_secrets_is_replaced(known: Redactor) -> None:
    for secret in ("Hx7#inner", "aa-Hx7#inner-bb", "inner-bb-cc9"):
        known.add(secret)
    assert redact.clean("x aa-Hx7#inner-bb y") == f"x {BLANK} y"
    assert redact.clean("Hx7#inner") == BLANK


def test_secret_that_starts_or_ends_with_another_is_replaced_completely(known: Redactor) -> None:
    for secret in ("Hx7#first", "Hx7#first-and-more", "then-Hx7#first"):
        known.add(secret)
    assert redact.clean("x Hx7#first-and-more y") == f"x {BLANK} y"
    assert redact.clean("x then-Hx7#first y") == f"x {BLANK} y"
    assert redact.clean(json.dumps("Hx7#first-and-more")) == f'"{BLANK}"'


@pytest.mark.parametrize(
    "secret", ["1", "0", "a", "yes", "1234", "20240501", "threatstop", "tscm-old", "event", "migrate", "/opt", "null"]
)
def test_ordinary_word_as_secret_keeps_our_own_texts_readable(known: Redactor, secret: str) -> None:
    known.add(secret)
    known.spare("tscm-old", "10.1.1.43")
    own = {"v": 1, "event": "said", "text": "migrate tscm-old: 1 archive in /opt/threatstop/backup, run 20240501-1234"}
    assert redact.tree(own) == own
    assert json.loads(json.dumps(redact.tree(own))) == own
    event = events.Message("1 archive of threatstop on tscm-old: yes").as_dict()
    assert event == {"v": 1, "event": "said", "text": "1 archive of threatstop on tscm-old: yes", "level": "info"}
    shown = redact.outside(f"Wrong passphrase: '{secret}', see /opt/threatstop/etc")
    assert shown == f"Wrong passphrase: '{BLANK}', see /opt/threatstop/etc"
    prompted = events.Prompted("tscm-old", f"use {secret} again?", "x").as_dict()
    assert prompted["prompt"] == f"use {BLANK} again?"
    failed = errors.CommandFailed("tscm-old", "", "tsadmin backup", 1, f"refused: {secret}")
    assert failed.message().endswith(f"refused: {BLANK}")


def test_host_name_stays_readable_also_when_registered_after_the_secret(known: Redactor) -> None:
    known.add("gw-frankfurt-7")
    assert redact.clean("gw-frankfurt-7") == BLANK
    known.spare("gw-frankfurt-7.example.net")
    assert redact.clean("gw-frankfurt-7") == "gw-frankfurt-7"


def test_encodings_of_a_secret_are_made_once(known: Redactor, monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[str]()
    really = redact._forms

    def count(value: str) -> set[str]:
        made.append(value)
        return really(value)

    monkeypatch.setattr(redact, "_forms", count)
    for secret in ("first-secret-9", "other-secret-9", "first-secret-9"):
        known.add(secret)
    known.spare("tscm-old")
    known.spare("gw-first-secret-9")
    assert made == ["first-secret-9", "other-secret-9"]
    assert redact.clean("first-secret-9 other-secret-9") == f"first-secret-9 {BLANK}"


def test_text_after_an_unterminated_sequence_is_shown() -> None:
    """Otherwise, an appliance could hide our own text with such a sequence."""
    assert printable("\x1b]0;evil\nwhat to do: x") == "0;evil\nwhat to do: x"
    assert printable("\x1bPq\nnext") == "q\nnext"


HOSTILE = "a\x1b]52;c;ZXZpbA==\x07b\x1b[2Jc\x9b31md\x85e\u202ef\u2066g\x00h\x1b(Bi\x08\x7fj\u2028k\udcffl\x1b[?25lm\U000e0041n"


def test_control_sequences_are_removed() -> None:
    shown = printable(HOSTILE)
    assert shown.isprintable(), ascii(shown)
    assert redact.outside("a\nerror: all is well\r\n\tb") == "a error: all is well b"


@pytest.mark.slow
def test_redacting_hostile_text_takes_no_exponential_time(known: Redactor) -> None:
    known.add("correct horse battery staple")
    for junk in (
        "\x1b" * 200_000,
        "\x1b[" * 100_000,
        "\b" * 100_000,
        "x\b" * 100_000,
        "\n" * 200_000,
        "\\x1b[" * 50_000,
    ):
        assert "correct" not in redact.clean(f"corr{junk}ect horse battery staple")


# --------------------------------------------------------------------------- exceptions and reprs contain no secret


def classes() -> Iterator[type]:
    """Yield all dataclasses of the package."""
    for module in pkgutil.walk_packages(tscm_migrate.__path__, "tscm_migrate."):
        if module.name.endswith("__main__") or module.name.startswith("tscm_migrate.demo"):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(value) and dataclasses.is_dataclass(value) and value.__module__ == module.name:
                yield value


# Names of fields that may contain typed text, output of an appliance, or tokens of the inventory.
MAY_HOLD = {
    "password", "passphrase", "secret", "typed", "stdin", "stdout", "stderr", "output", "transcript", "context",
    "raw", "extras", "urls", "healthcheck", "early",
}  # fmt: skip


def sensitive(kind: type) -> list[str]:
    names = [field.name for field in dataclasses.fields(kind)]
    if "secret" in names:  # a flag: if it is true, the text is a secret
        return [name for name in names if name in {"text", "answer", "value"} or name in MAY_HOLD - {"secret"}]
    return [f.name for f in dataclasses.fields(kind) if f.name in MAY_HOLD or "Secret" in str(f.type)]


def test_repr_of_dataclass_contains_no_field_that_may_be_secret() -> None:
    canary, seen = "cAnArY-7f3", 0
    for kind in classes():
        names = sensitive(kind)
        made: Any = kind.__new__(kind)
        for field in dataclasses.fields(kind):
            value = Secret(canary) if "Secret" in str(field.type) else canary
            object.__setattr__(made, field.name, value if field.name in names else "x")
        if names:
            seen += 1
            assert canary not in repr(made), f"{kind.__module__}.{kind.__name__}: {names}"
    assert seen > 10


def test_field_beside_a_secret_flag_is_sensitive() -> None:
    @dataclasses.dataclass
    class Choice:
        text: str
        secret: bool = True

    assert sensitive(Choice) == ["text"]


def field_value(kind: str, text: str) -> Any:
    """Return the text as a value of a field's type: as it is, in a tuple, or in a tuple of pairs."""
    return ((text, text),) if "tuple[tuple" in kind else (text,) if "tuple" in kind else text


def test_every_error_and_event_is_created_without_secrets(known: Redactor) -> None:
    known.add("correct horse battery staple")
    echo = "it's co\x1b[1mrrect horse battery staple\x1b]52;c;x\x07"
    kinds = [kind for module in (errors, events) for kind in vars(module).values() if inspect.isclass(kind)]
    classes = [kind for kind in kinds if dataclasses.is_dataclass(kind) and kind is not events.Event]
    assert len(classes) > 50
    for kind in classes:
        made: Any = kind(**{f.name: field_value(str(f.type), echo) for f in dataclasses.fields(kind)
                            if "str" in str(f.type) or f.default is dataclasses.MISSING})  # fmt: skip
        texts = [repr(made), str(made), repr(getattr(made, "args", "")), json.dumps(dataclasses.asdict(made))]
        if isinstance(made, errors.MigrateError):
            texts += ["".join(traceback.format_exception(made))]
            if not any(f.type == "float" and f.default is dataclasses.MISSING for f in dataclasses.fields(kind)):
                texts += [made.remedy()]
        for text in texts:
            assert "horse" not in text, kind
            assert "\x1b" not in text, kind


def test_error_of_a_worker_process_contains_no_secret(known: Redactor) -> None:
    from tscm_migrate.offsite.context import do_pull

    class Job:
        @property
        def store(self) -> str:
            raise ValueError("it was correct horse battery staple")

    known.add("correct horse battery staple")
    with pytest.raises(RuntimeError, match="ValueError: it was") as error:
        do_pull(Job())  # type: ignore[arg-type]
    assert "horse" not in "".join(traceback.format_exception(error.value))
    assert "horse" not in repr(error.value.args)


def test_secret_shorter_than_six_characters_is_replaced_as_a_word_only(
    known: Redactor,
) -> None:
    known.add("Qz9+x7")
    for form in ("Qz9+x7", "51 7a 39 2b 78 37"):
        assert redact.clean(f"before {form} after") == f"before {BLANK} after"
    assert redact.clean("xQz9+x7x") == f"x{BLANK}x"
    known.add("Qz!x7")
    assert redact.clean("xQz!x7x") == "xQz!x7x"
    assert redact.outside("it is Qz!x7") == f"it is {BLANK}"


def test_part_of_a_secret_is_not_held(known: Redactor) -> None:
    known.add("Qz9+x7")
    assert known.holds("Qz9+x7")
    assert not known.holds("Qz9+x")


def test_text_from_outside_is_limited_to_one_line_and_a_length() -> None:
    assert redact.outside("x" * 65_536) == "x" * 65_536
    assert redact.outside("x" * 65_537) == "x" * 65_536 + " …"
    assert redact.outside("abc", 3) == "abc"
    assert redact.outside("abcd", 3) == "abc …"
    assert redact.outside(" a\n\tb\n") == "a b"
    assert redact.outside("a\nb", lines=True) == "a\nb"


def test_tree_keeps_its_shape_and_cleans_its_texts(known: Redactor) -> None:
    known.add("Qz9+x7")
    data = {"Qz9+x7": ["a\x1b[1m", ("Qz9+x7", 1, None)], "b": {"c": 2.5, "d": True}}
    assert redact.tree(data) == {BLANK: ["a", (BLANK, 1, None)], "b": {"c": 2.5, "d": True}}
