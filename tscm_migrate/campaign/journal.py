"""The journal of a campaign: a JSON line for each start, on disk before it, and for each result.

The file is `campaigns/NAME/journal.jsonl` in the state folder. Each pair's migration has a journal of its own; this one
records only the pairs, their windows, and the known results.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tscm_migrate.errors import CampaignMissing, CampaignRunning, JournalDamaged, StateUnwritable
from tscm_migrate.events import COMPLETED
from tscm_migrate.util import private, redact
from tscm_migrate.util.text import suggestion

_FILE = "journal.jsonl"
_LONGEST_ENTRY = 1 << 20  # bytes


@dataclass(frozen=True)
class PairResult:
    """How a pair's last command ended.

    Args:
        pair: its name.
        state: done, attention (migrated, manual work is left), failed, refused, interrupted, unfinished, not-ready
            (its rehearsal was refused), or skipped.
        run: the id of the migration's run, "" where none began.
        exit_code: of the command; None where it was killed.
        seconds, downtime, estimate: of the run, None where unknown; `estimate` is the estimated downtime.
        error, remedy: of the failure, or "".
        left: what is still paused or offline, each with its command.
        machine: the machine that ran the command, which has the run's journal.
    """

    pair: str
    state: str
    run: str = ""
    exit_code: int | None = None
    seconds: float | None = None
    downtime: float | None = None
    estimate: float | None = None
    error: str = ""
    remedy: str = ""
    left: tuple[str, ...] = ()
    machine: str = ""

    @property
    def good(self) -> bool:
        """Whether the pair is migrated."""
        return self.state in COMPLETED


@dataclass
class State:
    """What a campaign's journal says: windows by wave, results by pair (`rehearsed` and `migrated`), and the end."""

    name: str = ""
    plan: str = ""
    inventory: str = ""
    began: str = ""
    ended: str = ""
    why: str = ""
    resumed: bool = False
    windows: dict[str, list[str]] = field(default_factory=dict)
    times: dict[str, list[str]] = field(default_factory=dict)  # by wave, as the plan had them
    waves: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    rehearsed: dict[str, PairResult] = field(default_factory=dict)
    migrated: dict[str, PairResult] = field(default_factory=dict)
    on_cluster: set[str] = field(default_factory=set)  # pairs that were started on a worker of a cluster
    failed_before: set[str] = field(default_factory=set)  # pairs that failed before the last resume, and not since

    def apply(self, event: str, at: str, data: dict[str, Any]) -> None:
        """Take one entry into account; unknown events are ignored."""
        match event:
            case "begun":
                self.name, self.plan, self.began = data["name"], data["plan"], at
                self.inventory, self.windows = data["inventory"], data["windows"]
                self.times = data.get("times", {})
            case "resumed":
                self.ended = self.why = ""
                self.resumed = True
                self.windows |= data.get("windows", {})
                self.times |= data.get("times", {})
                self.failed_before = {pair for pair, result in self.migrated.items() if not result.good}
            case "rehearsed":
                self.rehearsed[data["pair"]] = _result(data)
            case "wave":
                self.waves.append(data["wave"])
            case "started":
                self.started.append(data["pair"])
                self.on_cluster |= {data["pair"]} if data.get("cluster") else set()
            case "migrated":
                self.migrated[data["pair"]] = _result(data)
                self.failed_before.discard(data["pair"])
            case "ended":
                self.ended, self.why = at, data.get("why", "")


class CampaignJournal:
    """Appends entries, each flushed to the disk before `write` returns."""

    def __init__(self, name: str, *, root: Path | None = None) -> None:
        self.folder = private.private_folder("campaigns", name, root=root)
        self.state = State()

    def write(self, event: str, **data: Any) -> None:
        """Append one entry.

        Raises:
            StateUnwritable: the disk is full or read-only.
        """
        at = datetime.now(UTC).isoformat(timespec="seconds")
        line = json.dumps({"t": at, "event": event, "data": redact.tree(data)}) + "\n"
        path = self.folder / _FILE
        try:
            if event == "begun":  # a full disk may have left a part of one there
                private.write(path, line)
            else:
                private.append(path, line, sync=True)
        except OSError as error:
            raise StateUnwritable(str(path), error.strerror or str(error)) from error
        self.state.apply(event, at, json.loads(line)["data"])

    def result(self, event: str, result: PairResult) -> None:
        """Append the result of a rehearsal ("rehearsed") or of a migration ("migrated")."""
        self.write(event, **asdict(result))

    @classmethod
    def reopened(cls, name: str, *, root: Path | None = None) -> "CampaignJournal":
        """Open the journal of a campaign that was started before; an incomplete last line is dropped.

        Raises:
            CampaignMissing: it was not started on this workstation.
            JournalDamaged: a line in the middle is not readable.
        """
        path = (root or private.state_folder()) / "campaigns" / name / _FILE
        known = names(root=root)
        if name not in known:
            fix = f"known here: {', '.join(known)}" if known else "start one: tscm-migrate campaign run PLAN.toml"
            raise CampaignMissing(f"no campaign {name!r} was started here{suggestion(name, known)}", fix)
        opened = cls(name, root=root)
        kept, text = 0, path.read_bytes()
        lines = text.splitlines(keepends=True)
        for number, line in enumerate(lines):
            try:
                entry = json.loads(line)
                opened.state.apply(entry["event"], entry["t"], entry["data"])
            except (ValueError, KeyError, TypeError):
                if number != len(lines) - 1:
                    raise JournalDamaged(str(path), number + 1) from None
                break
            kept += len(line)
        if kept < len(text):
            os.truncate(path, kept)
        elif text and not text.endswith(b"\n"):
            private.append(path, "\n")
        return opened


@contextlib.contextmanager
def locked(name: str, *, root: Path | None = None) -> Iterator[None]:
    """Lock a campaign until the block (or the process) ends; two processes would start the same pairs.

    Raises:
        CampaignRunning: another process of this workstation has locked it.
        StateUnwritable: the disk is full or read-only.
    """
    path = private.private_folder("campaigns", name, root=root) / "lock"
    with private.locked(path, lambda: CampaignRunning(name)):
        yield


def names(*, root: Path | None = None) -> list[str]:
    """Return the campaigns of this workstation, by name. A journal without a complete entry is not counted."""
    with contextlib.suppress(OSError):
        found = ((root or private.state_folder()) / "campaigns").glob(f"*/{_FILE}")
        return sorted(path.parent.name for path in found if _has_begun(path))
    return []


def _has_begun(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline(_LONGEST_ENTRY).endswith((b"\n", b"}"))


def _result(data: dict[str, Any]) -> PairResult:
    known = {one.name for one in fields(PairResult)}
    given = {name: value for name, value in data.items() if name in known}
    return PairResult(**{**given, "left": tuple(given.get("left", ()))})
