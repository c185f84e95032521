"""List the runs of this workstation and their states; without the packages that a run needs, so that it is fast."""

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from tscm_migrate.errors import MigrateError, StateUnwritable
from tscm_migrate.events import state_text
from tscm_migrate.migration import journal
from tscm_migrate.util import private


@dataclass(frozen=True)
class RunLine:
    """One run: `state` is its outcome, or "undone", "unfinished", "running", "nothing begun"; times as written.

    "damaged", "unreadable" or "newer" (of a later version) if the journal cannot be read.
    """

    run: str
    state: str
    old: str = ""
    new: str = ""
    began: str = ""
    ended: str = ""

    def text(self) -> str:
        """Return the run as one line of a list."""
        pair = f"{self.old} → {self.new}" if self.old else ""
        began = f"{self.began[:10]} {self.began[11:16]} UTC" if self.began else ""
        return f"{self.run:<20}  {state_text(self.state):<13}  {pair:<19}  {began}".rstrip()


def listing(root: Path | None = None) -> list[RunLine]:
    """List all runs, the newest first; a journal that cannot be read is listed as such."""
    lines = []
    for run in journal.runs(root):
        try:
            record, _ = journal.read(run, root)
        except MigrateError as error:
            lines.append(RunLine(run, error.code.rpartition(".")[2]))
            continue
        lines.append(RunLine(run, state_of(record, root), record.old, record.new, record.began, record.ended))
    return lines


def state_of(record: journal.RunRecord, root: Path | None = None) -> str:
    """Return the state of a run as one word."""
    if not record.began:
        return "nothing begun"
    with contextlib.suppress(StateUnwritable):  # on a read-only disk no run can be active
        if is_running(record.run, root):
            return "running"
    return record.state


def run_file(run: str, root: Path | None) -> Path:
    """Return the local lock file of a run, which exists while a process works on the run."""
    return (root or private.state_folder()) / "locks" / f"run-{run}.lock"


def is_running(run: str, root: Path | None = None) -> bool:
    """Whether a process of this workstation (this one included) works on the run.

    Raises:
        StateUnwritable: the lock file cannot be opened, so it is unknown.
    """
    from filelock import FileLock, Timeout

    path = run_file(re.sub(r"[^\w.-]", "_", run), root)
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StateUnwritable(str(path), error.strerror or str(error)) from error
    try:
        with FileLock(path, timeout=0, mode=private.FILE):
            return False
    except Timeout:
        return True
    except OSError as error:
        raise StateUnwritable(str(path), error.strerror or str(error)) from error
