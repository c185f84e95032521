"""Events: frozen descriptions of what happens. The engine and lower packages emit them; ui and reports handle them.

An event carries no secret and no layout. Its `kind` (snake case of the class name) and its fields are what `--json`
prints, one object on each line; see docs/reference/json-events.md.
"""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal

from .util import redact

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Event:
    """The base class of all events. Its texts are cleaned of control sequences and secrets when it is made.

    Attributes:
        stable_kind: the kind, if it is not the class name in snake case.
        foreign: the fields that hold only an appliance's own text.
        several_lines: the fields whose text may have line breaks.
    """

    stable_kind: ClassVar[str] = ""
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
        """Return the event's name in JSON and journals: the class name in snake case; stable across releases."""
        if self.stable_kind:
            return self.stable_kind
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form, without the time, which the writer adds."""
        return {"v": SCHEMA_VERSION, "event": self.kind, **asdict(self)}


def _one_line(value: Any) -> Any:
    if isinstance(value, str):
        return redact.one_line(value)
    return tuple(map(_one_line, value)) if isinstance(value, tuple) else value


Emit = Callable[[Event], None]


def silent(_event: Event) -> None:
    """Ignore an event."""


@dataclass(frozen=True)
class RunStarted(Event):
    """A run begins; `verb` is migrate, resume, rollback, …

    `source`: the backup used when the old appliance is not available, else "". `steps`: ids and titles of the steps,
    in order; empty for a dry run. `done`: ids of those that an earlier session has done, `skipped`: of
    those among them that had nothing to do. `offline_since`: Unix time at
    which an earlier session took the old appliance offline.
    """

    run: str
    verb: str
    old: str
    new: str
    source: str = ""
    steps: tuple[tuple[str, str], ...] = ()
    done: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    offline_since: float | None = None


@dataclass(frozen=True)
class StepStarted(Event):
    """A step begins; `step` is its id."""

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
    """A change on a host is about to be made; `describes` is an instruction such as "pause updates"."""

    step: str
    host: str
    describes: str


@dataclass(frozen=True)
class ActionFinished(Event):
    """The change was made."""

    step: str
    host: str
    describes: str
    seconds: float = 0.0


@dataclass(frozen=True)
class CommandRun(Event):
    """A remote command ended; `display` is redacted, `status` is -1 if the connection was lost."""

    host: str
    display: str
    status: int
    seconds: float


@dataclass(frozen=True)
class Waiting(Event):
    """The run waits for something; `elapsed` and `limit` are in seconds.

    A wait that is `planned` ends well after `limit`, when a time has come; any other one gives up then.
    """

    what: str
    elapsed: float
    limit: float
    host: str = ""
    planned: bool = False


@dataclass(frozen=True)
class Progress(Event):
    """Bytes were transferred; `total` is 0 if unknown."""

    what: str
    done: int
    total: int


@dataclass(frozen=True)
class Estimated(Event):
    """The estimated duration of a step; `step` is "" for the complete run, "downtime" for the downtime.

    `basis` says what the estimate is based on. An uncertain estimate has a range from `least` to `most` seconds; both
    are 0 otherwise.
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
    """A remote prompt was answered; `rule` names the rule. The answer to a secret prompt is not included."""

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
class Message(Event):
    """A free-form message for the operator; its kind is "said", as in earlier releases."""

    stable_kind = "said"
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
    are in order and all, and `downtime_estimate` is the last estimate before the cutover (seconds), with
    `downtime_least` and `downtime_most` where it is a range.
    """

    run: str
    outcome: Literal["done", "attention", "failed", "refused", "cancelled", "interrupted", "rolled-back"]
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
    downtime_least: float | None = None
    downtime_most: float | None = None


COMPLETED = ("done", "attention")  # outcomes of a migration that was completed
REHEARSALS = frozenset({"rehearse", "prompts learn"})  # verbs of runs that undo everything at their end
UNCHANGED = "nothing was changed"  # in `held` of a run that ended before it changed anything


def state_text(state: str) -> str:
    """Return the state of a run or of a pair as it is shown, the same in each list, page and message: "rolled back"."""
    return state.replace("-", " ")
