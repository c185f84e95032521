"""What happens, as frozen events; the engine and the rooms below emit them, the ui and the report watch.

An event carries no secret and no layout. Its `kind` (snake case of the class name) and its fields are what `--json`
prints, one object a line; see docs/reference/json-events.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal

from .util import redact

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Event:
    """The root of all events. Every text in one is free of control sequences and secrets from the beginning.

    `foreign`: the fields that hold an appliance's own words, and nothing of ours. `several_lines`: the fields whose
    text may have line breaks.
    """

    foreign: ClassVar[tuple[str, ...]] = ()
    several_lines: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            clean = redact.outside(value) if each.name in self.foreign else redact.tree(value)
            if each.name not in self.several_lines:
                clean = _one_line(clean)
            object.__setattr__(self, each.name, clean)

    @property
    def kind(self) -> str:
        """The event's name in snake case, stable across releases."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    def as_dict(self) -> dict[str, Any]:
        """The JSON form, without the time (which the watcher adds)."""
        return {"v": SCHEMA_VERSION, "event": self.kind, **asdict(self)}


def _one_line(value: Any) -> Any:
    if isinstance(value, str):
        return redact.one_line(value)
    return tuple(map(_one_line, value)) if isinstance(value, tuple) else value


Emit = Callable[[Event], None]


def silent(_event: Event) -> None:
    """An observer that looks away."""


@dataclass(frozen=True)
class RunStarted(Event):
    """A run begins; `verb` is migrate, resume, rollback, …

    `source`: the backup that stands for an old appliance that is dead, else "". `steps`: ids and titles of the steps,
    in order; empty for a dry run. `done`: ids of those that an earlier session has done. `offline_since`: Unix time at
    which an earlier session took the old appliance offline.
    """

    run: str
    verb: str
    old: str
    new: str
    source: str = ""
    steps: tuple[tuple[str, str], ...] = ()
    done: tuple[str, ...] = ()
    offline_since: float | None = None


@dataclass(frozen=True)
class StepStarted(Event):
    """A step begins; `step` is its written id."""

    step: str
    title: str


@dataclass(frozen=True)
class StepFinished(Event):
    """A step ended; `seconds` is wall time."""

    step: str
    state: Literal["done", "skipped", "failed", "reverted", "planned"]
    seconds: float = 0.0
    detail: str = ""


@dataclass(frozen=True)
class ActionStarted(Event):
    """One change on a host is about to happen; `describes` reads like an instruction."""

    step: str
    host: str
    describes: str


@dataclass(frozen=True)
class ActionFinished(Event):
    """The change happened."""

    step: str
    host: str
    describes: str
    seconds: float = 0.0


@dataclass(frozen=True)
class CommandRun(Event):
    """A remote command ended; `display` is redacted, `status` -1 when the connection went away."""

    host: str
    display: str
    status: int
    seconds: float


@dataclass(frozen=True)
class Waiting(Event):
    """Something is waited for; `elapsed` and `limit` in seconds."""

    what: str
    elapsed: float
    limit: float
    host: str = ""


@dataclass(frozen=True)
class Progress(Event):
    """Bytes moved; `total` 0 when unknown."""

    what: str
    done: int
    total: int


@dataclass(frozen=True)
class Estimated(Event):
    """How long a step may take; `step` "" for all of it, "downtime" for the time without a TSCM.

    `basis` says what it rests on. Where that is not known well, it may take from `least` to `most` seconds; both are 0
    where one figure is good enough.
    """

    step: str
    seconds: float
    basis: str = ""
    least: float = 0.0
    most: float = 0.0


@dataclass(frozen=True)
class Checked(Event):
    """A preflight or parity check; `firm`: an error that `--allow` cannot acknowledge."""

    name: str
    severity: Literal["ok", "info", "warning", "error"]
    text: str
    remedy: str = ""
    allowed: bool = False
    firm: bool = False


@dataclass(frozen=True)
class Prompted(Event):
    """A remote prompt was answered; `rule` names the rule, never the answer of a secret one."""

    foreign = ("prompt",)

    host: str
    prompt: str
    rule: str
    answer: str = ""


@dataclass(frozen=True)
class DeviceStarted(Event):
    """`tsadmin update DEVICE` begins; `total` is how many devices are updated in this session, 0 if not known."""

    foreign = ("device",)

    device: str
    total: int = 0


@dataclass(frozen=True)
class DeviceUpdated(Event):
    """`tsadmin update DEVICE` ended."""

    foreign = ("device", "detail")

    device: str
    ok: bool
    seconds: float
    detail: str = ""


@dataclass(frozen=True)
class Said(Event):
    """A line for the operator that has no event of its own."""

    several_lines = ("text",)

    text: str
    level: Literal["info", "warning", "error"] = "info"


@dataclass(frozen=True)
class RunFinished(Event):
    """The last event of a run.

    `seconds` is the run's own time, over all its sessions; `asked` the seconds in which it waited for the operator's
    answers. `held` names what is still paused or offline, with the command that fixes it; `left` what a person has to
    see to; `next` what to do after a completed migration; `report` the path of its HTML report, where one was written.
    After a completed migration `host` and `address` are the new appliance's, `devices` and `checks` count those that
    are well and all, and `downtime_estimate` is what was estimated before (seconds).
    """

    run: str
    outcome: Literal["done", "attention", "failed", "refused", "interrupted", "rolled-back"]
    seconds: float
    downtime: float | None = None
    held: tuple[str, ...] = field(default=())
    left: tuple[str, ...] = field(default=())
    report: str = ""
    next: tuple[str, ...] = field(default=())
    asked: float = 0.0
    host: str = ""
    address: str = ""
    devices: tuple[int, int] | None = None
    checks: tuple[int, int] | None = None
    downtime_estimate: float | None = None
