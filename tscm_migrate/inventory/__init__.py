"""The inventory: a TOML file becomes frozen hosts, every value with the place it came from.

Search order: the argument (`--inventory`), `TSCM_INVENTORY`, `./inventory/hosts.toml`, `hosts.toml` in the user's
config folder. Without a file `user@address` still works, with `known_hosts` in the config folder.
"""

from __future__ import annotations

import os
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import InventoryError
from tscm_migrate.model import Hooks, Host, Policy
from tscm_migrate.util import redact
from tscm_migrate.util.folders import config_folder
from tscm_migrate.util.operator_command import quoted
from tscm_migrate.util.suggest import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ENV = "TSCM_INVENTORY"
_BUILT_IN = "built-in default"
_HERE = Path("inventory/hosts.toml")


def _nobody(_path: Path) -> None:
    """Nobody is told."""


found_here: Callable[[Path], None] = _nobody  # the front end's: told that the one of the current folder is read


@dataclass(frozen=True)
class Inventory:
    """A site as its file describes it.

    `path` is None without a file; `hosts` and `groups` are by name; `extras` holds tables that later rooms read
    (`offsite`); `raw` is the parsed file as it stood.
    """

    path: Path | None
    known_hosts: Path
    hosts: Mapping[str, Host] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hooks: Hooks = field(default_factory=Hooks)
    policy: Policy = field(default_factory=Policy)
    extras: Mapping[str, Any] = field(default_factory=dict, repr=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    pattern: Host = field(default_factory=lambda: Host(name="", address=""))  # [defaults], for hosts given by address
    sources: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def host(self, spec: str, *, moved: bool = False) -> Host:
        """The host that `spec` names: an inventory name, an address, `user@address[:port]`, `user@[v6]:port`.

        Args:
            spec: what the user has given.
            moved: whether a host that another one has replaced may be named.

        Raises:
            InventoryError: no such name (the near one is suggested), a bad address, a user given twice, an
                identity file that is not there, or another host has replaced it.
        """
        from .spec import resolve

        host = resolve(self, spec.strip())
        if host.moved_to and not moved:
            now = self.hosts[host.moved_to].address
            problem = f"{host.name} was migrated to {host.moved_to}, which is at {now} now"
            raise self.error(problem, f"hosts.{host.name}.moved_to", f"use {host.moved_to}")
        self._check_identity(host)
        redact.known.spare(host.name, host.address, host.user, *astuple(host.paths))
        return host

    def group(self, name: str) -> tuple[Host, ...]:
        """The hosts of a group, in the file's order, without those that another host has replaced.

        Raises:
            InventoryError: no such group.
        """
        if name not in self.groups:
            near = suggestion(name, self.groups)
            raise self.error(f"there is no group {name!r}{near}", "groups", "groups are in [groups] and in hosts' tags")
        return tuple(self.host(member) for member in self.groups[name] if not self.hosts[member].moved_to)

    @property
    def present(self) -> tuple[Host, ...]:
        """All hosts but those that another one has replaced."""
        return tuple(host for host in self.hosts.values() if not host.moved_to)

    def source_of(self, host: str, key: str) -> str:
        """Where a host's value came from: "hosts.toml:12 hosts.tscm-old.port", or "built-in default"."""
        return self.sources.get((host, key), _BUILT_IN)

    def error(self, problem: str, key: str = "", fix: str = "") -> InventoryError:
        """An InventoryError that names this file."""
        return InventoryError(problem, fix, file=str(self.path) if self.path else "", key=key)

    def _check_identity(self, host: Host) -> None:
        at: Host | None = host
        while at is not None:
            if at.identity_file is not None and not at.identity_file.is_file():
                source = self.source_of(at.name, "identity_file").partition(" ")[2] or "defaults.identity_file"
                raise self.error(
                    f"the identity file {at.identity_file} is not there",
                    source,
                    f"make one with: ssh-keygen -t ed25519 -f {quoted(at.identity_file)}; or name another; "
                    "or leave identity_file out and use the agent",
                )
            if at.identity_file is not None and _is_putty(at.identity_file):
                source = self.source_of(at.name, "identity_file").partition(" ")[2] or "defaults.identity_file"
                raise self.error(
                    f"{at.identity_file} is a PuTTY key, which is not read here",
                    source,
                    f"convert it: puttygen {quoted(at.identity_file)} -O private-openssh -o "
                    f"{quoted(Path(at.identity_file.stem))} "
                    "(PuTTYgen: Conversions, Export OpenSSH key); or load it into Pageant and leave identity_file out",
                )
            at = at.gateway


def _is_putty(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(20).startswith(b"PuTTY-User-Key-File-")
    except OSError:
        return False


def find(path: Path | None = None) -> Path | None:
    """The inventory file that would be read, or None.

    Raises:
        InventoryError: the argument or TSCM_INVENTORY names a file that is not there.
    """
    asked = [(path, "--inventory")] if path is not None else []
    if not asked and os.environ.get(ENV):
        asked = [(Path(os.environ[ENV]), ENV)]
    for named, by in asked:
        if not named.expanduser().is_file():
            fix = f"correct {by}, or make the file: tscm-migrate's inventory/hosts.toml is an example"
            raise InventoryError(f"there is no inventory file here (named by {by})", fix, file=str(named))
        return named.expanduser()
    if _HERE.is_file():
        found_here(_HERE)
        return _HERE
    own = config_folder() / "hosts.toml"
    return own if own.is_file() else None


def load(path: Path | None = None) -> Inventory:
    """Read and validate the inventory.

    Args:
        path: the file; None searches (see the module).

    Raises:
        InventoryError: with file, key (and line) and remedy.
    """
    from . import trust

    found = find(path)
    if found is None:
        known_hosts = config_folder() / "known_hosts"
        dialect = config_folder() / "dialect.toml"
        trust.check(known_hosts, "the file of trusted host keys")
        trust.check(dialect, "the dialect")
        pattern = Host(name="", address="", known_hosts=known_hosts, dialect=dialect)
        return Inventory(None, known_hosts, pattern=pattern)
    from .read import Reader

    return Reader(found).inventory()
