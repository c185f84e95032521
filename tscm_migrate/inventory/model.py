"""The pydantic models of an inventory file, and their errors as text; imported only when a file is read.

The models check the form of each value; `read` resolves files, gateways and groups.
"""

import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from tscm_migrate.inventory.inventory import check_address
from tscm_migrate.model import Commands, Paths
from tscm_migrate.util.text import seconds_of, suggestion

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,14}\Z")


def check_name(value: str) -> str:
    """Return a name that is safe in files and on command lines; raise ValueError for other text."""
    if not _NAME.match(value):
        raise ValueError("not a name: letters, digits, dot, dash and underscore, at most 63")
    return value


def _source(value: str) -> str:
    kind, _, rest = value.partition(":")
    if value in {"prompt", "keyring", "none"} or (kind == "env" and _ENV.match(rest)):
        return value
    if kind == "command" and rest.strip():
        return value
    # The value is not in the message: it may be the secret itself.
    raise ValueError('set the source of the secret: "prompt", "keyring", "env:VAR", "command:…" or "none"')


def _no_patterns(_value: object) -> None:
    raise ValueError(
        "regular expressions for prompts are not read any more: take them out, and have the questions remembered with "
        "tscm-migrate prompts learn NEW --from OLD, or write them into the dialect's file"
    )


def _printable(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("empty, or has control characters")
    return value


def _path(value: str) -> str:
    if not _printable(value).startswith("/"):
        raise ValueError("not an absolute path on the appliance")
    return value


def _relative(value: str) -> str:
    if _printable(value).startswith("/") or ".." in value.split("/"):
        raise ValueError("not a relative path")
    return value


def _command_path(value: str) -> str:
    return value if _printable(value).startswith("/") else check_name(value)


def _device(value: str) -> str:
    if _printable(value).startswith("-") or any(c.isspace() or c in "/,\\" for c in value):
        raise ValueError("not a device name (no blanks, commas, slashes; no leading dash)")
    return value


def _interface(value: str) -> str:
    if not _INTERFACE.match(value):
        raise ValueError("not an interface name")
    return value


Address = Annotated[str, AfterValidator(check_address)]
Name = Annotated[str, AfterValidator(check_name)]
Source = Annotated[str, AfterValidator(_source)]
Text = Annotated[str, AfterValidator(_printable)]
RemotePath = Annotated[str, AfterValidator(_path)]
RelativePath = Annotated[str, AfterValidator(_relative)]
CommandPath = Annotated[str, AfterValidator(_command_path)]
Seconds = Annotated[float, BeforeValidator(seconds_of)]  # "30m", or a number of seconds


class Strict(BaseModel):
    """A model without unknown keys and without implicit conversion."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _of_dataclass(name: str, source: type, kinds: dict[str, Any], default: Any) -> type[Strict]:
    """Return a model with the fields of a dataclass of `tscm_migrate.model`, so that both always agree."""
    shape: dict[str, Any] = {f.name: (kinds.get(f.name, default) | None, None) for f in fields(source)}
    return create_model(name, __base__=Strict, **shape)


_NOT_ABSOLUTE = {"tsadmin": CommandPath, "ts_backup": CommandPath, "ts_update": Name, "device_glob": RelativePath}
PathsModel = _of_dataclass("PathsModel", Paths, _NOT_ABSOLUTE, RemotePath)
CommandsModel = _of_dataclass("CommandsModel", Commands, {}, Text)


class DefaultsModel(Strict):
    """The keys of `[defaults]`, which each host has too."""

    user: Text | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    identity_file: Text | None = None
    use_agent: bool | None = None
    fast_transport: bool | None = None
    gateway: str | None = None
    interface: Annotated[str, AfterValidator(_interface)] | None = None
    sudo_password: Source | None = None
    login_password: Source | None = None
    passphrase: Source | None = None
    paths: PathsModel = Field(default_factory=PathsModel)  # type: ignore[valid-type]
    commands: CommandsModel = Field(default_factory=CommandsModel)  # type: ignore[valid-type]
    devices: list[Annotated[str, AfterValidator(_device)]] = Field(default_factory=list)
    priority: list[Annotated[str, AfterValidator(_device)]] = Field(default_factory=list)
    dialect: Text | None = None
    prompts: Annotated[Any, BeforeValidator(_no_patterns)] = None
    tags: list[Name] = Field(default_factory=list)


class HostModel(DefaultsModel):
    """One host, merged with the defaults."""

    address: Address
    moved_to: Name | None = None


class HooksModel(Strict):
    """Commands on the workstation."""

    snapshot: Text | None = None
    offline: Text | None = None
    online: Text | None = None


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError('not a known time zone; use a name such as "Europe/Berlin"') from None
    return value


class PolicyModel(Strict):
    """The keys of `[policy]`; the defaults are in `model.Policy`."""

    drain_timeout: Seconds | None = None
    revert_after: Seconds | None = None
    reboot_timeout: Seconds | None = None
    device_timeout: Seconds | None = None
    tsadmin_silence: Seconds | None = None
    tsadmin_timeout: Seconds | None = None
    device_jobs: Annotated[int, Field(ge=1, le=64)] | None = None
    zone: Annotated[str, AfterValidator(_zone)] | None = None


def _web(value: str) -> str:
    if not _printable(value).startswith(("https://", "http://")):
        raise ValueError("not an http or https address")
    return value


class NotifyModel(Strict):
    """The keys of `[notify]`; the defaults are in `notify.Config`."""

    before_step: Text | None = None
    after_step: Text | None = None
    failed: Text | None = None
    timeout: Seconds | None = None
    on_failure: Literal["warn", "stop"] | None = None
    urls: list[Text] | None = None
    healthcheck: Annotated[str, AfterValidator(_web)] | None = None


class FileModel(Strict):
    """The complete file; hosts are validated one by one, merged with the defaults."""

    known_hosts: Text | None = None
    defaults: DefaultsModel = Field(default_factory=DefaultsModel)
    hosts: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    groups: dict[Name, list[str]] = Field(default_factory=dict)
    hooks: HooksModel = Field(default_factory=HooksModel)
    policy: PolicyModel = Field(default_factory=PolicyModel)
    offsite: dict[str, Any] = Field(default_factory=dict)
    notify: NotifyModel = Field(default_factory=NotifyModel)


_TEXTS = {
    "string_type": "should be text in quotes",
    "int_type": "should be a whole number, without quotes",
    "bool_type": "should be true or false, without quotes",
    "list_type": 'should be a list, as in ["a", "b"]',
    "dict_type": "should be a table",
    "model_type": "should be a table",
}


def describe(error: ValidationError, model: type[BaseModel]) -> tuple[str, tuple[int | str, ...], str]:
    """Return the first problem: its text, the path of the key in the model, and what to do.

    A misspelled key is reported before the key that is missing because of it.
    """
    found = error.errors(include_url=False, include_context=True, include_input=False)
    first = next((e for e in found if e["type"] == "extra_forbidden"), found[0])
    loc = tuple(part for part in first["loc"] if part != "[key]")
    kind = first["type"]
    if kind == "extra_forbidden":
        known = _keys(model, loc[:-1])
        return f"unknown key{suggestion(str(loc[-1]), known)}", loc, f"known here: {', '.join(sorted(known))}"
    if kind == "missing":
        return "is missing", loc, f"add {loc[-1]} = …"
    if kind == "value_error":
        return str(first.get("ctx", {}).get("error", first["msg"])), loc, "correct the value"
    text = _TEXTS.get(kind)
    return text or first["msg"].replace("Input should be", "should be"), loc, "correct the value"


def _keys(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """Return the keys that the table at `loc` may have."""
    at: Any = model
    for part in loc:
        if isinstance(part, str) and hasattr(at, "model_fields") and part in at.model_fields:
            at = _model_in(at.model_fields[part].annotation)
    return list(at.model_fields) if hasattr(at, "model_fields") else []


def _model_in(annotation: Any) -> Any:
    if hasattr(annotation, "model_fields"):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _model_in(arg)) is not None), None)
