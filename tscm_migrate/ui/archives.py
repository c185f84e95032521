"""A list of archives as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tscm_migrate.archive.names import when
from tscm_migrate.util.redact import outside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tscm_migrate.model import Archive


def _time(archive: Archive) -> str:
    taken = when(archive)
    return taken.strftime("%Y-%m-%d %H:%M:%SZ") if taken else "-"


def table(found: Sequence[Archive]) -> str:
    """One line an archive."""
    if not found:
        return "no archives\n"
    rows = [("TAKEN", "MB", "SEALED", "PATH")]
    rows += [(_time(a), f"{a.size / 1e6:.1f}", "gpg" if a.encrypted else "-", outside(a.path)) for a in found]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "".join("  ".join([*(c.ljust(w) for c, w in zip(r, widths, strict=False)), r[3]]) + "\n" for r in rows)


def as_data(found: Sequence[Archive]) -> list[dict[str, Any]]:
    """A list of objects for `--json`; `size` in bytes."""
    return [
        {"name": a.name, "folder": a.folder, "size": a.size, "encrypted": a.encrypted, "taken": _time(a)} for a in found
    ]
