"""`prompts explain`: the answers to questions, without an appliance."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import UsageError
from tscm_migrate.model import Secret
from tscm_migrate.ssh.terminal import ScreenBuffer
from tscm_migrate.tsadmin.intent import Intent, Understood
from tscm_migrate.tsadmin.reader import QuestionReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tscm_migrate.tsadmin.dialect import Dialect

DIALOGUES = ("restore", "backup", "update")
_SECRETS = ("passphrase", "sudo")
_IP = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}", re.ASCII)


def intent(given: Sequence[str], dialogue: str) -> Intent:
    """Return an intent with sample values, and those of `--set`.

    Raises:
        UsageError: an unknown dialogue, an unknown value, or a value of the wrong form.
    """
    if dialogue not in DIALOGUES:
        raise UsageError(f"--dialogue {dialogue!r} is unknown", f"one of: {', '.join(DIALOGUES)}")
    made = Intent(
        gateway="10.1.1.1", dns=("10.1.1.1", "10.1.1.2"), dhcp=False, hostname="tsclient", interface="eth0", restore_ssh=True,
        passphrase=Secret("(the passphrase)"), sudo=Secret("(the sudo password)"),
    )  # fmt: skip
    known = {field.name: str(field.type) for field in fields(Intent)}
    for one in given:
        for pair in re.split(r"[ ,](?=\w+=)", one):
            key, equals, value = pair.partition("=")
            if not equals or key not in known:
                raise UsageError(
                    f"--set {pair!r} is not a known value", f"one of: {', '.join(f'{k}=…' for k in known)}"
                )
            made = replace(made, **{key: _value(key, known[key], value)})
    return made


def _value(key: str, kind: str, value: str) -> Any:
    if key in _SECRETS:
        return Secret(value)
    if kind.startswith("bool"):
        if value not in ("yes", "no", "true", "false"):
            raise UsageError(f"--set {key}={value!r}", "use yes or no")
        return value in ("yes", "true")
    if key == "prefix":
        if not value.isascii() or not value.isdigit() or int(value) > 32:
            raise UsageError(f"--set {key}={value!r}", "a prefix is a number up to 32")
        return int(value)
    if key in ("address", "here", "gateway") and not _IP.fullmatch(value):
        raise UsageError(f"--set {key}={value!r}", "give an IPv4 address")
    return (
        tuple(value.split(","))
        if kind.startswith("tuple")
        else frozenset(value.split(","))
        if kind.startswith("frozenset")
        else value
    )


def explained(source: Iterable[str], dialogue: str, given: Intent, known: Sequence[Dialect]) -> Iterator[Understood]:
    """Yield the interpretation of each question in the input.

    Raises:
        UsageError: an input line is not a JSON string; the lines before it were handled.
    """
    for number, text in enumerate(source, 1):
        if text.strip():
            yield from explain(_asked(text, number), dialogue, given, known)


def _asked(text: str, number: int) -> list[str]:
    try:
        asked = json.loads(text)
    except ValueError as error:
        asked = error
    questions = asked if isinstance(asked, list) else [asked]
    if not all(isinstance(one, str) for one in questions):
        fix = 'give one JSON string a line, such as "Restore SSH configuration? [y/n] "'
        raise UsageError(f"line {number} of the input is not a JSON string: {text.strip()[:80]!r}", fix)
    return questions


def explain(asked: Sequence[str], dialogue: str, given: Intent, known: Sequence[Dialect]) -> Iterator[Understood]:
    """Yield the interpretation of each question of one dialogue, each after the answer to the one before."""
    reader = QuestionReader(given, known, dialogue)
    for one in asked:
        terminal = ScreenBuffer()
        shown = [*terminal.feed(one.encode("utf-8", "replace")), terminal.line]
        found = reader.read(shown)
        yield found
        if found.kind is not None:
            reader.sent(found, shown)


def as_dict(understood: Understood) -> dict[str, str | None]:
    """Return the object that `--json` prints."""
    return {
        "question": understood.question, "kind": understood.kind and understood.kind.value, "dialect": understood.dialect or None, "row": understood.row or None,
        "answer": understood.shown, "suggestion": understood.suggestion, "why": understood.why,
    }  # fmt: skip


def as_text(understood: Understood) -> str:
    """Return the text for a person."""
    if understood.kind is None:
        hint = f"; perhaps {understood.suggestion!r}" if understood.suggestion is not None else ""
        return f"UNKNOWN  {understood.question}\n         {understood.why}{hint}"
    return f"{understood.kind.value:<8} {understood.question}\n         answered {understood.shown!r} by {understood.dialect}: {understood.row}"
