"""Failures of many hosts as text: one entry for each reason, with the hosts that have it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tscm_migrate.errors import MigrateError
from tscm_migrate.util import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN = 12  # hosts of one entry
_ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")
_LONGEST = 400  # characters of a message


def by_reason(failures: Iterable[tuple[str, BaseException]]) -> str:
    """Return the failures as lines, the reason that most hosts have first; "" where there are none.

    Args:
        failures: host and error. Messages that differ in the host's name only are the same reason.
    """
    groups: dict[tuple[str, str, str], list[str]] = {}
    first: dict[tuple[str, str, str], tuple[str, str]] = {}
    for host, error in failures:
        code = error.code if isinstance(error, MigrateError) else "defect"
        message = error.message() if isinstance(error, MigrateError) else f"{type(error).__name__}: {error}"
        remedy = error.remedy() if isinstance(error, MigrateError) else ""
        reason = (general(message, host), code, general(remedy, host))
        groups.setdefault(reason, []).append(host)
        first.setdefault(reason, (message, remedy))
    lines = []
    for reason, hosts in sorted(groups.items(), key=lambda one: (-len(one[1]), one[0])):
        message, remedy = (reason[0], reason[2]) if len(hosts) > 1 else map(_line, first[reason])
        count = f"{len(hosts)} host{'s' if len(hosts) > 1 else ''}"
        lines += [f"FAILED on {count}: {message} ({reason[1]})", f"  {names(hosts)}"]
        lines += [f"  what to do: {remedy}"] if remedy else []
    return "".join(f"{line}\n" for line in lines)


def names(hosts: Iterable[str]) -> str:
    """Return the names of hosts with commas, of many only the first ones."""
    all_of_them = sorted(hosts)
    more = len(all_of_them) - _SHOWN
    return ", ".join(all_of_them[:_SHOWN]) + (f", and {more} more" if more > 0 else "")


def general(text: str, host: str) -> str:
    """Return a text on one line, without the name of its host and without IPv4 addresses."""
    return _ADDRESS.sub("ADDRESS", re.sub(rf"(?<![\w.-]){re.escape(host)}(?![\w-])", "HOST", _line(text)))


def _line(text: str) -> str:
    return redact.one_line(" ".join(text.split()))[:_LONGEST]
