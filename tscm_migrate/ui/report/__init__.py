"""The report of a run: one HTML file that needs no network, and the same as JSON, made from the journal."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import MigrateError, StateUnwritable, UsageError
from tscm_migrate.migration import journal
from tscm_migrate.util import private, redact
from tscm_migrate.util.folders import state_folder

if TYPE_CHECKING:
    from pathlib import Path

    from tscm_migrate.events import RunFinished

HTML, JSON = "report.html", "report.json"


def write(run: str, finished: RunFinished | None = None, root: Path | None = None) -> Path:
    """Write both files into the run's folder, each whole or not at all; returns the HTML's path.

    Args:
        run: the run's id.
        finished: its last event; without it (a run that was killed) the journal alone is asked.
        root: the state folder.

    Raises:
        UsageError: there is no such run. JournalDamaged. StateUnwritable.
    """
    from . import html

    told = _told(run, finished, root)
    place = folder(run, root)
    try:
        private.write(place / JSON, json.dumps(redact.tree(told), indent=2, ensure_ascii=False) + "\n")
        private.write(place / HTML, redact.known(html.render(redact.tree(told))))
    except OSError as error:
        raise StateUnwritable(str(place), error.strerror or str(error)) from error
    return place / HTML


def _told(run: str, finished: RunFinished | None, root: Path | None) -> dict[str, Any]:
    from . import data

    record, entries = journal.read(run, root)
    if not record.began:
        raise UsageError(f"run {run} has begun nothing; there is no report of it", "list all: tscm-migrate run list")
    return data.build(record, entries, commands=data.commands(folder(run, root)), finished=finished)


def folder(run: str, root: Path | None = None) -> Path:
    """Where a run keeps its files."""
    return (root or state_folder()) / "runs" / run


def find(run: str | None, root: Path | None = None) -> str:
    """The run that is meant: the one given, or the newest that did anything.

    Raises:
        UsageError: there is none.
    """
    if run:
        return run
    newest = next((name for name in journal.runs(root) if _did_anything(name, root)), None)
    if newest is None:
        raise UsageError("there are no runs yet", "make one: tscm-migrate migrate --from OLD --to NEW")
    return newest


def _did_anything(run: str, root: Path | None) -> bool:
    """One that cannot be read may have: whoever reads it says why it cannot be."""
    try:
        return bool(journal.read(run, root)[0].began)
    except MigrateError:
        return True


def read(run: str, root: Path | None = None) -> dict[str, Any]:
    """The report's data; nothing is written.

    The file knows the end as it was said, also where the journal could not be written any more. But it may be torn, or
    older than a resume that was killed: then the journal is asked.

    Raises:
        UsageError: there is no such run. JournalDamaged.
    """
    now = _told(run, None, root)
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        kept: dict[str, Any] = json.loads((folder(run, root) / JSON).read_text(encoding="utf-8"))
        if kept["journal_lines"] == now["journal_lines"]:
            return kept
    found: dict[str, Any] = redact.tree(json.loads(json.dumps(now)))
    return found
