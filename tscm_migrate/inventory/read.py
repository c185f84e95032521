"""Find and read an inventory file; every error names the file, key and line.

Search order: the argument (`--inventory`), `TSCM_INVENTORY`, `./inventory/hosts.toml`, `hosts.toml` in the user's
config folder. Without a file `user@address` works, with `known_hosts` in the config folder.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tscm_migrate.errors import InventoryError
from tscm_migrate.inventory import inventory, trust
from tscm_migrate.inventory.inventory import Inventory, adhoc, parse
from tscm_migrate.inventory.model import FileModel, HostModel, describe
from tscm_migrate.model import Commands, Hooks, Host, Paths, Policy
from tscm_migrate.util import redact
from tscm_migrate.util.operator_command import quoted
from tscm_migrate.util.private import config_folder, expanded, is_file
from tscm_migrate.util.text import suggestion

M = TypeVar("M", bound=BaseModel)
ENV = "TSCM_INVENTORY"
_HERE = Path("inventory/hosts.toml")
_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_TABLE = re.compile(rf"^\s*(\[\[?)\s*({_DOTTED})\s*\]")
_ASSIGNMENT = re.compile(rf"^\s*({_DOTTED})\s*=")


def find(path: Path | None = None) -> Path | None:
    """Return the inventory file that would be read, or None.

    Raises:
        InventoryError: the file named by the argument or by TSCM_INVENTORY does not exist.
    """
    asked = [(path, "--inventory")] if path is not None else []
    if not asked and os.environ.get(ENV):
        asked = [(Path(os.environ[ENV]), ENV)]
    for named, by in asked:
        if not is_file(expanded(named)):
            if os.path.isdir(expanded(named)):  # noqa: PTH112 - Path.is_dir raises for a path that is too long
                raise InventoryError(f"this is a folder, not a file (named by {by})", f"correct {by}", file=str(named))
            fix = f"correct {by}, or create the file: tscm-migrate init --inventory {quoted(named)}"
            raise InventoryError(f"there is no inventory file here (named by {by})", fix, file=str(named))
        return expanded(named)
    if _HERE.is_file():
        inventory.on_current_folder(_HERE)
        return _HERE
    own = config_folder() / "hosts.toml"
    return own if is_file(own) else None


def load(path: Path | None = None) -> Inventory:
    """Read and validate the inventory.

    Args:
        path: the file; None searches (see the module).

    Raises:
        InventoryError: with file, key (and line) and remedy.
    """
    found = find(path)
    if found is None:
        known_hosts = config_folder() / "known_hosts"
        dialect = config_folder() / "dialect.toml"
        trust.check(known_hosts, "the file of trusted host keys")
        trust.check(dialect, "the dialect")
        pattern = Host(name="", address="", known_hosts=known_hosts, dialect=dialect)
        return Inventory(None, known_hosts, pattern=pattern)
    return InventoryReader(found).inventory()


def _plain(dotted: str) -> str:
    return ".".join(part.strip("\"'") for part in re.findall(_KEY, dotted))


def lines_of(text: str) -> dict[str, int]:
    """Return the line number, from 1, of each dotted key.

    Keys inside inline tables may be missing. Tables in arrays are numbered, as in `prompts.0.pattern`.
    """
    lines: dict[str, int] = {}
    arrays: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _TABLE.match(line):
            table = _plain(header[2])
            if header[1] == "[[":
                arrays[table] = arrays.get(table, -1) + 1
                lines.setdefault(table, number)
                table = f"{table}.{arrays[table]}"
            above = table
            while above:  # [hosts.a] also defines `hosts`
                lines.setdefault(above, number)
                above = above.rpartition(".")[0]
        elif assignment := _ASSIGNMENT.match(line):
            key = _plain(assignment[1])
            lines.setdefault(f"{table}.{key}" if table else key, number)
    return lines


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        fix = "make it readable, or name another with --inventory"
        raise InventoryError(f"cannot be read: {error.strerror}", fix, file=str(path)) from error
    except UnicodeDecodeError as error:
        raise InventoryError("is not UTF-8 text", "save it as UTF-8", file=str(path)) from error


def _commands(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the command lines of an inventory that run on this workstation, each with its key."""
    for table in ("hooks", "notify"):
        for key, value in raw.get(table, {}).items():
            if isinstance(value, str) and "://" not in value:
                yield value, f"{table}.{key}"
    hosts = {f"hosts.{name}": table for name, table in raw.get("hosts", {}).items()}
    for place, table in {"defaults": raw.get("defaults", {}), "offsite": raw.get("offsite", {}), **hosts}.items():
        for key, value in table.items():
            if isinstance(value, str) and value.startswith("command:"):
                yield value.removeprefix("command:"), f"{place}.{key}"


class InventoryReader:
    """Reads one file: text, then models, then frozen data."""

    def __init__(self, path: Path) -> None:
        self.path = path
        redact.known.spare(str(path.absolute()))  # a resume reads it from the journal
        trust.check(path, "the inventory")
        text = _read(path)
        self.lines = lines_of(text)
        try:
            self.raw = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            fix = 'correct the line: strings need quotes, as in address = "10.1.1.43"'
            raise InventoryError(f"not valid TOML: {error}", fix, file=str(path)) from error
        self.sources: dict[tuple[str, str], str] = {}

    def inventory(self) -> Inventory:
        """Return the validated content of the file.

        Raises:
            InventoryError: the first problem.
        """
        top = self._validate(FileModel, self.raw, "")
        self.known_hosts = self._local(top.known_hosts or "known_hosts")
        trust.check(self.known_hosts, "the file of trusted host keys")
        trust.check_commands(_commands(self.raw), self.path.parent)
        models = {name: self._validate(HostModel, self._merge(name), f"hosts.{name}") for name in top.hosts}
        hosts: dict[str, Host] = {}
        for name, model in models.items():
            self._host(name, models, hosts, ())
            self._check_moved(name, model, models)
        defaults = HostModel.model_construct(**{**dict(top.defaults), "address": ""})
        policy, notify = (table.model_dump(exclude_none=True) for table in (top.policy, top.notify))
        pattern = replace(self._plain("", defaults), given=frozenset(self.raw.get("defaults", {})))
        if defaults.gateway:
            pattern = replace(pattern, gateway=self._gateway("defaults", defaults.gateway, models, hosts, ()))
        return Inventory(
            path=self.path,
            known_hosts=self.known_hosts,
            hosts={name: hosts[name] for name in models},
            groups=self._groups(top.groups, hosts),
            hooks=Hooks(**top.hooks.model_dump()),
            policy=Policy(**policy),
            extras={name: table for name, table in (("offsite", top.offsite), ("notify", notify)) if table},
            raw=self.raw,
            pattern=pattern,
            sources=self.sources,
        )

    def _check_moved(self, name: str, model: HostModel, models: dict[str, HostModel]) -> None:
        if model.moved_to and (model.moved_to not in models or models[model.moved_to].moved_to):
            raise self._error(
                f"{model.moved_to} is not a host of this inventory that is in use",
                f"hosts.{name}.moved_to",
                f"name the host that has replaced {name}, or remove moved_to",
            )

    def _merge(self, name: str) -> dict[str, Any]:
        """Return a host's table merged over `[defaults]`; tables are merged, lists and values replaced."""
        merged: dict[str, Any] = {}
        for origin, table in (("defaults", self.raw.get("defaults", {})), (f"hosts.{name}", self.raw["hosts"][name])):
            for key, value in table.items():
                if isinstance(value, dict) and isinstance(merged.get(key, {}), dict):
                    merged[key] = {**merged.get(key, {}), **value}
                    for inner in value:
                        self.sources[name, f"{key}.{inner}"] = self._place(f"{origin}.{key}.{inner}")
                else:
                    merged[key] = value
                    self.sources[name, key] = self._place(f"{origin}.{key}")
        return merged

    def _host(self, name: str, models: dict[str, HostModel], done: dict[str, Host], above: tuple[str, ...]) -> Host:
        if name in above:
            circle = " → ".join((*above[above.index(name) :], name))
            fix = "a gateway must be reached without going through itself"
            raise self._error(f"gateways go in a circle: {circle}", f"hosts.{name}.gateway", fix)
        if name in done:
            return done[name]
        host, through = self._plain(name, models[name]), models[name].gateway
        # A gateway from [defaults] does not apply to that gateway itself.
        own = "gateway" in self.raw["hosts"][name]
        if through and (own or through != name):
            gateway = self._gateway(f"hosts.{name}", through, models, done, (*above, name))
            host = replace(host, gateway=gateway)
        done[name] = host
        return host

    def _gateway(
        self, at: str, through: str, models: dict[str, HostModel], done: dict[str, Host], above: tuple[str, ...]
    ) -> Host:
        if through in models:
            return self._host(through, models, done, above)
        if "@" in through:
            base = Host(name="", address="", known_hosts=self.known_hosts)
            try:
                return adhoc(base, parse(through), through)
            except InventoryError as error:
                raise self._error(error.problem, f"{at}.gateway", error.fix) from error
        near = suggestion(through, models)
        fix = "name a host of this inventory, or give user@address[:port]"
        raise self._error(f"there is no host {through!r}{near}", f"{at}.gateway", fix)

    def _plain(self, name: str, model: HostModel) -> Host:
        given = {key.partition(".")[0] for host, key in self.sources if host == name}
        dialect = self._local(model.dialect or "dialect.toml")
        trust.check(dialect, "the dialect")
        return Host(
            name=name,
            address=model.address,
            user=model.user or "threatstop",
            port=model.port or 22,
            identity_file=self._local(model.identity_file) if model.identity_file else None,
            use_agent=model.use_agent is not False,
            fast_transport=model.fast_transport is not False,
            interface=model.interface,
            known_hosts=self.known_hosts,
            paths=Paths(**_set(model.paths)),
            commands=Commands(**_set(model.commands)),
            devices=tuple(model.devices),
            priority=tuple(model.priority),
            moved_to=model.moved_to or "",
            dialect=dialect,
            tags=tuple(model.tags),
            sudo_password_source=model.sudo_password or "",
            login_password_source=model.login_password or "",
            passphrase_source=model.passphrase or "",
            given=frozenset(given),
        )

    def _groups(self, listed: Mapping[str, list[str]], hosts: Mapping[str, Host]) -> dict[str, tuple[str, ...]]:
        groups: dict[str, tuple[str, ...]] = {}
        for group, members in listed.items():
            for member in members:
                if member not in hosts:
                    fix = "list names of [hosts.NAME] tables"
                    raise self._error(f"no host {member!r}{suggestion(member, hosts)}", f"groups.{group}", fix)
            groups[group] = tuple(dict.fromkeys(members))
        for host in hosts.values():
            for tag in host.tags:
                groups[tag] = tuple(dict.fromkeys((*groups.get(tag, ()), host.name)))
        return groups

    def _local(self, value: str) -> Path:
        """Return a path on the workstation: `~` expanded, a relative path below the inventory's folder."""
        path = expanded(value)
        return path if path.is_absolute() else (self.path.parent / path).absolute()

    def _line(self, key: str) -> int | None:
        """Return the line of the key, or of the nearest table above it."""
        while key:
            if key in self.lines:
                return self.lines[key]
            key = key.rpartition(".")[0]
        return None

    def _place(self, key: str) -> str:
        line = self._line(key)
        return f"{self.path.name}{f':{line}' if line else ''} {key}"

    def _error(self, problem: str, key: str, fix: str) -> InventoryError:
        line = self._line(key)
        return InventoryError(problem, fix, file=str(self.path), key=key + (f" (line {line})" if line else ""))

    def _validate(self, model: type[M], value: Any, at: str) -> M:
        try:
            return model.model_validate(value)
        except ValidationError as error:
            raise self._explain(error, model, at) from None  # the original has values, and one may be a secret

    def _explain(self, error: ValidationError, model: type[BaseModel], at: str) -> InventoryError:
        problem, loc, fix = describe(error, model)
        inside = ".".join(str(part) for part in loc)
        key = f"{at}.{inside}" if at and inside else at or inside
        if at.startswith("hosts."):  # an error in a merged value is in the table that has it
            source = self.sources.get((at.removeprefix("hosts."), inside))
            key = source.partition(" ")[2] if source else key
        return self._error(problem, key, fix)


def _set(model: BaseModel) -> dict[str, Any]:
    return {key: value for key, value in model.model_dump().items() if value is not None}
