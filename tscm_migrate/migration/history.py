"""Describe past runs, from their journals."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tscm_migrate.errors import MigrateError
from tscm_migrate.events import COMPLETED, state_text
from tscm_migrate.migration import final_state, journal, locks
from tscm_migrate.migration.checks import Finding
from tscm_migrate.migration.run_list import listing, state_of
from tscm_migrate.model import Host
from tscm_migrate.util import redact
from tscm_migrate.util.private import state_folder
from tscm_migrate.util.text import duration_text


def as_dict(run: str, root: Path | None = None) -> dict[str, Any]:
    """Return what `run show --json` prints; a journal contains no secrets."""
    record, entries = journal.read(run, root)
    return {
        "v": journal.FORMAT, "run": run, "state": state_of(record, root), "old": record.old, "new": record.new,
        "began": record.began, "ended": record.ended, "options": record.options,
        "started": record.started, "done": record.done, "reverted": record.reverted, "locked": record.locked,
        "entries": [{"n": e.n, "t": e.at, "event": e.event, "data": e.data} for e in entries],
    }  # fmt: skip


def explained(findings: list[Finding], old: Host, new: Host, root: Path | None = None) -> list[Finding]:
    """Replace "unreachable" by "migrated-already" if an earlier run has moved the host."""
    missing = next((f for f in findings if f.name == "unreachable"), None)
    done = [line for line in listing(root) if (line.old, line.new) == (old.name, new.name)]
    last = next((line for line in done if line.state in COMPLETED), None)
    if missing is None or last is None:
        return findings
    text = (
        f"{old.name} was already migrated to {new.name} by run {last.run}; at least one of them has another address now"
    )
    remedy = (
        f"nothing, if {new.name} now serves at {old.address} (see: tscm-migrate run show {last.run}); "
        f"to undo it: tscm-migrate rollback {last.run}"
    )
    others = [f for f in findings if f.name != "unreachable"]
    return [Finding("migrated-already", "error", text, remedy, firm=True), *others]


def lines(run: str, root: Path | None = None) -> tuple[list[str], MigrateError | None]:
    """Return a run as lines: its steps with times, its state, and the commands to resume or roll it back.

    If the journal is damaged, the error is returned as well, and the lines end before the damage.
    """
    record, entries, damage = journal.read_up_to_damage(run, root)
    state = "damaged" if damage else state_of(record, root)
    shown = [f"run {run}: {state_text(state)}"]
    shown += [f"{record.old} → {record.new}, begun {record.began}"] if record.began else []
    shown.append(f"kept in {(root or state_folder()) / 'runs' / run}")
    shown += _step_lines(entries)
    if state != "running":
        shown += _how_it_ended(record, entries)
        if not damage and locks.unfinished(run, root):
            shown.append(f"continue: tscm-migrate resume {run}; or undo it: tscm-migrate rollback {run}")
    return [redact.one_line(text) for text in shown], None if state == "running" else damage


def _step_lines(entries: Sequence[journal.JournalEntry]) -> list[str]:
    """Return a line for each entry that has one; a step that had nothing to do is shown once, as skipped."""
    skipped = {entry.data["step"] for entry in entries if entry.event == "step-done" and "skipped" in entry.data}
    skipped -= {entry.data.get("step") for entry in entries if entry.event == "action-started"}
    shown = [one for one in entries if one.event != "step-started" or one.data["step"] not in skipped]
    return [text for entry in shown if (text := _line(entry))]


def _how_it_ended(record: journal.RunRecord, entries: Sequence[journal.JournalEntry]) -> list[str]:
    """Return a run's total time, what it left and what is next; of an unfinished run what it has left until now."""
    if not record.outcome:
        return final_state.remaining_state(record)
    ended = next(entry.data for entry in reversed(entries) if entry.event == "run-ended")
    following = [f"next: {line}" for line in ended.get("next", [])]
    return [f"total {duration_text(record.total_seconds)}", *ended.get("standing", []), *following]


def _line(entry: journal.JournalEntry) -> str:
    data = entry.data
    at = entry.at[11:19]
    match entry.event:
        case "step-started" | "step-done" | "step-reverted":
            state = "skipped" if "skipped" in data else entry.event.removeprefix("step-")
            why = f": {data['skipped']}" if "skipped" in data else ""
            return f"{at}  {state:<9} {data['step']}{why}"
        case "step-failed" | "step-revert-failed":
            return f"{at}  failed    {data['step']}: {data.get('error', '')}"
        case "action-started":
            return f"{at}    {data['host']}: {data['describes']}"
        case "run-resumed" | "rollback-started":
            return f"{at}  {entry.event.replace('-', ' ')}"
        case "run-ended":
            return f"{at}  ended: {state_text(str(data.get('outcome', '')))}"
    return ""
