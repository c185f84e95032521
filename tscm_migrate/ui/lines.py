"""Events as lines, for logs, pipes and scripts; without secrets and control characters."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import singledispatch

from tscm_migrate import events
from tscm_migrate.ui.console import as_json, say
from tscm_migrate.ui.view_model import LOG_EVERY, Meter, waits
from tscm_migrate.util.text import duration_text, range_text


def json_lines(event: events.Event) -> None:
    """Print an event as one JSON object on one line, with the time in UTC."""
    as_json({**event.as_dict(), "time": datetime.now(UTC).isoformat(timespec="milliseconds")}, indent=None)


class Plain:
    """Prints a line for each event that an operator needs to see.

    `quiet`: warnings, errors and the end only; `verbose`: also each command and each wait.
    """

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self._quiet, self._verbose = quiet, verbose
        self._meter = Meter()
        self._waiting = ("", 0.0)
        self._advice = ""
        self._dry_run = self._preflight = self._rehearsal = False

    def __call__(self, event: events.Event) -> None:
        """Take one event."""
        say(self.text(event, time.monotonic()))

    def text(self, event: events.Event, now: float) -> str:
        """Return the lines of an event; "" if it has none. `now` is in monotonic seconds."""
        self._follow(event)
        if (self._quiet and not _matters(event)) or self._is_detail(event):
            return ""
        match event:
            case events.Progress():
                return f"  {self._meter.text(event)}" if self._meter.due(event, now) else ""
            case events.Waiting() if not self._verbose:
                return line_of(event) if self._due(event, now) else ""
            case events.CommandRun() if self._verbose:
                return f"    {event.host}$ {event.display} [{event.status}, {duration_text(event.seconds)}]"
            case events.RunFinished(outcome="rolled-back") if self._rehearsal:
                return line_of(event).replace(events.state_text("rolled-back"), "rehearsed", 1)
            case events.Checked():
                before, self._advice = self._advice, event.remedy
                event = replace(event, remedy="") if event.remedy == before else event
        return line_of(event)

    def _follow(self, event: events.Event) -> None:
        """Keep what later events depend on: whether it is a dry run, and whether the preflight checks run."""
        if isinstance(event, events.RunStarted):
            self._dry_run = event.verb == "dry run"
            self._rehearsal = event.verb in events.REHEARSALS
        if isinstance(event, events.StepStarted):
            self._preflight = event.step == "preflight"

    def _is_detail(self, event: events.Event) -> bool:
        """Return whether it is what a plan shows: the estimate of one step, or a preflight check that has passed."""
        if self._dry_run or self._verbose:
            return False
        if isinstance(event, events.Checked):
            return self._preflight and event.severity == "ok"
        return isinstance(event, events.Estimated) and event.step not in _TOTALS

    def _due(self, event: events.Waiting, now: float) -> bool:
        """Whether a wait gets a line: at its beginning, and every ten seconds; rarely while a planned wait is long."""
        what, last = self._waiting
        every = max(LOG_EVERY, (event.limit - event.elapsed) / 10) if event.planned else LOG_EVERY
        if event.what == what and now - last < every:
            return False
        self._waiting = (event.what, now)
        return True


def _matters(event: events.Event) -> bool:
    match event:
        case events.RunFinished():
            return True
        case events.Message():
            return event.level != "info"
        case events.Checked():
            return event.severity in {"warning", "error"}
        case events.StepFinished():
            return event.state == "failed"
        case events.DeviceUpdated():
            return not event.ok
    return False


_TOTALS = {"": "estimated total", "downtime": "estimated downtime"}


@singledispatch
def line_of(_event: object) -> str:
    """Return the line of an event; "" if it has none."""
    return ""


@line_of.register
def _(event: events.RunStarted) -> str:
    return f"{event.verb} {event.old} → {event.new} (run {event.run})"


@line_of.register
def _(event: events.StepStarted) -> str:
    return f"· {event.title}"


@line_of.register
def _(event: events.StepFinished) -> str:
    if event.step == "preflight" and event.state == "failed":
        return ""  # the error that follows shows it
    detail = f": {event.detail}" if event.detail else ""
    return f"  {event.state} {event.step} in {duration_text(event.seconds)}{detail}"


@line_of.register
def _(event: events.ActionStarted) -> str:
    return f"  {event.host}: {event.describes}"


@line_of.register
def _(event: events.Checked) -> str:
    wanted = event.remedy and event.severity in {"warning", "error"} and not event.allowed
    remedy = f"\n    what to do: {event.remedy}" if wanted else ""
    allowed = " (acknowledged)" if event.allowed else ""
    return f"  [{event.severity}] {event.name}: {event.text}{allowed}{remedy}"


@line_of.register
def _(event: events.Waiting) -> str:
    return f"  {', '.join(waits(event))}"


@line_of.register
def _(event: events.Prompted) -> str:
    answer = f" → {event.answer}" if event.answer else ""
    return f"  {event.host} asked: {event.prompt}{answer} ({event.rule})"


@line_of.register
def _(event: events.Estimated) -> str:
    basis = f" ({event.basis})" if event.basis else ""
    if event.step not in _TOTALS:
        return f"  about {duration_text(event.seconds)}: {event.step}{basis}"
    return f"  {_TOTALS[event.step]}: {range_text(event.seconds, event.least, event.most)}{basis}"


@line_of.register
def _(event: events.DeviceUpdated) -> str:
    detail = f": {event.detail}" if event.detail and not event.ok else ""
    return f"  device {event.device}: {'updated' if event.ok else 'FAILED'} in {duration_text(event.seconds)}{detail}"


@line_of.register
def _(event: events.Message) -> str:
    text = "\n    ".join(event.text.split("\n"))  # indented, so that none looks like a line of this tool
    return text if event.level == "info" else f"{event.level}: {text}"


@line_of.register
def _(event: events.RunFinished) -> str:
    unchanged = event.held == (events.UNCHANGED,) and not event.report
    if event.outcome == "refused" or (event.outcome in {"cancelled", "interrupted"} and unchanged):
        return ""  # the message that follows shows it
    if event.host:
        return "\n".join(_completed(event))
    downtime = f", downtime {duration_text(event.downtime)}" if event.downtime is not None else ""
    expected = range_text(event.downtime_estimate, event.downtime_least, event.downtime_most)
    planned = f"\n  estimated downtime: {expected}" if event.downtime_estimate is not None else ""
    report = f"\n  report: {event.report}" if event.report else ""
    then = "".join(f"\n{line}" for line in _next(event))
    held = "".join(f"\n  {text}" for text in event.held)  # the last thing printed, but for a rehearsal's next steps
    took = f"{duration_text(event.seconds)}{_asked(event)}"
    return f"{events.state_text(event.outcome)} after {took}{downtime}{planned}{report}{held}{then}"


def _completed(event: events.RunFinished) -> list[str]:
    """Return the end of a completed migration: its figures, the next steps, and last what still has to be done."""
    todo = f", {len(event.left)} left to do" if event.left else ""
    expected = range_text(event.downtime_estimate, event.downtime_least, event.downtime_most)
    planned = f" (estimated {expected})" if event.downtime_estimate is not None else ""
    figures = {
        "devices updated": "{} of {}".format(*event.devices) if event.devices else "none",
        "checks passed": "{} of {}".format(*event.checks) if event.checks else "none",
        "downtime": f"{duration_text(event.downtime)}{planned}",
        "total": f"{duration_text(event.seconds)}{_asked(event)}",
        **({"report": event.report} if event.report else {}),
    }
    lines = [f"{event.outcome}: {event.host} serves at {event.address}{todo}"]
    lines += [f"  {what:<16} {value}" for what, value in figures.items()]
    return [*lines, *_next(event), *(f"  {text}" for text in event.held)]


def _asked(event: events.RunFinished) -> str:
    return f" (and {duration_text(event.asked)} for your answers)" if event.asked >= 1 else ""


def _next(event: events.RunFinished) -> list[str]:
    return ["Next:", *(f"  {number}. {text}" for number, text in enumerate(event.next, 1))] if event.next else []
