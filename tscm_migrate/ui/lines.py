"""Events as lines: for logs, pipes and scripts. No control characters, no secret, each line at once."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from functools import singledispatch
from typing import TYPE_CHECKING

from tscm_migrate import redact
from tscm_migrate.events import (
    ActionStarted,
    Checked,
    DeviceUpdated,
    Progress,
    Prompted,
    RunFinished,
    RunStarted,
    Said,
    StepFinished,
    StepStarted,
    Waiting,
)
from tscm_migrate.ui.progress import Meter

if TYPE_CHECKING:
    from tscm_migrate.events import Event


_METER = Meter()


def json_lines(event: Event) -> None:
    """One JSON object a line on stdout, with the time in UTC."""
    told = {**event.as_dict(), "time": datetime.now(UTC).isoformat(timespec="milliseconds")}
    print(redact.known(json.dumps(told)), flush=True)  # noqa: T201


def plain_lines(event: Event) -> None:
    """One line for what an operator wants to know, nothing for the rest."""
    text = line_of(event)
    if isinstance(event, Progress) and _METER.due(event, time.monotonic()):
        text = f"  {_METER.text(event)}"
    if text:
        print(redact.printable(redact.known(text)), flush=True)  # noqa: T201


@singledispatch
def line_of(_event: object) -> str:
    """The line of an event; "" where it has none."""
    return ""


@line_of.register
def _(event: RunStarted) -> str:
    return f"{event.verb} {event.old} → {event.new} (run {event.run})"


@line_of.register
def _(event: StepStarted) -> str:
    return f"· {event.title}"


@line_of.register
def _(event: StepFinished) -> str:
    detail = f": {event.detail}" if event.detail else ""
    return f"  {event.state} {event.step} in {event.seconds:.1f} s{detail}"


@line_of.register
def _(event: ActionStarted) -> str:
    return f"  {event.host}: {event.describes}"


@line_of.register
def _(event: Checked) -> str:
    remedy = f" – {event.remedy}" if event.remedy and event.severity in {"warning", "error"} else ""
    allowed = " (acknowledged)" if event.allowed else ""
    return f"  [{event.severity}] {event.name}: {event.text}{allowed}{remedy}"


@line_of.register
def _(event: Waiting) -> str:
    return f"  waiting for {event.what} since {event.elapsed:.0f} s, gives up at {event.limit:.0f} s"


@line_of.register
def _(event: Prompted) -> str:
    answer = f" → {event.answer}" if event.answer else ""
    return f"  {event.host} asked: {event.prompt}{answer} ({event.rule})"


@line_of.register
def _(event: DeviceUpdated) -> str:
    detail = f": {event.detail}" if event.detail else ""
    return f"  device {event.device}: {'updated' if event.ok else 'FAILED'} in {event.seconds:.1f} s{detail}"


@line_of.register
def _(event: Said) -> str:
    return event.text if event.level == "info" else f"{event.level}: {event.text}"


@line_of.register
def _(event: RunFinished) -> str:
    downtime = f", without a TSCM for {event.downtime:.0f} s" if event.downtime is not None else ""
    report = f"\n  report: {event.report}" if event.report else ""
    held = "".join(f"\n  {text}" for text in event.held)  # the last thing printed
    return f"{event.outcome} after {event.seconds:.0f} s{downtime}{report}{held}"
