"""Tables as plain text, and the list of archives; every cell is cleaned of what an appliance could put into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tscm_migrate.archive.names import when
from tscm_migrate.util.redact import outside

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tscm_migrate.model import Archive


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format columns with two spaces between them; one whose heading starts with `>` is aligned to the right."""
    all_rows = [[name.removeprefix(">") for name in head], *[[outside(str(cell)) for cell in row] for row in rows]]
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
