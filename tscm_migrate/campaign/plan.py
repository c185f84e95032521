"""Read a campaign's plan: a TOML file with waves, each with its pairs, window, number of parallel runs and hooks."""

import contextlib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime, time, tzinfo
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tscm_migrate.errors import MigrateError, PlanInvalid, UsageError
from tscm_migrate.inventory import trust
from tscm_migrate.inventory.model import Name, Seconds, describe
from tscm_migrate.migration.window import Window, moment, parse, zone_of
from tscm_migrate.model import Host
from tscm_migrate.options import MigrateOptions
from tscm_migrate.util.text import suggestion

_MOST_BYTES = 1 << 20
_MOST_JOBS = 64
# What a campaign sets itself.
_OWN = {"from_", "to", "yes", "json", "dry_run", "inventory", "keep", "rehearsal", "rehearsed"}
_OF_A_WAVE = {"not_before", "not_after", "stage_at", "pause_before"}
_WITHOUT_SECONDS = re.compile(r"^\s*not_(?:before|after)\s*=\s*\d\d?:\d\d\s*(?:#|$)", re.MULTILINE)


def _time(value: object) -> object:
    """Take a time of TOML, or the same text as `--not-before`; a number would be taken for seconds since 1970."""
    if isinstance(value, str):
        with contextlib.suppress(UsageError):
            return parse("", value)
    elif value is None or isinstance(value, date | time):
        return value
    raise ValueError('not a valid time: write 22:00:00, "22:00" or 2026-11-28T22:00:00')


Moment = Annotated[datetime | time | None, BeforeValidator(_time)]
Options = dict[str, bool | int | float | str | list[str]]


class _PlanPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _PairModel(_PlanPart):
    from_: Annotated[str, Field(alias="from", min_length=1)]
    to: Annotated[str, Field(min_length=1)]
    options: Options = Field(default_factory=dict)


class _WaveModel(_PlanPart):
    name: Name
    pairs: Annotated[list[_PairModel], Field(min_length=1)]
    jobs: Annotated[int, Field(ge=1, le=_MOST_JOBS)] = 1
    not_before: Moment = None
    not_after: Moment = None
    before: str = ""
    after: str = ""


class _PlanModel(_PlanPart):
    name: Name
    zone: str = "UTC"
    stop_after: Annotated[int, Field(ge=1)] | Literal["any"] = "any"
    pair_timeout: Seconds = 6 * 3600.0
    options: Options = Field(default_factory=dict)
    waves: Annotated[list[_WaveModel], Field(min_length=1)]


@dataclass(frozen=True)
class Pair:
    """One migration of a campaign; `words` are the options of its `migrate`, as on a command line."""

    old: str
    new: str
    words: tuple[str, ...] = ()
    options: MigrateOptions | None = field(default=None, repr=False, compare=False)  # the same, checked

    @property
    def name(self) -> str:
        """Identifies the pair in the plan, the journal and all output."""
        return f"{self.old} → {self.new}"


@dataclass(frozen=True)
class Wave:
    """Pairs that migrate in the same window, `jobs` at once; `before` and `after` are commands of the operator."""

    name: str
    pairs: tuple[Pair, ...]
    jobs: int
    window: Window
    before: str = ""
    after: str = ""
    times: tuple[str, str] = ("", "")  # of the window, as the plan has them

    @property
    def limits(self) -> list[str]:
        """The window as text for the journal."""
        return [at.isoformat() if at else "" for at in (self.window.opens, self.window.closes)]


@dataclass(frozen=True)
class CampaignPlan:
    """A checked plan; `stop_after` is the number of failed pairs after which no further pair is started."""

    name: str
    zone: tzinfo
    stop_after: int
    pair_timeout: float
    waves: tuple[Wave, ...]

    def pairs(self) -> Iterator[tuple[Wave, Pair]]:
        """Yield every pair with its wave, in order."""
        return ((wave, pair) for wave in self.waves for pair in wave.pairs)


def load(path: Path, now: datetime) -> CampaignPlan:
    """Read and check a plan.

    Args:
        path: of the TOML file, 1 MiB at most.
        now: aware; a time of day in a window means its next occurrence after this.

    Raises:
        PlanInvalid: with file, key and remedy. UnsafeFile: others may change it, or what it runs.
    """
    trust.check(path, "the plan")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise PlanInvalid("the file is larger than 1 MiB", file=str(path))
        text = path.read_text(encoding="utf-8-sig")
        data = tomllib.loads(text)
    except OSError as error:
        fix = "make sure that the file is there and readable; docs/how-to/campaign.md has an example"
        raise PlanInvalid(error.strerror or str(error), fix, file=str(path)) from error
    except UnicodeDecodeError as error:
        raise PlanInvalid("is not UTF-8 text", "save it as UTF-8", file=str(path)) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        fix = "write a time with its seconds (22:00:00) or in quotes" if _WITHOUT_SECONDS.search(text) else ""
        raise PlanInvalid(f"not valid TOML: {error}", fix, file=str(path)) from error
    try:
        model = _PlanModel.model_validate(data)
    except ValidationError as error:
        problem, loc, fix = describe(error, _PlanModel)
        raise PlanInvalid(problem, fix, file=str(path), key=".".join(map(str, loc))) from None
    hooks = ((line, f"waves.{wave.name}") for wave in model.waves for line in (wave.before, wave.after))
    trust.check_commands(hooks, path.parent)
    return _checked(model, str(path), now)


def _checked(model: _PlanModel, path: str, now: datetime) -> CampaignPlan:
    try:
        zone = zone_of(model.zone)
    except UsageError as error:
        raise PlanInvalid(error.problem, error.fix, file=path, key="zone") from None
    waves = []
    for number, wave in enumerate(model.waves):
        at = f"waves.{number}"
        pairs = tuple(_pair(pair, model.options, path, f"{at}.pairs.{n}") for n, pair in enumerate(wave.pairs))
        window = _window(wave, zone, now, path, at)
        times = tuple(str(one or "") for one in (wave.not_before, wave.not_after))
        waves.append(Wave(wave.name, pairs, wave.jobs, window, wave.before, wave.after, (times[0], times[1])))
    plan = CampaignPlan(
        model.name, zone, 1 if model.stop_after == "any" else model.stop_after, model.pair_timeout, tuple(waves)
    )
    _refuse_repeated(plan, path)
    return plan


def _refuse_repeated(plan: CampaignPlan, path: str) -> None:
    names, hosts = set[str](), set[str]()
    for wave in plan.waves:
        if wave.name in names:
            fix = "give each wave its own name"
            raise PlanInvalid(f"two waves are named {wave.name!r}", fix, file=path, key="waves")
        names.add(wave.name)
        for host in (host for pair in wave.pairs for host in (pair.old, pair.new)):
            if host in hosts:
                fix = "an appliance can take part in one pair only; remove the others"
                raise PlanInvalid(f"{host} is named twice", fix, file=path, key=f"waves ({wave.name})")
            hosts.add(host)


def refuse_same_address(plan: CampaignPlan, path: str, host: Callable[[str], Host]) -> None:
    """Check that no two names of the plan are the same appliance; `host` looks a name up in the inventory.

    Raises:
        PlanInvalid: two of them have the same address, port and jump host. UsageError: a name is not in the inventory.
    """
    names: dict[str, str] = {}
    for wave, pair in plan.pairs():
        for name in (pair.old, pair.new):
            found = host(name)
            other = names.setdefault(found.endpoint, name)
            if other != name:
                fix = "an appliance can take part in one pair only; correct the inventory, or remove the other pair"
                problem = f"{other} and {name} have the same address ({found.address})"
                raise PlanInvalid(problem, fix, file=path, key=f"waves ({wave.name})")


def _window(wave: _WaveModel, zone: tzinfo, now: datetime, path: str, at: str) -> Window:
    try:
        opens = moment(wave.not_before, zone, now)
        closes = moment(wave.not_after, zone, opens or now)
    except UsageError as error:
        raise PlanInvalid(error.problem, error.fix, file=path, key=at) from None
    if opens and closes and closes <= opens:
        fix = "not_after must be later than not_before"
        raise PlanInvalid("the window closes before it opens", fix, file=path, key=f"{at}.not_after")
    return Window(opens, closes)


def _pair(pair: _PairModel, common: Options, path: str, at: str) -> Pair:
    options = {name.replace("-", "_"): value for name, value in (common | pair.options).items()}
    known = {field.name for field in fields(MigrateOptions)} - _OWN
    for name in options:
        if name in _OF_A_WAVE:
            fix = "remove it; the window is that of the wave: not_before and not_after under [[waves]]"
            raise PlanInvalid("not an option of a pair", fix, file=path, key=f"{at}.options.{name}")
        if name not in known:
            fix = "see: tscm-migrate migrate --help"
            raise PlanInvalid(f"unknown option{suggestion(name, known)}", fix, file=path, key=f"{at}.options.{name}")
    try:
        checked = MigrateOptions.parse(
            {"from_": pair.from_, "to": pair.to, **{n: _given(v) for n, v in options.items()}}
        )
    except MigrateError as error:
        raise PlanInvalid(error.message(), error.remedy(), file=path, key=f"{at}.options") from error
    return Pair(pair.from_, pair.to, tuple(_words(options)), checked)


def _given(value: bool | float | str | list[str]) -> Any:  # noqa: FBT001 - a value of TOML
    return value if isinstance(value, bool | list) else str(value)


def _words(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in sorted(options.items()):
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{flag}" if value else f"--no-{flag}"
            continue
        for one in value if isinstance(value, list) else [value]:
            yield f"--{flag}={one}"
