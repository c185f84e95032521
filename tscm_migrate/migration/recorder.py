"""Observe a run: keep its commands beside the journal, and write the report at its end."""

import contextlib
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tscm_migrate.events import CommandRun, Emit, Event, Message, Prompted, RunFinished, RunStarted
from tscm_migrate.migration import report
from tscm_migrate.util import private, redact

MOST = 5000  # lines of commands a session: a run has some hundreds; an endless loop must not fill the disk
_LONGEST = 600  # characters of one text


class Recorder:
    """Passes every event on to `then`; may be called from several threads. `render` makes the report's page."""

    def __init__(self, then: Emit, render: Callable[[dict[str, Any]], str], root: Path | None = None) -> None:
        self._then, self._render = then, render
        self._root = root
        self._run = ""
        self._waiting: list[str] = []
        self._count = 0
        self._lock = threading.RLock()  # a signal handler may emit an event while it is locked

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, RunStarted):
            self._run = event.run
        elif isinstance(event, CommandRun | Prompted) or (isinstance(event, Message) and event.level != "info"):
            self._keep(event)
        elif isinstance(event, RunFinished):
            event = self._report(event)
        self._then(event)

    def _keep(self, event: Event) -> None:
        with self._lock:
            self._count += 1
            if self._count > MOST:
                return
            row = {"t": _now(), **{key: _short(value) for key, value in event.as_dict().items()}}
            self._waiting.append(json.dumps(redact.tree(row), ensure_ascii=False))
            self._flush()

    def _flush(self) -> None:
        """Append the waiting lines, once the run has a journal; a dry run has none."""
        folder = self._folder()
        if folder is None or not self._waiting:
            return
        lines, self._waiting = self._waiting, []
        try:
            private.append(folder / "commands.jsonl", "".join(f"{line}\n" for line in lines))
        except OSError:
            return  # a full disk: the journal raises its own error for it; the list of commands is not essential

    def _folder(self) -> Path | None:
        folder = report.folder(self._run, self._root) if self._run else None
        with contextlib.suppress(OSError):  # a folder of another user: the journal raises its own error for it
            return folder if folder is not None and (folder / "journal.jsonl").is_file() else None
        return None

    def _report(self, event: RunFinished) -> RunFinished:
        with self._lock:
            if self._count > MOST:
                over = {"t": _now(), "event": "said", "text": f"{self._count - MOST} more commands were not kept"}
                self._waiting.append(json.dumps(over))
            self._flush()
        if self._folder() is None:
            return event
        try:
            return replace(event, report=str(report.write(event.run, self._render, event, self._root)))
        except Exception as error:  # noqa: BLE001 - the run's own end is shown, whatever is wrong with the report
            self._then(Message(f"the report could not be written: {error}", "warning"))
            return event


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _short(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return value if len(value) <= _LONGEST else value[:_LONGEST] + " …"
