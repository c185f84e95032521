"""Show a campaign: its plan and status as text, a live board, and an index page of all its runs."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tscm_migrate.events import COMPLETED, state_text
from tscm_migrate.ui import page
from tscm_migrate.ui.console import as_json, say, table
from tscm_migrate.util import private, redact
from tscm_migrate.util.text import UNKNOWN, duration_text

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from tscm_migrate.campaign.journal import PairResult, State
    from tscm_migrate.campaign.plan import CampaignPlan

_KEPT = 200  # lines above the live table that are printed again after a change of the width
_HEAD = ("WAVE", "PAIR", "STATE", "ESTIMATED", "DOWNTIME", "TOTAL", "RUN")


def plan_text(plan: CampaignPlan) -> str:
    """Return the plan: waves, windows in both time zones, pairs with their options."""
    count = sum(1 for _ in plan.pairs())
    waves = _counted(len(plan.waves), "wave")
    lines = [f"campaign {plan.name}: {_counted(count, 'pair')}, {waves}, stops after {plan.stop_after} failed"]
    for wave in plan.waves:
        at_once = f", {wave.jobs} at once" if wave.jobs > 1 else ""
        lines.append(f"wave {wave.name}: {wave.window.text(plan.zone)}{at_once}")
        lines += [f"  {pair.name}  {' '.join(pair.words)}".rstrip() for pair in wave.pairs]
    return "\n".join(lines)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def rows(plan: CampaignPlan, state: State) -> Iterator[dict[str, Any]]:
    """Yield each pair with its wave, state, times in seconds, run id, error and remedy."""
    for wave, pair in plan.pairs():
        done, rehearsed = state.migrated.get(pair.name), state.rehearsed.get(pair.name)
        result = done or (rehearsed if rehearsed and not rehearsed.good else None)
        waiting = "started" if pair.name in state.started else "rehearsed" if rehearsed else "waiting"
        estimates = [one.estimate for one in (done, rehearsed) if one and one.estimate]
        times = {"downtime": done.downtime, "seconds": done.seconds} if done else {"downtime": None, "seconds": None}
        yield {
            "wave": wave.name, "pair": pair.name, "old": pair.old, "new": pair.new,
            "state": result.state if result else waiting, "estimate": next(iter(estimates), None), **times,
            **_of_result(result),
        }  # fmt: skip


def _of_result(result: PairResult | None) -> dict[str, Any]:
    """Return run id, error, remedy and what is left of a migration or of a failed rehearsal; empty before either."""
    if result is None:
        return {"run": "", "error": "", "remedy": "", "left": []}
    return {
        "run": result.run, "error": redact.one_line(result.error), "remedy": redact.one_line(result.remedy),
        "left": [redact.one_line(one) for one in result.left],
    }  # fmt: skip


def as_dicts(plan: CampaignPlan, state: State) -> dict[str, Any]:
    """Return what `campaign status --json` prints."""
    return {
        "v": 1, "campaign": plan.name, "began": state.began, "ended": state.ended, "why": state.why,
        "pairs": list(rows(plan, state)),
    }  # fmt: skip


def status_text(plan: CampaignPlan, state: State, width: int | None = None) -> str:
    """Return a table of all pairs, and the failures grouped by their reason.

    If the table is wider than `width`, return lines about each pair in its place.
    """
    lines = table(_HEAD, (_cells(row) for row in rows(plan, state))).splitlines()
    if width is not None and max(map(len, lines)) > width:
        lines = [line for row in rows(plan, state) for line in _narrow(row)]
    reasons: dict[str, list[str]] = {}
    for row in rows(plan, state):
        if row["error"]:
            reason = f"{row['error']}\n    what to do: {row['remedy'] or 'see the run'}"
            reasons.setdefault(reason, []).append(row["pair"])
    for reason, names in reasons.items():
        more = f" … and {len(names) - 8} more" if len(names) > 8 else ""
        lines += ["", f"{', '.join(names[:8])}{more}:", f"    {reason}"]
    if state.why:
        lines += ["", f"ended: {redact.one_line(state.why)}"]
    return "\n".join(lines)


def _narrow(row: Mapping[str, Any]) -> Iterator[str]:
    wave, pair, state, *times, run = _cells(row)
    parts = [
        f"wave {wave}",
        *(f"{name.lower()} {time}" for name, time in zip(_HEAD[3:6], times, strict=True) if time != UNKNOWN),
    ]
    yield f"{pair}: {state}"
    yield f"    {', '.join(parts)}"
    if run:
        yield f"    run {run}"


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    times = (duration_text(row[key]) for key in ("estimate", "downtime", "seconds"))
    return (row["wave"], row["pair"], state_text(row["state"]), *times, row["run"])


class CampaignBoard:
    """Shows what every pair is doing: a live table on a terminal, lines elsewhere, JSON lines if asked for."""

    def __init__(self, plan: CampaignPlan, *, as_json: bool = False) -> None:
        self._plan, self._json, self._lock = plan, as_json, threading.RLock()
        self._now: dict[str, str] = {}
        self._live: Live | None = None
        self._told: deque[str] = deque(maxlen=_KEPT)
        self._width = 0

    def tell(self, text: str) -> None:
        """Print a line of the campaign itself."""
        if self._json:
            self._line({"v": 1, "event": "campaign", "text": text})
            return
        with self._lock:
            self._told.append(text)
            say(text)

    def watch(self, pair: str, event: Mapping[str, Any]) -> None:
        """Take one event of a pair; may be called from several threads."""
        if self._json:
            self._line({"pair": pair, **event})
            return
        text = _doing(event)
        if text is None:
            return
        with self._lock:
            self._now[pair] = redact.outside(text)
            if self._live is not None or (sys.stdout is not None and sys.stdout.isatty()):
                self._draw()
            elif event.get("event") in {"step_started", "run_finished"}:
                say(f"{pair}: {self._now[pair]}")

    def close(self) -> None:
        """End the live table; what it showed last stays on the screen."""
        with self._lock:
            if self._live is not None:
                self._live.stop()
                self._live = None

    def _line(self, value: Mapping[str, Any]) -> None:
        with self._lock:  # one write for each object: lines of several threads do not mix
            as_json(value, indent=None)

    def _draw(self) -> None:
        from rich.live import Live

        if self._live is None:
            self._live = Live(self._table(), refresh_per_second=4)
            self._live.start()
            self._width = self._live.console.width
        if self._live.console.width != self._width:
            self._begin_again(self._live)
        self._live.update(self._table())

    def _begin_again(self, live: Live) -> None:
        """After a change of the terminal's width clear the screen: the terminal has wrapped the lines differently."""
        from rich.control import Control

        self._width = live.console.width
        live.stop()
        live.console.control(Control.clear(), Control.home())
        say("\n".join(self._told))
        live.start()

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(title=f"campaign {self._plan.name}", title_justify="left", box=None)
        for name in ("wave", "pair", "now"):
            table.add_column(name)
        for wave, pair in self._plan.pairs():
            if pair.name in self._now:
                table.add_row(wave.name, Text(pair.name), Text(self._now[pair.name]))
        return table


def _doing(event: Mapping[str, Any]) -> str | None:
    match event.get("event"):
        case "step_started":
            return str(event.get("title", ""))
        case "waiting":
            return f"{event.get('what', '')} ({duration_text(event.get('elapsed'))})"
        case "run_finished":
            return f"{state_text(str(event.get('outcome', '')))}, downtime {duration_text(event.get('downtime'))}"
        case "error":
            return str(event.get("message", ""))
    return None


# ------------------------------------------------------------------ the page


def write_page(plan: CampaignPlan, state: State, path: Path) -> Path:
    """Write the index page (0600); return its path."""
    text = page_text(plan, state)
    private.folder(path.parent)
    private.write(path, text)
    return path.absolute()


def page_text(plan: CampaignPlan, state: State) -> str:
    """Return one HTML file: every pair in a table to sort and filter."""
    pairs = [{**redact.tree(row), "href": _report(row["run"])} for row in rows(plan, state)]
    good = sum(row["state"] in COMPLETED for row in pairs)
    waiting = sum(row["state"] in {"waiting", "started", "rehearsed"} for row in pairs)
    return page.render(
        "campaign.html.j2", plan=plan.name, state=state, rows=pairs, heads=_HEAD, good=good, waiting=waiting,
        failed=len(pairs) - good - waiting,
    )  # fmt: skip


def _report(run: str) -> str:
    report = private.state_folder() / "runs" / run / "report.html"
    return report.as_uri() if run and report.is_file() else ""
