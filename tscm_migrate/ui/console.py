"""Print text, tables and data for the user: cleaned of secrets and control characters, wrapped for a terminal.

Every text is one write under one lock, so that lines of several threads do not mix. A command or a path is not broken
over two lines, so that it can be copied.
"""

import contextlib
import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from tscm_migrate.archive.names import when
from tscm_migrate.errors import error_fields
from tscm_migrate.events import Emit, Event
from tscm_migrate.model import Archive
from tscm_migrate.util import redact
from tscm_migrate.util.operator_command import completed

_writing = threading.RLock()  # a signal handler may print a line while the lock is locked


def say(text: str) -> None:
    """Print the lines of `text` at once; nothing if it is empty."""
    if text:
        write(fit(_shown(text), sys.stdout))


def as_it_is(text: str) -> None:
    """Print as `say` does, but not folded: a table, or what is to be copied."""
    if text:
        write(_shown(text))


def as_json(value: Any, *, indent: int | None = 2) -> None:
    """Print data as JSON. Its texts are cleaned first, so that it stays valid whatever a secret is."""
    if isinstance(value, dict) and isinstance(value.get("remedy"), str):
        value = {**value, "remedy": completed(value["remedy"])}
    write(json.dumps(redact.tree(value), indent=indent, default=str) + "\n")


def columns() -> int | None:
    """Return the width of the terminal, or None where the output is a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else None


def write(text: str) -> None:
    """Write cleaned text to stdout in one piece."""
    with _writing:
        sys.stdout.write(text)
        sys.stdout.flush()


def _shown(text: str) -> str:
    return redact.clean(completed(text.removesuffix("\n"))) + "\n"


_WHOLE = re.compile(r"`[^`]*`|tscm-migrate(?: [^\s;,.()]+){1,8}|--\S+ [A-Za-z0-9]\S*")
_UNIT = re.compile(r"(?<=\d) (?=(?:s|ms|min|h|kB|MB|GB|TB)\b)")  # keep a number and its unit on one line
_NUMBERED = re.compile(r"\d+\. +")
_GLUE = "\0"


def fit(text: str, stream: TextIO | None) -> str:
    """Wrap lines for a terminal; return them unchanged for a file or a pipe."""
    if stream is None or not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "".join(f"{part}\n" for line in text.splitlines() for part in folded(line, width, "  "))


def folded(text: str, width: int, indent: str = "", *, keep_words: bool = True) -> list[str]:
    """Wrap one line to `width` columns; `indent` is added to that of the text, from the second line on.

    With `keep_words`, a word or a command stays in one piece although it is longer than the width.
    """
    import textwrap

    if len(text) <= width:
        return [text]
    body = text.lstrip()
    own = text[: len(text) - len(body)]
    glued = _WHOLE.sub(lambda part: part[0].replace(" ", _GLUE), body) if keep_words else body
    further = own + (" " * len(number[0]) if (number := _NUMBERED.match(body)) else indent)
    lines = textwrap.wrap(
        _UNIT.sub(_GLUE, glued), max(width, 20), initial_indent=own, subsequent_indent=further,
        break_long_words=not keep_words, break_on_hyphens=False,
    )  # fmt: skip
    return [line.replace(_GLUE, " ") for line in lines] or [text]


class Steady:
    """Passes events on until that fails; drops them from then on."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self.gone = False

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if self.gone:
            return
        try:
            self._emit(event)
        except (OSError, ValueError):  # ValueError: the stream is closed
            self.gone = True
            mute(sys.stdout)


def mute(stream: TextIO | None) -> None:
    """Redirect a stream to the null device, so that Python can flush its buffer at the end without an error."""
    if stream is None:
        return
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


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
