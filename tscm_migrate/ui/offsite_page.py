"""The freshness page: how old each host's newest verified copy is. Its script keeps the ages up to date."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import StoreError
from tscm_migrate.ui import page
from tscm_migrate.ui.offsite_tables import when
from tscm_migrate.util import private
from tscm_migrate.util.redact import outside
from tscm_migrate.util.text import duration_text, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tscm_migrate.offsite.freshness import HostStatus

_WIDTH, _HEIGHT = 150, 28  # of the plot of sizes, in pixels
_BARS = 30
_STALE = timedelta(days=1)


def page_text(statuses: Sequence[HostStatus], url: str, now: datetime) -> str:
    """Return the page as HTML.

    Args:
        statuses: in the order of the table.
        url: of the store.
        now: when it is written. The page calls itself stale a day after, or after the shortest RPO if that is shorter.
    """
    late = sum(status.state != "fresh" for status in statuses)
    return page.render(
        "offsite.html.j2",
        title=f"{late} of {len(statuses)} late" if late else f"all {len(statuses)} fresh",
        rows=[_row(status) for status in statuses],
        late=late,
        warned=sum(bool(status.warnings) for status in statuses),
        copies=sum(status.copies for status in statuses),
        stored=sum(status.total for status in statuses),
        url=outside(url),
        written=when(now),
        at=round(now.timestamp()),
        stale_seconds=round(min([_STALE, *(status.rpo for status in statuses)]).total_seconds()),
    )


def _row(status: HostStatus) -> dict[str, Any]:
    newest, rpo = status.newest, status.rpo.total_seconds()
    age = status.age.total_seconds() if status.age is not None else None
    used = 100.0 if age is None else min(50 * age / (rpo or 1), 100.0)  # percent of twice the RPO
    return {
        "host": outside(status.host),
        "state": status.state,
        "warnings": [outside(text) for text in status.warnings],
        "taken": round(newest.dated.timestamp()) if newest else None,
        "age": age,
        "rpo": rpo,
        "used": round(max(used, 1.0), 1),
        "told": f"{'no copy' if not newest else duration_text(age)} of {duration_text(rpo)}",
        "size": newest.manifest.size if newest else None,
        "bars": list(_bars(status)),
        "largest": max((size for _, size in status.history[-_BARS:]), default=0),
        "verified": status.verified,
        "copies": status.copies,
        "drill": outside(when(status.drill)),
    }


def _bars(status: HostStatus) -> Iterator[dict[str, Any]]:
    """Yield a bar for each copy; heights start at zero, so that half the size is half the height."""
    shown = status.history[-_BARS:]
    largest = max((size for _, size in shown), default=0) or 1
    step = _WIDTH / max(len(shown), 8)
    for at, (taken, size) in enumerate(shown):
        height = max(size / largest * _HEIGHT, 1)
        yield {
            "x": round(at * step, 1), "y": round(_HEIGHT - height, 1), "width": round(max(step - 1.5, 1), 1),
            "height": round(height, 1), "told": f"{when(taken)}: {size_text(size)}",
        }  # fmt: skip


def write(path: Path, text: str) -> None:
    """Write a file for other users (0644): a web server or a collector of metrics reads it.

    Raises:
        StoreError: it cannot be written there.
    """
    path = path.expanduser().absolute()
    try:
        private.write(path, text, 0o644)
    except OSError as error:
        raise StoreError(detail=error.strerror or str(error), key=str(path), fix="choose another folder") from error
