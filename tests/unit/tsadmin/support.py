"""Helpers for dialogues without an appliance: the shipped dialects, the options of a run, and lines of output."""

from __future__ import annotations

from typing import Any

from tests.unit.tsadmin.corpora import NAME
from tscm_migrate.model import Secret
from tscm_migrate.tsadmin.dialect import Dialect, parse
from tscm_migrate.tsadmin.intent import Intent
from tscm_migrate.tsadmin.reader import QuestionReader, dialects

SHIPPED = dialects()


def intent(**changes: Any) -> Intent:
    given: dict[str, Any] = {
        "address": "10.1.1.43", "here": "10.1.1.50", "gateway": "10.1.1.1", "dns": ("10.1.1.1", "10.1.1.2"), "dhcp": False,
        "hostname": "tsclient", "interface": "eth0", "archive": NAME, "passphrase": Secret("pass phrase"), "sudo": Secret("sudo word"),
        "restore_ssh": True,
    }  # fmt: skip
    return Intent(**{**given, **changes})


def reader(dialogue: str = "restore", *site: Dialect, **changes: Any) -> QuestionReader:
    return QuestionReader(intent(**changes), (*site, *SHIPPED), dialogue)


def site(text: str) -> Dialect:
    return parse(text, "site.toml", "site")


def answer(one: QuestionReader, text: str) -> str | None:
    """Return what would be typed at the last line of a text; nothing is sent."""
    return one.read(text.split("\n"), suggest=False).answer


def say(one: QuestionReader, text: str) -> str | None:
    """Return what would be typed at the last line of a text, and record it as sent."""
    lines = text.split("\n")
    found = one.read(lines, suggest=False)
    if found.kind is not None:
        one.sent(found, lines)
    return found.answer
