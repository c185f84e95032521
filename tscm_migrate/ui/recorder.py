"""Watches a run: keeps its commands beside the journal, and writes the report at its end."""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tscm_migrate.events import CommandRun, Prompted, RunFinished, RunStarted, Said
from tscm_migrate.util import private, redact

if TYPE_CHECKING:
    from pathlib import Path

    from tscm_migrate.events import Emit, Event

MOST = 5000  # lines of commands a session: a run has some hundreds, a loop gone wrong must not fill the disk
_LONGEST = 600  # characters of one text


class Recorder:
    """Passes every event on to `then`; may be called from several threads at a time.

    Args:
        then: the next watcher.
        root: the state folder; None: the user's.
    """

    def __init__(self, then: Emit, root: Path | None = None) -> None:
        self._then = then
        self._root = root
        self._run = ""
        self._waiting: list[str] = []
        self._count = 0
        self._lock = threading.RLock()  # a signal may come while it is held, and says so by way of here

    def __call__(self, event: Event) -> None:
        """One event."""
        if isinstance(event, RunStarted):
            self._run = event.run
        elif isinstance(event, CommandRun | Prompted) or (isinstance(event, Said) and event.level != "info"):
            self._keep(event)
        elif isinstance(event, RunFinished):
            event = self._report(event)
        self._then(event)

    def _keep(self, event: Event) -> None:
        with self._lock:
            self._count += 1
            if self._count > MOST:
                return
            told = {"t": _now(), **{key: _short(value) for key, value in event.as_dict().items()}}
            self._waiting.append(json.dumps(redact.tree(told), ensure_ascii=False))
            self._flush()

    def _flush(self) -> None:
        """Append what waits, once there is a run that keeps a journal; a dry run keeps nothing."""
        folder = self._folder()
        if folder is None or not self._waiting:
            return
        lines, self._waiting = self._waiting, []
        try:
            private.append(folder / "commands.jsonl", "".join(f"{line}\n" for line in lines))
        except OSError:
            return  # a full disk: the journal says so, with an error of its own; the list of commands is a comfort

    def _folder(self) -> Path | None:
        from tscm_migrate.ui import report

        folder = report.folder(self._run, self._root) if self._run else None
        with contextlib.suppress(OSError):  # a folder that is not ours: whoever keeps the journal says so
            return folder if folder is not None and (folder / "journal.jsonl").is_file() else None
        return None

    def _report(self, event: RunFinished) -> RunFinished:
        from tscm_migrate.ui import report

        with self._lock:
            if self._count > MOST:
                over = {"t": _now(), "event": "said", "text": f"{self._count - MOST} more commands were not kept"}
                self._waiting.append(json.dumps(over))
            self._flush()
        if self._folder() is None:
            return event
        try:
            return replace(event, report=str(report.write(event.run, event, self._root)))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the report, the run's own end is told
            self._then(Said(f"the report could not be written: {error}", "warning"))
            return event


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _short(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return value if len(value) <= _LONGEST else value[:_LONGEST] + " …"
