"""Run one pair's migration as a process of its own, and read how it ends from its JSON events.

A process for each pair: a run handles signals and ends by its own rules, and a pair whose process is killed leaves a
journal that `resume` continues. `work` takes and returns plain data, so that it can run in a thread or on another
machine; secrets are resolved by the process, where it runs.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tscm_migrate.campaign.journal import PairResult
from tscm_migrate.errors import Exit, MigrateError
from tscm_migrate.events import COMPLETED
from tscm_migrate.migration import journal, locks, run_list
from tscm_migrate.util import redact

_LONGEST_LINE = 1 << 20  # bytes of one event
_KEPT = 4096  # bytes of standard error
_GRACE = 900.0  # seconds for an interrupted run to undo what it did
_STATES = {
    Exit.DONE: "done",
    Exit.ATTENTION: "attention",
    Exit.REFUSED: "refused",
    Exit.INTERRUPTED: "interrupted",
}

stopping = threading.Event()  # set to interrupt every pair of this process


@dataclass(frozen=True)
class Job:
    """One command for one pair: its rehearsal, its migration, or the resume of its run.

    `words` are the options of `migrate`; `timeout` in seconds; `state` and `inventory` are paths, "" for the defaults.
    """

    pair: str
    old: str
    new: str
    verb: Literal["rehearse", "migrate", "resume"]
    words: tuple[str, ...] = ()
    run: str = ""
    inventory: str = ""
    timeout: float = 6 * 3600.0

    def argv(self) -> list[str]:
        """Return the command line."""
        tool = [sys.executable, "-m", "tscm_migrate", self.verb]
        site = ["--inventory", self.inventory] if self.inventory else []
        if self.verb == "resume":
            return [*tool, self.run, "--yes", "--json", *site]
        asked = ["--keep", "--json"] if self.verb == "rehearse" else ["--yes", "--json"]
        return [*tool, "--from", self.old, "--to", self.new, *asked, *site, *self.words]


def work(job: Job, *, watch: Callable[[str, Mapping[str, Any]], None] | None = None) -> PairResult:
    """Run a job to its end; return its result, also where it failed. `watch` gets the pair's name and each event."""
    seen: dict[str, Any] = {}
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            job.argv(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, **_own_group()
        )
        reader = threading.Thread(target=_read, args=(process, job.pair, seen, watch), daemon=True)
        reader.start()
        killed = _wait(process, job.timeout)
        reader.join(10)
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - _KEPT))
        stderr = redact.outside(errors.read().decode("utf-8", "replace"), lines=True).strip()
    return _result(job, process.returncode, seen, stderr, killed=killed)


def _own_group() -> dict[str, Any]:
    """Keep a Ctrl-C at the campaign's terminal from reaching the pairs: the campaign interrupts them itself."""
    if os.name == "nt":
        return {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    return {"start_new_session": True}


def _wait(process: subprocess.Popen[bytes], timeout: float) -> str:
    """Wait for the end; interrupt the process on `stopping` and after `timeout`; return why it had to be killed."""
    deadline, asked = time.monotonic() + timeout, False
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
            return ""
        late = time.monotonic() > deadline
        if (late or stopping.is_set()) and not asked:
            asked, deadline = True, time.monotonic() + _GRACE
            with contextlib.suppress(OSError):
                process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGINT))
        elif late:
            process.kill()
            process.wait()
            return f"it did not end within {_GRACE:.0f} s after it was interrupted"


def _read(
    process: subprocess.Popen[bytes], pair: str, seen: dict[str, Any],
    watch: Callable[[str, Mapping[str, Any]], None] | None,
) -> None:  # fmt: skip
    """Read the events, also those that are not valid, so that the process never waits for a full pipe."""
    assert process.stdout is not None  # noqa: S101 - see Popen
    while line := process.stdout.readline(_LONGEST_LINE):
        with contextlib.suppress(ValueError, AttributeError, TypeError):
            event = json.loads(line)
            match event.get("event"):
                case "run_started":
                    seen["run"] = str(event["run"])
                case "run_finished" | "error":
                    seen[event["event"]] = event
                case "estimated" if event.get("step") == "downtime":
                    seen["estimate"] = float(event["seconds"])
            if watch is not None:
                watch(pair, event)


def _result(job: Job, status: int, seen: dict[str, Any], stderr: str, *, killed: str) -> PairResult:
    finished, error = seen.get("run_finished", {}), seen.get("error", {})
    if killed or status < 0 or (not finished and not error):
        state = "unfinished" if seen.get("run") else "failed"
    else:
        state = _state(status, str(seen.get("run", job.run)))
    if job.verb == "rehearse":
        state = "done" if state in COMPLETED else "not-ready"
    message = str(error.get("message", ""))[:1000] or killed
    if state not in COMPLETED and not message:
        message = next(iter(stderr.splitlines()), f"it ended with exit status {status}")[:1000]
    return PairResult(
        job.pair, state, run=str(seen.get("run", job.run)), exit_code=status if status >= 0 else None,
        seconds=finished.get("seconds"), downtime=finished.get("downtime"), estimate=seen.get("estimate"),
        error=message, remedy=str(error.get("remedy", ""))[:1000], left=tuple(map(str, finished.get("held", ()))),
        machine=socket.gethostname(),
    )  # fmt: skip


def _state(status: int, run: str) -> str:
    """Return the state of a run that has ended, by its exit status; of an interrupted one, by its journal."""
    state = _STATES.get(Exit(status), "failed") if status in set(Exit) else "failed"
    if state == "interrupted":
        with contextlib.suppress(MigrateError):
            return journal.read(run)[0].state
    return state


def last_run(old: str, new: str) -> tuple[str, str]:
    """Return id and state of the newest run of a pair on this workstation; ("", "") if it has no run.

    The state is running, done, attention, unfinished (it can be resumed) or over.
    """
    for run in journal.runs():
        with contextlib.suppress(MigrateError):
            record, _ = journal.read(run)
            if (record.old, record.new) == (old, new):
                state = run_list.state_of(record)
                if state not in {"running", *COMPLETED}:
                    state = "unfinished" if locks.unfinished(run) else "over"
                return run, state
    return "", ""
