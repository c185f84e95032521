"""The report as lines for a terminal."""

from __future__ import annotations

from typing import Any

from tscm_migrate.ui.page import clock
from tscm_migrate.util.redact import one_line
from tscm_migrate.util.text import duration_text, size_text


def lines(told: dict[str, Any]) -> list[str]:
    """Return a summary: outcome, times, steps, devices, what is left to do, and the current state."""
    head = f"{told['verb']} {told['old']} → {told['new']}: {told['outcome']} (run {told['run']})"
    asked = f" (and {duration_text(told['asked'])} for the operator's answers)" if told["asked"] >= 1 else ""
    found = [
        head,
        f"  {clock(told['began'])} to {clock(told['ended'])} UTC, total {duration_text(told['seconds'])}{asked}",
    ]
    found += [f"  {what.replace('_', ' ')}: {value}" for what, value in told["responsible"].items() if value]
    if told["downtime"]:
        dns = ", which was a DNS outage for its clients" if told["downtime"].get("dns_outage") else ""
        planned = f" (estimated {duration_text(told['estimate']['downtime'])})" if told["estimate"] else ""
        found.append(f"  downtime {duration_text(told['downtime']['seconds'])}{planned}{dns}")
    for session in told["sessions"]:
        found += [f"  {session['verb']}:"] if len(told["sessions"]) > 1 else []
        found += [_step(step) for step in session["steps"]]
    found += [f"  archive {a['name']} ({size_text(a['size'])}) SHA-256 {a['sha256']}" for a in told["archives"]]
    found += [f"  acknowledged: {c['name']}: {c['text']}" for c in told["acknowledged"]]
    if told["devices"]:
        good = sum(1 for d in told["devices"] if d["ok"])
        found.append(f"  {good} of {len(told['devices'])} devices updated")
    found += [f"  warning: {line}" for line in told.get("warnings", ())]
    found += [f"  [ ] {item}" for item in told["to_do"]]
    found += [f"  {line}" for line in told["standing"]]
    found += [f"  next: {line}" for line in told["next"]]
    return [one_line(line) for line in found]


def _step(step: dict[str, Any]) -> str:
    why = f" ({step['why']})" if step["why"] else ""
    return f"  {step['state']:<9}{duration_text(step['seconds']):>13}  {step['title']}{why}"
