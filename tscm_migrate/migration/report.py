"""The report of a run: its data from the journal and the recorded commands, and its files in the run's folder.

The shape is documented in docs/reference/report.md; `v` changes when a field is removed or changes its meaning.
"""

import contextlib
import json
import platform
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tscm_migrate import __version__
from tscm_migrate.errors import MigrateError, StateUnwritable, UsageError
from tscm_migrate.events import RunFinished
from tscm_migrate.migration import estimate, final_state, journal, plan
from tscm_migrate.util import private, redact

VERSION = 1
COMMANDS = "commands.jsonl"
HTML, JSON = "report.html", "report.json"
_UNDO = {"step-reverted", "step-revert-failed"}
_BEGINS = {"run-started": "migrate", "run-resumed": "resume", "rollback-started": "rollback"}


def build(
    record: journal.RunRecord, entries: Sequence[journal.JournalEntry], *, commands: Sequence[dict[str, Any]] = (),
    finished: RunFinished | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return the report's data, of a journal and what `commands` reads; its texts have no control characters."""
    first = next((e.data for e in entries if e.event == "run-started"), {})
    notes = {**first.get("notes", {}), **record.notes}
    ever = {**notes, **_undone(entries)}
    sessions = _sessions(entries)
    rehearsal = ever.get("rehearsal") or {}
    checks = [*notes.get("checks", []), *rehearsal.get("checks", [])]
    data = {
        "v": VERSION,
        "run": record.run,
        "journal_lines": len(entries),
        "verb": sessions[-1]["verb"] if sessions else "migrate",
        "old": first.get("old", ""),
        "new": first.get("new", ""),
        **_ending(record, entries, finished),
        "asked": _asked(entries),
        "estimate": estimate.before_cutover(notes) if notes.get("estimate") else {},
        "address": (notes.get("facts_after") or {}).get("address", ""),
        "downtime": _downtime(ever, sessions, entries),
        "sessions": sessions,
        "checks": checks,
        "acknowledged": [c for c in checks if c.get("allowed")],
        "rehearsal": _rehearsal(rehearsal),
        "archives": _archives(ever),
        "devices": _devices(notes),
        "parity": notes.get("parity", []),
        "to_do": _to_do(record, finished, _last_end(entries)),
        "warnings": _warnings(commands),
        "commands": list(commands),
        "options": record.options,
        "responsible": _responsible(record.options, notes),
        "environment": _environment(first, notes),
    }
    clean: dict[str, Any] = redact.tree(data)
    return clean


def _last_end(entries: Sequence[journal.JournalEntry]) -> journal.JournalEntry | None:
    return next((entry for entry in reversed(entries) if entry.event == "run-ended"), None)


def _ending(
    record: journal.RunRecord, entries: Sequence[journal.JournalEntry], finished: RunFinished | None
) -> dict[str, Any]:
    """Return when the run began and ended, its outcome, what it left, and what to do next."""
    ended = _last_end(entries)
    data = ended.data if ended else {}
    last = ended or (entries[-1] if entries else None)
    return {
        "outcome": (finished.outcome if finished else record.outcome) or "unfinished",
        "state": record.state if record.outcome or not finished else finished.outcome,
        "began": entries[0].at if entries else "",
        "ended": last.at if last else "",
        "seconds": record.total_seconds,
        "standing": list(finished.held if finished else data.get("standing", [])),
        "next": list(finished.next if finished else data.get("next", [])),
    }


def _asked(entries: Sequence[journal.JournalEntry]) -> float:
    """Return for how many seconds the run and its resumes waited for the operator's answers."""
    return sum(float(entry.data.get("asked") or 0.0) for entry in entries if entry.event == "run-ended")


def _undone(entries: Sequence[journal.JournalEntry]) -> dict[str, Any]:
    """Return what a step has noted that is part of the run's history also after the step was undone."""
    kept = {"rehearsal", "archive", "archives", "offline_began", "online_at", "checks"}
    noted = (entry.data for entry in entries if entry.event == "noted" and entry.data.get("key") in kept)
    return {data["key"]: data["value"] for data in noted if data.get("value") is not None}


def _warnings(commands: Sequence[dict[str, Any]]) -> list[str]:
    """Every warning and error that the run emitted, what tsadmin printed among them; each once."""
    data = (str(one.get("text", "")) for one in commands if one.get("event") == "said" and one.get("level") != "info")
    return [text for text in dict.fromkeys(data) if text]


def commands(folder: Path) -> list[dict[str, Any]]:
    """Return the commands of a run as the recorder wrote them."""
    try:
        return parse_commands((folder / COMMANDS).read_bytes())
    except OSError:
        return []


def parse_commands(raw: bytes) -> list[dict[str, Any]]:
    """Return the commands in the content of their file; an incomplete line is left out."""
    rows = []
    for line in raw.decode("utf-8", "replace").split("\n"):
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return [one for one in rows if isinstance(one, dict)]


def _seconds(earlier: str, later: str) -> float:
    """Never less than none: the clock may have been set back in between."""
    return round(max((_time(later) - _time(earlier)).total_seconds(), 0.0), 3) if earlier and later else 0.0


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _iso(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _sessions(entries: Iterable[journal.JournalEntry]) -> list[dict[str, Any]]:
    """From each beginning (run, resume, rollback) to its end: the steps that it touched, with their times."""
    sessions: list[dict[str, Any]] = []
    for entry in entries:
        if entry.event in _BEGINS or not sessions:
            verb = entry.data.get("verb") or _BEGINS.get(entry.event, "migrate")
            sessions.append({"verb": verb, "began": entry.at, "ended": entry.at, "outcome": "", "steps": []})
        session = sessions[-1]
        if not session["outcome"]:  # what comes after its end (a `forget`) is not its time
            session["ended"] = entry.at
        if entry.event == "run-ended":
            session["outcome"], session["own"] = entry.data.get("outcome", ""), entry.data.get("seconds")
        elif "step" in entry.data:
            _take(session, entry)
    for session in sessions:
        _add_times(session)
    return sessions


def _add_times(session: dict[str, Any]) -> None:
    """Add to a session and to its steps how long they took."""
    session["seconds"] = session.pop("own", None) or _seconds(session["began"], session["ended"])
    for step in session["steps"]:
        step["seconds"] = _seconds(step["began"], step["ended"])
        if step["state"] == "done" and not step["actions"]:
            step["state"] = "skipped"  # there was nothing to do


def _take(session: dict[str, Any], entry: journal.JournalEntry) -> None:
    """Add an entry of a step to a session; the undo of a step is a row of its own."""
    data, step = entry.data, _row_of(session, entry)
    step["ended"], step["undo"] = entry.at, step["undo"] or entry.event in _UNDO
    match entry.event:
        case "step-done" | "step-reverted":
            step["state"], step["why"] = entry.event.removeprefix("step-"), data.get("skipped", "")
        case "step-failed" | "step-revert-failed":
            step["state"], step["error"] = "failed", data.get("error", "")
        case "action-started":
            action = {"host": data.get("host", ""), "describes": data["describes"], "began": entry.at, "seconds": None}
            step["actions"].append(action)
        case "action-done" if step["actions"]:
            step["actions"][-1]["seconds"] = data.get("seconds")


def _row_of(session: dict[str, Any], entry: journal.JournalEntry) -> dict[str, Any]:
    """Return the row of an entry's step; add a row if the step has none, or if its last row is complete."""
    name, steps = entry.data["step"], session["steps"]
    step: dict[str, Any] | None = next((row for row in reversed(steps) if row["id"] == name), None)
    if step is None or (step["state"] in {"done", "failed"} and entry.event != "action-done"):
        title, cutover = _known(name)
        step = {"id": name, "title": title, "cutover": cutover, "state": "running", "error": "", "why": ""}
        step |= {"actions": [], "undo": False}
        step |= {"began": steps[-1]["ended"] if entry.event in _UNDO and steps else entry.at}
        steps.append(step)
    return step


def _known(name: str) -> tuple[str, bool]:
    step = next((s for s in (*plan.steps(), *plan.steps(dead=True)) if s.id == name), None)
    return (step.title, step.cutover) if step else (name, False)


def _downtime(
    notes: dict[str, Any], sessions: list[dict[str, Any]], entries: Sequence[journal.JournalEntry]
) -> dict[str, Any] | None:  # fmt: skip
    """Return the downtime: from the old appliance's going offline to the last device update; `ended`: "" until then.

    Where a rollback came first, it ended when the old appliance was in service again. None also if the clock was set
    back meanwhile.
    """
    began, ended = notes.get("offline_began"), notes.get("online_at")
    returned = _returned(entries)
    rollback = None
    if ended is not None and returned:
        rollback = _seconds(*returned)
    elif returned:
        ended = _time(returned[1]).timestamp()
    if began is None or (ended is not None and ended < began):
        return None
    last = _time(sessions[-1]["ended"]).timestamp() if sessions else began
    return {
        "began": _iso(began),
        "ended": _iso(ended) if ended is not None else "",
        "seconds": round(max((ended if ended is not None else last) - began, 0.0), 1),
        "rollback": rollback,
        "dns_outage": any(
            check.get("name") == "dns-outage" and check.get("severity") != "ok" for check in notes.get("checks", [])
        ),
    }


def _rehearsal(note: dict[str, Any]) -> dict[str, Any]:
    """Return what a rehearsal has found; each part of its estimate with the title of the step."""
    found = {key: value for key, value in note.items() if key != "checks"}
    if parts := (found.get("downtime") or {}).get("parts"):
        titled = [{**part, "title": _known(part["step"])[0]} for part in parts]
        found["downtime"] = {**found["downtime"], "parts": titled}
    return found


def _returned(entries: Sequence[journal.JournalEntry]) -> tuple[str, str] | None:
    """Return when the last rollback began, and when it had the old appliance in service again; None if it has not."""
    began, times = "", None
    for entry in entries:
        if entry.event in {"rollback-started", "run-resumed"}:
            began = entry.at
        elif entry.event == "step-reverted" and entry.data.get("step") == "take-offline":
            times = (began or entry.at, entry.at)
        elif entry.event == "step-started" and entry.data.get("step") == "take-offline":
            times = None
    return times


def _responsible(options: dict[str, Any], notes: dict[str, Any]) -> dict[str, str]:
    """Who ran it, from where, and what allowed it."""
    by = notes.get("operator") or {}
    return {
        "operator": str(by.get("user", "")),
        "workstation": str(by.get("workstation", "")),
        "ticket": str(options.get("ticket") or ""),
        "approved_by": str(options.get("approved_by") or ""),
    }


def _devices(notes: dict[str, Any]) -> list[dict[str, Any]]:
    """Each device: what it was and is, and how its update went.

    `downtime`: seconds from taking the old appliance offline until the device was updated, or None.

    None too where it was not updated, where its time is not known, or where it was updated on a later day.
    """
    began, ended = notes.get("offline_began"), notes.get("online_at")
    compared = notes.get("device_table") or {}
    rows = []
    for name, result in sorted(notes.get("devices", {}).items()):
        at = result.get("at") if result.get("ok") else None
        served = None if at is None or began is None or at < began else round(at - began, 1)
        if ended is None or (at is not None and at > ended + 1.0):
            served = None
        device = {"name": name, "before": "", "now": "", "files": "", **compared.get(name, {})}
        rows.append({**device, **{k: v for k, v in result.items() if k != "at"}, "downtime": served})
    return rows


def _archives(notes: dict[str, Any]) -> list[dict[str, Any]]:
    archives = [*notes.get("archives", []), *([notes["archive"]] if notes.get("archive") else [])]
    unique = {(a.get("folder"), a.get("name")): a for a in archives if isinstance(a, dict)}
    return list(unique.values())


def _to_do(record: journal.RunRecord, finished: RunFinished | None, ended: journal.JournalEntry | None) -> list[str]:
    """Return what is left for the operator to do, as the end of the run names it; without an end, from the journal."""
    left = getattr(finished, "left", None) or (ended.data.get("left") if ended else None)
    return list(left or final_state.left_to_do(record))


def _environment(first: dict[str, Any], notes: dict[str, Any]) -> dict[str, Any]:
    hosts = {}
    for which, facts in notes.get("facts", {}).items():
        host = {key: facts.get(key) for key in ("name", "hostname", "os_pretty", "clock_skew")}
        host["core"] = dict(facts.get("versions", ())).get("TSCM-Core", "")
        host["addresses"] = sorted({i.get("address", "") for i in facts.get("interfaces", [])})
        hosts[which] = host
    return {
        "tscm_migrate": first.get("version", __version__),
        "report_by": __version__,
        "python": platform.python_version(),
        "workstation": platform.system(),
        "secrets": notes.get("secret_sources", {}),
        "hosts": hosts,
    }


# ------------------------------------------------------------------ the files


def write(
    run: str, render: Callable[[dict[str, Any]], str], finished: RunFinished | None = None, root: Path | None = None
) -> Path:
    """Write both files into the run's folder, each completely or not at all; return the path of the HTML file.

    `finished` is the run's last event; without it (a run that was killed) only the journal is read.

    Raises:
        UsageError: there is no such run. JournalDamaged. StateUnwritable.
    """
    data = _data(run, finished, root)
    place = folder(run, root)
    try:
        private.write(place / JSON, json.dumps(redact.tree(data), indent=2, ensure_ascii=False) + "\n")
        private.write(place / HTML, redact.known(render(redact.tree(data))))
    except OSError as error:
        raise StateUnwritable(str(place), error.strerror or str(error)) from error
    return place / HTML


def _data(run: str, finished: RunFinished | None, root: Path | None) -> dict[str, Any]:
    record, entries = journal.read(run, root)
    if not record.began:
        raise UsageError(f"run {run} has changed nothing; it has no report", "list all: tscm-migrate run list")
    return build(record, entries, commands=commands(folder(run, root)), finished=finished)


def folder(run: str, root: Path | None = None) -> Path:
    """Where a run keeps its files."""
    return (root or private.state_folder()) / "runs" / run


def find(run: str | None, root: Path | None = None) -> str:
    """Return the run that was given, or the newest that has changed something.

    Raises:
        UsageError: this workstation has no run yet.
    """
    if run:
        return run
    newest = next((name for name in journal.runs(root) if _did_anything(name, root)), None)
    if newest is None:
        raise UsageError("there are no runs yet", "make one: tscm-migrate migrate --from OLD --to NEW")
    return newest


def _did_anything(run: str, root: Path | None) -> bool:
    """Whether the run has entries; True also if it cannot be read, so that reading it reports the error."""
    try:
        return bool(journal.read(run, root)[0].began)
    except MigrateError:
        return True


def read(run: str, root: Path | None = None) -> dict[str, Any]:
    """The report's data; nothing is written.

    The report file has the end also if the journal could no longer be written. If the file is incomplete, or older
    than a killed resume, the journal is read.

    Raises:
        UsageError: there is no such run. JournalDamaged.
    """
    now = _data(run, None, root)
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        kept: dict[str, Any] = json.loads((folder(run, root) / JSON).read_text(encoding="utf-8"))
        if kept["journal_lines"] == now["journal_lines"]:
            return kept
    fresh: dict[str, Any] = redact.tree(json.loads(json.dumps(now)))
    return fresh
