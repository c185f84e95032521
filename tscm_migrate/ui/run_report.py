"""The report of a run: as one HTML file with its timeline (printable, light and dark), and as lines for a terminal.

The data is what `migration.report` returns.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from tscm_migrate.events import state_text
from tscm_migrate.ui import page
from tscm_migrate.util.redact import one_line
from tscm_migrate.util.text import duration_text, range_text, size_text


def render(report: dict[str, Any]) -> str:
    """Return the page."""
    return page.render(
        "report.html.j2",
        r=report,
        charts=[timeline(session, report["downtime"]) for session in report["sessions"]],
        headline=headline(report),
        estimated=estimate_text(report["estimate"]),
        estimated_total=total_text(report["estimate"]),
        rehearsed=estimate_text(_rehearsed(report)),
        parts=_rehearsed(report).get("parts", []),
        passed=sum(check["severity"] == "ok" for check in report["checks"]),
        broken=broken(report),
    )


def headline(report: dict[str, Any]) -> str:
    """Return the result of a run in one sentence."""
    old, new, todo = report["old"], report["new"], len(report["to_do"])
    if report["state"] == "rehearsed":
        expected = _rehearsed(report)
        estimate = f" Estimated downtime: {estimate_text(expected)}." if expected else ""
        return f"The rehearsal succeeded, and its changes were undone.{estimate}"
    here = f"{new} serves at {report['address']}" if report["address"] else f"{new} serves"
    return {
        "done": f"{here} in place of {old}.",
        "attention": f"{here} in place of {old}; {todo} item{'s' if todo != 1 else ''} left for you to do.",
        "rolled-back": "The changes of this run were undone.",
        "failed": "The run failed; its changes were undone.",
        "cancelled": "The run was cancelled; its changes were undone.",
        "undone": "The run was interrupted; its changes were undone.",
        "interrupted": "The run was interrupted before its end; see the current state.",
    }.get(report["state"], "The run has not ended; see the current state.")


def _rehearsed(report: dict[str, Any]) -> dict[str, Any]:
    """Return the estimate of a run that only rehearsed, as `estimate_text` takes it, with its parts; else nothing."""
    expected = report["rehearsal"].get("downtime") or {}
    if report["state"] != "rehearsed" or not expected:
        return {}
    spread = expected if expected.get("least", 0.0) < expected.get("most", 0.0) else {}
    return {
        "downtime": expected["seconds"],
        "least": spread.get("least"),
        "most": spread.get("most"),
        "parts": expected.get("parts", []),
    }


def broken(report: dict[str, Any]) -> str:
    """Return the step at which an unfinished or failed run stopped, with its error; "" if it did not stop at one."""
    if report["outcome"] not in {"failed", "interrupted", "unfinished"} or not report["sessions"]:
        return ""
    steps = [step for step in report["sessions"][-1]["steps"] if step["state"] == "failed"]
    return f"{steps[-1]['title']}: {steps[-1]['error']}" if steps else ""


_TICKS = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_MOST_TICKS = 5
_THINNEST = 0.6  # percent, so that a short step is seen


def total_text(estimate: dict[str, Any]) -> str:
    """Return the estimated time of a run, as a range where its downtime is one."""
    total, most = estimate.get("total"), estimate.get("most")
    if total is None or not most:
        return range_text(total)
    beside = total - estimate["downtime"]
    return range_text(total, beside + estimate["least"], beside + most)


def estimate_text(estimate: dict[str, Any]) -> str:
    """Return the estimated downtime of a run, as a range where it is one."""
    return range_text(estimate.get("downtime"), estimate.get("least"), estimate.get("most"))


def timeline(session: dict[str, Any], downtime: dict[str, Any] | None) -> dict[str, Any]:
    """Return `bars` (each with `x`, `width`), `ticks` (`x`, `text`) and `band` (`x`, `width`; or None), in percent."""
    began = _seconds_of(session["began"])
    length = max(_seconds_of(session["ended"]) - began, 0.001)
    bars = [_part((_seconds_of(step["began"]) - began) / length, step["seconds"] / length) for step in session["steps"]]
    return {"bars": bars, "ticks": _ticks(length), "band": _band(began, length, downtime)}


def _seconds_of(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _part(start: float, share: float) -> dict[str, float]:
    x = min(max(100 * start, 0.0), 100 - _THINNEST)
    return {"x": round(x, 2), "width": round(min(max(100 * share, _THINNEST), 100 - x), 2)}


def _ticks(length: float) -> list[dict[str, Any]]:
    every = next((tick for tick in _TICKS if length / tick <= _MOST_TICKS), length / _MOST_TICKS)
    count = int(length / every)
    return [{"x": round(100 * n * every / length, 2), "text": _tick_text(n * every)} for n in range(count + 1)]


def _tick_text(value: float) -> str:
    if value < 120:
        return f"{value:g} s"
    return f"{value / 60:g} min" if value < 7200 else f"{value / 3600:g} h"


def _band(began: float, length: float, downtime: dict[str, Any] | None) -> dict[str, float] | None:
    """The part of the downtime that falls into this session."""
    if downtime is None:
        return None
    start = max(_seconds_of(downtime["began"]) - began, 0.0)
    end = min(_seconds_of(downtime["ended"]) - began, length) if downtime["ended"] else length
    return _part(start / length, (end - start) / length) if end > start else None


def text_lines(report: dict[str, Any]) -> list[str]:
    """Return a summary: outcome, times, steps, devices, what is left to do, and the current state."""
    head = f"{report['verb']} {report['old']} → {report['new']}: {state_text(report['state'])} (run {report['run']})"
    asked = f" (and {duration_text(report['asked'])} for the operator's answers)" if report["asked"] >= 1 else ""
    began, ended = page.clock(report["began"]), page.clock(report["ended"])
    lines = [head, f"  {began} to {ended} UTC, total {duration_text(report['seconds'])}{asked}"]
    lines += [f"  {what.replace('_', ' ')}: {value}" for what, value in report["responsible"].items() if value]
    lines += [_downtime_line(report)] if report["downtime"] else []
    lines += _rehearsal_lines(_rehearsed(report))
    lines += _step_lines(report["sessions"])
    lines += _result_lines(report)
    return [one_line(line) for line in lines]


def _result_lines(report: dict[str, Any]) -> list[str]:
    """Return what a run produced, warned of, left to do, and what is next."""
    lines = [f"  archive {a['name']} ({size_text(a['size'])}) SHA-256 {a['sha256']}" for a in report["archives"]]
    lines += [f"  acknowledged: {c['name']}: {c['text']}" for c in report["acknowledged"]]
    if report["devices"]:
        good = sum(1 for d in report["devices"] if d["ok"])
        lines.append(f"  {good} of {len(report['devices'])} devices updated")
    lines += [f"  warning: {line}" for line in report.get("warnings", ())]
    lines += [f"  [ ] {item}" for item in report["to_do"]]
    lines += [f"  {line}" for line in report["standing"]]
    lines += [f"  next: {line}" for line in report["next"]]
    return lines


def _downtime_line(report: dict[str, Any]) -> str:
    downtime = report["downtime"]
    dns = ", which was a DNS outage for its clients" if downtime.get("dns_outage") else ""
    planned = f" (estimated {estimate_text(report['estimate'])})" if report["estimate"] else ""
    back = downtime.get("rollback")
    more = f"; at most {duration_text(back)} more for the rollback" if back is not None else ""
    return f"  downtime {duration_text(downtime['seconds'])}{planned}{dns}{more}"


def _rehearsal_lines(expected: dict[str, Any]) -> list[str]:
    if not expected:
        return []
    parts = [f"    {duration_text(one['seconds']):>11}  {one['title']} ({one['basis']})" for one in expected["parts"]]
    return [f"  estimated downtime {estimate_text(expected)}:", *parts]


def _step_lines(sessions: list[dict[str, Any]]) -> Iterator[str]:
    for session in sessions:
        if len(sessions) > 1:
            yield f"  {session['verb']}:"
        yield from (_step_line(step) for step in session["steps"])


def _step_line(step: dict[str, Any]) -> str:
    why = f" ({step['why']})" if step["why"] else ""
    undo = "Undo: " if step.get("undo") else ""
    return f"  {step['state']:<9}{duration_text(step['seconds']):>13}  {undo}{step['title']}{why}"
