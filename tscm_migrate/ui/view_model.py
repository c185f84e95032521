"""The rows of the live view, and the rate of a transfer, made from events. Pure; the clock is an argument."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from tscm_migrate import events
from tscm_migrate.ui.console import folded
from tscm_migrate.util import redact
from tscm_migrate.util.text import duration_text

LOG_EVERY = 10.0  # seconds between two lines of a log
_RATE_WINDOW = 30.0  # seconds over which the rate is taken


@dataclass
class Meter:
    """Follows one file at a time; a new name, or fewer bytes than before, starts a new measurement."""

    what: str = ""
    _seen: list[tuple[float, int]] = field(default_factory=list)
    _said: float = 0.0

    def add(self, event: events.Progress, now: float) -> None:
        """Take one event; `now` is in monotonic seconds."""
        if event.what != self.what or (self._seen and event.done < self._seen[-1][1]):
            self.what, self._seen, self._said = event.what, [], now
        self._seen.append((now, event.done))
        while len(self._seen) > 2 and self._seen[0][0] < now - _RATE_WINDOW:
            del self._seen[0]

    @property
    def rate(self) -> float:
        """Return bytes a second over the last half minute; 0 while there are too few events."""
        (begin, first), (end, last) = self._seen[0], self._seen[-1]
        return (last - first) / (end - begin) if end > begin else 0.0

    def due(self, event: events.Progress, now: float) -> bool:
        """Whether to write a line to a log: every ten seconds, and at the end of a file that had one before."""
        self.add(event, now)
        over = event.total and event.done >= event.total and now - self._seen[0][0] >= LOG_EVERY
        if now - self._said < LOG_EVERY and not over:
            return False
        self._said = now
        return True

    def text(self, event: events.Progress) -> str:
        """Return `NAME: 512.0 of 1073.7 MB (47%), 92.3 MB/s, 6 s left`."""
        text = f"{event.what}: {event.done / 1e6:.1f}"
        text += f" of {event.total / 1e6:.1f} MB ({100 * event.done // event.total}%)" if event.total else " MB"
        if self.rate > 0:
            text += f", {self.rate / 1e6:.1f} MB/s"
            if event.total > event.done:
                text += f", {duration_text((event.total - event.done) / self.rate)} left"
        return text


State = Literal["pending", "running", "done", "failed", "reverted", "skipped", "planned", "detail", "clock", "head"]
_MARGIN, _BAR = 6, 16  # columns: before a detail, and of a bar
OFFLINE, ONLINE, PARITY = "take-offline", "update-devices", "parity"
_LOW = 10  # rows; on a lower terminal the progress has no row of its own


@dataclass(frozen=True)
class Row:
    """One line: `left` is cut at the terminal's width, `right` never; with `share` (0 to 1) a bar is drawn."""

    state: State
    left: str
    right: str = ""
    share: float | None = None


@dataclass
class _Step:
    title: str
    state: State = "pending"
    began: float = 0.0
    seconds: float = 0.0


@dataclass
class Board:
    """The state of a run on the screen; `steps` are ids and titles, `began` is in monotonic seconds."""

    title: str
    steps: Sequence[tuple[str, str]]
    began: float
    offline_since: float | None = None
    done_before: frozenset[str] = frozenset()
    skipped_before: frozenset[str] = frozenset()
    devices: int = 0
    _steps: dict[str, _Step] = field(default_factory=dict)
    _now: str = ""
    _action: str = ""
    _waiting: tuple[float, events.Waiting] | None = None
    _moving: events.Progress | None = None
    _meter: Meter = field(default_factory=Meter)
    _devices: dict[str, tuple[float, events.DeviceUpdated | None]] = field(default_factory=dict)
    _online: float | None = None
    _estimates: dict[str, float] = field(default_factory=dict)
    _checks: list[events.Checked] = field(default_factory=list)
    _ended: bool = False

    def __post_init__(self) -> None:
        self._steps = {key: _Step(title) for key, title in self.steps}
        for key in self.done_before & self._steps.keys():
            self._steps[key].state = "skipped" if key in self.skipped_before else "done"

    def take(self, event: events.Event, now: float) -> None:
        """Take one event into account; `now` in monotonic seconds."""
        match event:
            case events.StepStarted():
                step = self._steps.setdefault(event.step, _Step(event.title))
                step.title, step.state, step.began = event.title, "running", now
                self._now, self._action, self._waiting, self._moving = event.step, "", None, None
            case events.StepFinished() if event.step in self._steps:
                step = self._steps[event.step]
                step.state, step.seconds = event.state, event.seconds
                self._action, self._waiting, self._moving = "", None, None
                serves = event.state == ("reverted" if event.step == OFFLINE else "done")
                if event.step in {OFFLINE, ONLINE} and serves and self.offline_since is not None:
                    self._online = now
            case events.ActionStarted():
                self._action, self._waiting, self._moving = f"{event.host}: {event.describes}", None, None
                if event.step == OFFLINE and self.offline_since is None:
                    self.offline_since = now
            case events.ActionFinished():
                self._waiting, self._moving = None, None
            case _:
                self._detail(event, now)

    def _detail(self, event: events.Event, now: float) -> None:
        match event:
            case events.Waiting():
                self._waiting = (now, event)
            case events.Progress():
                self._meter.add(event, now)
                self._moving = event
            case events.Estimated():
                self._estimates[event.step] = event.seconds
            case events.Checked() if self._now == PARITY:
                self._checks.append(event)
            case events.RunFinished():
                self._ended = True
            case events.DeviceStarted():
                self._devices[event.device] = (now, None)
                self.devices = max(self.devices, event.total)
            case events.DeviceUpdated():
                self._devices[event.device] = (self._devices.get(event.device, (now, None))[0], event)

    def rows(self, now: float, height: int, width: int = 120) -> list[Row]:
        """Return at most `height` rows: finished steps are folded first, then pending ones, then devices.

        `now` is in monotonic seconds; details of the current step are wrapped to `width` columns, not cut.
        """
        done, doing, pending = self._parts(now)
        doing = [part for row in doing for part in _fitted(row, width)]
        head = [Row("head", self.title, clock(now - self.began))]
        if height >= _LOW and not self._ended and (progress := self._progress(now)):
            head.append(Row("detail", progress))
        tail = self._downtime(now)
        room = max(height - len(head) - len(tail), 3)
        if len(doing) > room - 2:
            hidden = len(doing) - (room - 3)
            doing = [*doing[: room - 3], Row("detail", f"… {hidden} more")]
        free = room - len(doing)
        if len(done) + len(pending) > free:
            keep = max(min(len(pending), free - 1), 0) if done else free
            pending = _folded_end(pending, keep)
            done = _folded_begin(done, free - len(pending))
        return [*head, *done, *doing, *pending, *tail]

    def _progress(self, now: float) -> str:
        """Return which step of how many runs, and the estimated time left if there is one.

        Steps that will be skipped have no estimate; they are not counted, as in the plan.
        """
        keys = [key for key, step in self._steps.items() if self._counts(key, step)]
        if self._now not in keys:
            return ""
        left = self._left(now)
        return f"step {keys.index(self._now) + 1} of {len(keys)}" + (
            f", about {duration_text(left)} left" if left else ""
        )

    def _counts(self, key: str, step: _Step) -> bool:
        known = any(one in self._estimates for one in self._steps)
        return step.state != "skipped" and (not known or key in self._estimates or step.state != "pending")

    def _left(self, now: float) -> float:
        """Return the estimated seconds of the remaining steps; 0 without an estimate."""
        if not self._estimates:
            return 0.0
        coming = sum(self._estimates.get(key, 0.0) for key, step in self._steps.items() if step.state == "pending")
        current = self._steps.get(self._now)
        if current is not None and current.state == "running":
            coming += max(self._estimates.get(self._now, 0.0) - (now - current.began), 0.0)
        return coming

    def _parts(self, now: float) -> tuple[list[Row], list[Row], list[Row]]:
        done: list[Row] = []
        doing: list[Row] = []
        pending: list[Row] = []
        for key, step in self._steps.items():
            title = redact.clean(step.title)
            if step.state == "pending":
                pending.append(Row("pending", title))
            elif step.state == "running":
                count = self._device_count() if key == ONLINE else ""
                doing.append(Row("running", f"{title}{count}", clock(now - step.began)))
                doing += self._details(now) if key == self._now else []
            else:
                took = step.seconds and step.state != "skipped"
                count = self._device_count() if key == ONLINE else ""
                done.append(Row(step.state, f"{title}{count}", duration_text(step.seconds) if took else ""))
        if self._ended:
            doing += [Row("detail", f"{'✓' if c.severity == 'ok' else '✗'} {c.name}: {c.text}") for c in self._checks]
        return done, doing, pending

    def _device_count(self) -> str:
        if not self._devices:
            return ""
        ended = sum(result is not None for _, result in self._devices.values())
        return f" ({ended}/{max(len(self._devices), self.devices)})"

    def _details(self, now: float) -> list[Row]:
        rows = [Row("detail", redact.clean(self._action))] if self._action else []
        if self._moving is not None:
            share = min(self._moving.done / self._moving.total, 1.0) if self._moving.total else None
            rows.append(Row("detail", redact.clean(self._meter.text(self._moving)), share=share))
        elif self._waiting is not None:
            rows.append(Row("detail", *waits(self._waiting[1], now - self._waiting[0])))
        rows += [self._device(name, now) for name in self._devices] if self._now == ONLINE else []
        return rows

    def _device(self, name: str, now: float) -> Row:
        began, result = self._devices[name]
        shown = redact.clean(name)
        if result is None:
            return Row("detail", f"▸ {shown}", clock(now - began))
        mark = "✓" if result.ok else "✗"
        why = "" if result.ok else f"  {redact.clean(result.detail)}"
        return Row("detail", f"{mark} {shown}{why}", duration_text(result.seconds))

    def _downtime(self, now: float) -> list[Row]:
        if self.offline_since is None:
            return []
        since = (self._online if self._online is not None else now) - self.offline_since
        return [Row("clock", "downtime so far" if self._online is None else "downtime", clock(since))]


def _fitted(row: Row, width: int) -> list[Row]:
    """Wrap a row of details to several; its time or its bar stays in the first."""
    beside = _BAR if row.share is not None else len(row.right)
    if row.state != "detail":
        return [row]
    first, *more = folded(row.left, width - _MARGIN - (beside + 1 if beside else 0), "  ", keep_words=False)
    return [replace(row, left=first), *(Row("detail", line) for line in more)]


def waits(event: events.Waiting, more: float = 0.0) -> tuple[str, str]:
    """Return what is waited for and since when, and when the wait ends."""
    what = redact.clean(event.what)
    what = f"waiting {what}" if what.startswith(("for ", "until ")) else what
    elapsed = event.elapsed + more
    left = duration_text(max(event.limit - elapsed, 0))
    return f"{what}, since {duration_text(elapsed)}", f"{left} left" if event.planned else f"gives up in {left}"


def clock(seconds: float) -> str:
    """Format seconds as m:ss or h:mm:ss."""
    whole = max(int(seconds), 0)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def _folded_end(rows: list[Row], keep: int) -> list[Row]:
    if len(rows) <= keep or keep <= 0:
        return rows[: max(keep, 0)]
    return [*rows[: keep - 1], Row("pending", f"… {len(rows) - keep + 1} more steps")]


def _folded_begin(rows: list[Row], keep: int) -> list[Row]:
    if len(rows) <= keep or keep <= 0:
        return rows[: max(keep, 0)]
    return [Row("done", f"… {len(rows) - keep + 1} steps done"), *rows[len(rows) - keep + 1 :]]
