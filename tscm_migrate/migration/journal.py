"""The journal of one run: JSON lines, checksummed and chained, on disk before the change that each announces.

Format 1, one object on each line: `n` (0, 1, …), `t` (UTC, ISO 8601), `event`, `data`, and `sum`, the first 16 hex
digits of SHA-256 over the previous line's sum and this line without `sum`. An incomplete last line (the machine stopped
during the write) is dropped; damage anywhere else is an error. See docs/reference/journal.md.
"""

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tscm_migrate.errors import JournalDamaged, JournalNewer, StateUnreadable, StateUnwritable, UsageError
from tscm_migrate.events import REHEARSALS
from tscm_migrate.util import redact
from tscm_migrate.util.private import private_folder, state_folder, sync
from tscm_migrate.util.text import suggestion

FORMAT = 1
_FILE = "journal.jsonl"


@dataclass(frozen=True)
class JournalEntry:
    """One line of the journal; `at` is UTC in ISO 8601."""

    n: int
    at: str
    event: str
    data: dict[str, Any]


@dataclass
class RunRecord:
    """The state of a run, computed from its entries.

    `notes`: what later steps need; `owners`: the step that wrote a note, so that undoing the step removes it; `undo`:
    what `capture` of a step returned; `started`, `done`, `reverted`: step ids in order; `locked`: names of the
    appliances that have this run's lock; `failed`: message of the last failure.
    `skipped`: step id → why it had nothing to do. `seconds`: the run's own time over all its sessions, without the
    time in which the operator was asked.
    """

    run: str = ""
    verb: str = "migrate"
    old: str = ""
    new: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    undo: dict[str, Any] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    reverted: list[str] = field(default_factory=list)
    locked: list[str] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    session_began: str = ""
    last: str = ""
    step: str = ""
    failed: str = ""
    outcome: str = ""
    began: str = ""
    ended: str = ""

    @property
    def inventory(self) -> Path | None:
        """The inventory file with which the run was started; None if it had none, or the file no longer exists."""
        path = Path(str(self.notes.get("inventory") or "."))
        return path if path.is_file() else None

    @property
    def state(self) -> str:
        """Its outcome, or "unfinished", or "nothing begun".

        "undone" of an interrupted run that has undone everything, "rehearsed" of a completed rehearsal.
        """
        if self.outcome == "interrupted" and not self.started:
            return "undone"
        if self.outcome == "rolled-back" and self.verb in REHEARSALS:
            return "rehearsed"
        return self.outcome or ("unfinished" if self.started else "nothing begun")

    @property
    def total_seconds(self) -> float:
        """The run's own time, with the session that has not ended."""
        return round(self.seconds + _between(self.session_began, self.last), 3)

    def apply(self, entry: JournalEntry) -> None:
        """Apply one entry; unknown events are ignored."""
        data, step = entry.data, entry.data.get("step", "")
        self._count_time(entry)
        match entry.event:
            case "run-started":
                self.run, self.old, self.new, self.began = data["run"], data["old"], data["new"], entry.at
                self.options, self.notes = data.get("options", {}), dict(data.get("notes", {}))
                self.verb = str(data.get("verb") or "migrate")
            case "run-resumed" | "rollback-started":
                self.outcome, self.step = "", ""
                self.verb = "resume" if entry.event == "run-resumed" else "rollback"
            case "noted":
                self._note(data["key"], data["value"])
            case "captured":
                self.undo.setdefault(step, data["undo"])
            case "locked":
                _add(self.locked, data["host"])
            case "unlocked":
                _drop(self.locked, data["host"])
            case "run-ended":
                self.outcome, self.ended = data.get("outcome", ""), entry.at
            case _ if step:
                self._step(entry.event, step, data)

    def _count_time(self, entry: JournalEntry) -> None:
        """Add up the sessions: as each says at its end; one that was killed counts to its last entry."""
        if entry.event in {"run-started", "run-resumed", "rollback-started"}:
            if self.session_began:
                self.seconds += _between(self.session_began, self.last)
            self.session_began = entry.at
        elif entry.event == "run-ended" and self.session_began:
            given = entry.data.get("seconds")
            self.seconds += _between(self.session_began, entry.at) if given is None else float(given)
            self.session_began = ""
        self.last = entry.at

    def _note(self, key: str, value: Any) -> None:
        self.notes[key] = value
        if self.step:
            self.owners[key] = self.step

    def _step(self, event: str, step: str, data: dict[str, Any]) -> None:
        match event:
            case "step-started":
                self.step = step
                _add(self.started, step)
                _drop(self.reverted, step)
            case "step-done":
                self.step = ""
                _add(self.done, step)
                if "skipped" in data:
                    self.skipped[step] = str(data["skipped"])
            case "step-failed" | "step-revert-failed":
                self.step, self.failed = "", data.get("error", "")
            case "step-reverted":
                _add(self.reverted, step)
                _drop(self.done, step)
                _drop(self.started, step)
                # A step's notes no longer hold after it was undone.
                for key in [key for key, owner in self.owners.items() if owner == step]:
                    del self.owners[key]
                    self.notes.pop(key, None)


def _between(began: str, ended: str) -> float:
    """Seconds from one entry to another; 0 where the clock was set back in between or a time is missing."""
    if not (began and ended):
        return 0.0
    seconds = (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
    return round(max(seconds, 0.0), 3)


def _add(names: list[str], name: str) -> None:
    if name not in names:
        names.append(name)


def _drop(names: list[str], name: str) -> None:
    if name in names:
        names.remove(name)


def new_run_id(now: datetime | None = None) -> str:
    """Return a new run id: its start in UTC and four random hex digits; ids sort by time."""
    return f"{(now or datetime.now(UTC)):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _sum(before: str, body: str) -> str:
    return hashlib.sha256(f"{before}\n{body}".encode()).hexdigest()[:16]


def _body(n: int, at: str, event: str, data: dict[str, Any]) -> str:
    return json.dumps({"n": n, "t": at, "event": event, "data": data}, ensure_ascii=True, sort_keys=True)


class Journal:
    """Appends entries to a run's file; each is flushed to the disk (fsync) before `write` returns."""

    def __init__(self, folder: Path, *, n: int = 0, before: str = "") -> None:
        self.folder = folder
        self.record = RunRecord()
        self._n, self._before = n, before

    @classmethod
    def create(cls, run: str, root: Path | None = None) -> "Journal":
        """Create the journal of a new run below `root` (the state folder), readable by its owner only."""
        folder = private_folder("runs", root=root) / run
        try:
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise StateUnwritable(str(folder), error.strerror or str(error)) from error
        return cls(folder)

    @classmethod
    def open(cls, run: str, root: Path | None = None) -> "Journal":
        """Open the journal of `run` for more entries; an incomplete last line is cut off first.

        Raises:
            UsageError: there is no such run. JournalDamaged: a line before the last was changed.
            JournalNewer: of a later version. StateUnreadable, StateUnwritable: the file cannot be read or written.
        """
        path = _file_of(run, root)
        entries, before, good, damage = _read(path)
        if damage is not None:
            raise damage
        try:
            with path.open("rb+") as file:
                file.truncate(good)
        except OSError as error:
            raise StateUnwritable(str(path), error.strerror or str(error)) from error
        journal = cls(path.parent, n=len(entries), before=before)
        for entry in entries:
            journal.record.apply(entry)
        return journal

    @classmethod
    def nowhere(cls) -> "Journal":
        """Return a journal for a dry run: kept in memory, not written."""
        return _Nowhere(Path())

    @property
    def path(self) -> Path:
        """The journal's file."""
        return self.folder / _FILE

    def write(self, event: str, **data: Any) -> None:
        """Append one entry; it is on the disk when this returns.

        Raises:
            StateUnwritable: the entry could not be written; the file has what it had before.
        """
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        data = redact.tree(data)
        body = _body(self._n, at, event, data if self._n else {"format": FORMAT, **data})
        total = _sum(self._before, body)
        line = body[:-1] + f', "sum": "{total}"}}\n'
        try:
            _append(self.path, line.encode())
        except OSError as error:
            raise StateUnwritable(str(self.path), error.strerror or str(error)) from error
        self.record.apply(JournalEntry(self._n, at, event, json.loads(body)["data"]))
        self._n, self._before = self._n + 1, total

    def remember(self, event: str, **data: Any) -> None:
        """Apply an event that could not be written; a later resume checks the appliances anyway."""
        self.record.apply(JournalEntry(self._n, "", event, data))


def _append(path: Path, line: bytes) -> None:
    """Append `line` to the file and wait until it is on the disk; on an error the file is left as it was."""
    new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
    try:
        size = os.lseek(descriptor, 0, os.SEEK_END)
        try:
            left = line
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        except BaseException:  # a full disk may have stored a part of the line, after which no entry could be read
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)
    if new:
        sync(path.parent)


class _Nowhere(Journal):
    """A journal in memory."""

    def write(self, event: str, **data: Any) -> None:
        """Apply the entry only."""
        self.record.apply(JournalEntry(0, "", event, data))


def _read(path: Path) -> tuple[list[JournalEntry], str, int, JournalDamaged | None]:
    """Return the entries up to the first damaged line, the last checksum, how many bytes they are, and the damage."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise StateUnreadable(str(path), error.strerror or str(error)) from error
    _refuse_newer(path, raw)
    return _entries(raw, path)


def parse(raw: bytes, path: Path) -> tuple[list[JournalEntry], JournalDamaged | None]:
    """Return the entries of a journal's content up to the first damaged line, and the damage; `path` names it."""
    entries, _, _, damage = _entries(raw, path)
    return entries, damage


def _entries(raw: bytes, path: Path) -> tuple[list[JournalEntry], str, int, JournalDamaged | None]:
    entries: list[JournalEntry] = []
    before, good = "", 0
    for number, line in enumerate(raw.splitlines(keepends=True)):
        entry = _parse(line, number, before)
        if entry is None:
            if good + len(line) == len(raw) and not line.endswith(b"\n"):
                break  # incomplete: the machine stopped during the write, so the announced change did not begin
            return entries, before, good, JournalDamaged(str(path), number + 1, path.parent.name)
        entries.append(entry[0])
        before, good = entry[1], good + len(line)
    return entries, before, good, None


def _refuse_newer(path: Path, raw: bytes) -> None:
    """Raise JournalNewer for a later format, whose checksums may differ and would be reported as damage."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        version = json.loads(raw.partition(b"\n")[0])["data"]["format"]
        if isinstance(version, int) and version > FORMAT:
            raise JournalNewer(str(path), f"its format is {version}, the newest that is known here is {FORMAT}")


def _parse(line: bytes, number: int, before: str) -> tuple[JournalEntry, str] | None:
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        item = json.loads(line)
        if not line.endswith(b"\n"):
            return None
        body = _body(item["n"], item["t"], item["event"], item["data"])
        if item["n"] == number and item["sum"] == _sum(before, body):
            return JournalEntry(item["n"], item["t"], item["event"], item["data"]), item["sum"]
    return None


def read(run: str, root: Path | None = None) -> tuple[RunRecord, list[JournalEntry]]:
    """Read the journal of `run` without changing it; errors as of `Journal.open`."""
    record, entries, damage = read_up_to_damage(run, root)
    if damage is not None:
        raise damage
    return record, entries


def read_up_to_damage(
    run: str, root: Path | None = None
) -> tuple[RunRecord, list[JournalEntry], JournalDamaged | None]:
    """Read the journal up to the first damaged line; return that error, and raise all others."""
    entries, _, _, damage = _read(_file_of(run, root))
    record = RunRecord(run=run)
    for entry in entries:
        record.apply(entry)
    return record, entries, damage


def runs(root: Path | None = None) -> Iterator[str]:
    """Yield the ids of all runs, the newest first.

    Raises:
        StateUnreadable: the folder cannot be listed.
    """
    folder = (root or state_folder()) / "runs"
    try:
        names = [child.name for child in folder.iterdir() if _may_have_one(child)]
    except FileNotFoundError:
        return
    except OSError as error:
        raise StateUnreadable(str(folder), error.strerror or str(error)) from error
    yield from sorted(names, reverse=True)


def _may_have_one(folder: Path) -> bool:
    """Whether the folder has a journal; True also if that cannot be seen, so that reading it reports the error."""
    try:
        return (folder / _FILE).is_file()
    except OSError:
        return True


def _file_of(run: str, root: Path | None) -> Path:
    """Return the path of a run's journal.

    Raises:
        UsageError: there is no such run. StateUnreadable: the folder cannot be read.
    """
    folder = (root or state_folder()) / "runs"
    path = folder / run / _FILE
    try:
        there = run == path.parent.name and path.is_file()  # a plain name, not a path that leaves the folder
    except OSError as error:
        raise StateUnreadable(str(path), error.strerror or str(error)) from error
    if not there:
        near = suggestion(run, runs(root))
        raise UsageError(f"there is no run {run!r} in {folder}{near}", "list them: tscm-migrate run list")
    return path
