"""Tables as plain text, and the list of archives; every cell is cleaned of what an appliance could put into it."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from tscm_migrate.archive.names import when
from tscm_migrate.errors import error_fields
from tscm_migrate.model import Archive
from tscm_migrate.util import redact


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format columns with two spaces between them; one whose heading starts with `>` is aligned to the right."""
    seen: dict[str, str] = {}  # most cells are repeated in a long table

    def shown(cell: object) -> str:
        text = str(cell)
        return seen.get(text) or seen.setdefault(text, redact.outside(text))

    all_rows = [[name.removeprefix(">") for name in head], *[[shown(cell) for cell in row] for row in rows]]
    widths = [max(len(row[at]) for row in all_rows) for at in range(len(head))]
    lines = []
    for row in all_rows:
        cells = [
            cell.rjust(width) if name.startswith(">") else cell.ljust(width)
            for cell, width, name in zip(row, widths, head, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"


def archive_table(archives: Sequence[Archive]) -> str:
    """Format one line for each archive."""
    if not archives:
        return "no archives\n"
    rows = [(_time(a), f"{a.size / 1e6:.1f}", "gpg" if a.encrypted else "-", a.path) for a in archives]
    return table(("TAKEN", ">MB", "ENCRYPTED", "PATH"), rows)


def archive_dicts(archives: Sequence[Archive]) -> list[dict[str, Any]]:
    """Return a list of objects for `--json`; `size` in bytes."""
    return [
        {"name": a.name, "folder": a.folder, "size": a.size, "encrypted": a.encrypted, "taken": _time(a)}
        for a in archives
    ]


def _time(archive: Archive) -> str:
    taken = when(archive)
    return taken.strftime("%Y-%m-%d %H:%M:%SZ") if taken else "-"


_HOSTS_SHOWN = 12  # hosts of one entry
_ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")
_LONGEST = 400  # characters of a message


def by_reason(failures: Iterable[tuple[str, BaseException]]) -> str:
    """Return failures (host and error) as lines, the reason that most hosts have first; "" where there are none.

    Messages that differ in the host's name only are the same reason.
    """
    groups: dict[tuple[str, str, str], list[str]] = {}
    first: dict[tuple[str, str, str], tuple[str, str]] = {}
    for host, error in failures:
        code, message, remedy = error_fields(error).values()
        reason = (without_host(message, host), code, without_host(remedy, host))
        groups.setdefault(reason, []).append(host)
        first.setdefault(reason, (message, remedy))
    lines = []
    for reason, hosts in sorted(groups.items(), key=lambda one: (-len(one[1]), one[0])):
        message, remedy = (reason[0], reason[2]) if len(hosts) > 1 else map(_one_line, first[reason])
        count = f"{len(hosts)} host{'s' if len(hosts) > 1 else ''}"
        lines += [f"FAILED on {count}: {message} ({reason[1]})", f"  {host_names(hosts)}"]
        lines += [f"  what to do: {remedy}"] if remedy else []
    return "".join(f"{line}\n" for line in lines)


def host_names(hosts: Iterable[str]) -> str:
    """Return the names of hosts with commas, of many only the first ones."""
    all_of_them = sorted(hosts)
    more = len(all_of_them) - _HOSTS_SHOWN
    return ", ".join(all_of_them[:_HOSTS_SHOWN]) + (f", and {more} more" if more > 0 else "")


def without_host(text: str, *hosts: str) -> str:
    """Return a text on one line, without the names of its hosts and without IPv4 addresses."""
    for host in hosts:
        text = re.sub(rf"(?<![\w.-]){re.escape(host)}(?![\w-])", "HOST", text)
    return _ADDRESS.sub("ADDRESS", _one_line(text))


def _one_line(text: str) -> str:
    return redact.one_line(" ".join(text.split()))[:_LONGEST]
