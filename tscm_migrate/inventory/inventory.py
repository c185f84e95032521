"""The hosts of an inventory, and how a host's name or address on the command line is resolved."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

from tscm_migrate.errors import InventoryError
from tscm_migrate.model import Hooks, Host, Policy
from tscm_migrate.util import redact
from tscm_migrate.util.operator_command import quoted
from tscm_migrate.util.private import is_file
from tscm_migrate.util.text import listed, suggestion

_BUILT_IN = "built-in default"
_HOSTNAME = re.compile(r"(?=.{1,253}\Z)(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?\Z")
_FOUR_NUMBERS = re.compile(r"[0-9]+(\.[0-9]+)*\Z")
_SPEC = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.\\$-]*)@)?"
    r"(?:\[(?P<v6>[0-9A-Fa-f:.%a-z]+)\]|(?P<address>[^\[\]:@\s/]+))"
    r"(?::(?P<port>[0-9]{1,5}))?\Z"
)
_SHAPE = (
    "give an inventory name, or user@address[:port]; an IPv6 address with a port in brackets: user@[2001:db8::1]:22"
)


def _ignore(_path: Path) -> None:
    pass


# Called with the path when the inventory of the current folder is read; the command line prints its name.
on_current_folder: Callable[[Path], None] = _ignore


@dataclass(frozen=True)
class Inventory:
    """The content of an inventory file.

    `path`: None without a file; `hosts` and `groups` are by name; `extras` has the tables that other packages read
    (`offsite`, `notify`); `raw` is the parsed file.
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
        """Return the host for a name of the inventory, an address, `user@address[:port]` or `user@[v6]:port`.

        Args:
            spec: the text given by the user.
            moved: whether a host that another host has replaced is accepted.

        Raises:
            InventoryError: no such name (a similar one is suggested), a bad address, a user given twice, a missing
                identity file, or another host has replaced it.
        """
        host = resolve(self, spec.strip())
        if host.moved_to and not moved:
            now = self.hosts[host.moved_to].address
            problem = f"{host.name} was migrated to {host.moved_to}, which is at {now} now"
            raise self.error(problem, f"hosts.{host.name}.moved_to", f"use {host.moved_to}")
        self._check_identity(host)
        redact.known.spare(host.name, host.address, host.user, *astuple(host.paths))
        return host

    def group(self, name: str) -> tuple[Host, ...]:
        """Return the hosts of a group in the file's order, without hosts that another host has replaced.

        Raises:
            InventoryError: no such group.
        """
        if name not in self.groups:
            near = suggestion(name, self.groups)
            fix = f"use one of: {', '.join(self.groups)}" if self.groups else "add it to [groups], or as a tag to hosts"
            raise self.error(f"there is no group {name!r}{near}", "groups", fix)
        return tuple(self.host(member) for member in self.groups[name] if not self.hosts[member].moved_to)

    @property
    def present(self) -> tuple[Host, ...]:
        """Return all hosts that no other host has replaced."""
        return tuple(host for host in self.hosts.values() if not host.moved_to)

    def source_of(self, host: str, key: str) -> str:
        """Return where a host's value comes from: "hosts.toml:12 hosts.tscm-old.port", or "built-in default"."""
        return self.sources.get((host, key), _BUILT_IN)

    def error(self, problem: str, key: str = "", fix: str = "") -> InventoryError:
        """Return an InventoryError that names this file."""
        return InventoryError(problem, fix, file=str(self.path) if self.path else "", key=key)

    def _check_identity(self, host: Host) -> None:
        at: Host | None = host
        while at is not None:
            if at.identity_file is not None and not is_file(at.identity_file):
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


def check_address(value: str) -> str:
    """Return an IPv4 address, IPv6 address or host name; raise ValueError for other text."""
    bare = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        if ":" in bare or _FOUR_NUMBERS.match(bare) or not _HOSTNAME.match(bare):
            raise ValueError("not an IP address or host name") from None
    return bare


@dataclass(frozen=True)
class Spec:
    """A parsed `user@address[:port]`; None for missing parts."""

    user: str | None
    address: str
    port: int | None


def is_ip(text: str) -> bool:
    """Return whether a text is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def parse(text: str) -> Spec:
    """Split `user@address[:port]`.

    Raises:
        InventoryError: the text is not in this form.
    """
    user, at, rest = text.rpartition("@")
    bracketed = f"{user}{at}[{rest}]" if is_ip(rest) and ":" in rest else text
    match = _SPEC.match(bracketed)
    if match is None:
        raise InventoryError(f"{text!r} is neither an inventory name nor an address", _SHAPE)
    try:
        address = check_address(match["v6"] or match["address"])
    except ValueError as error:
        raise InventoryError(f"{text!r}: {error}", _SHAPE) from None
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 1 <= port <= 65535:
        raise InventoryError(f"{text!r}: the port is not between 1 and 65535", _SHAPE)
    return Spec(match["user"], address, port)


def adhoc(pattern: Host, spec: Spec, name: str) -> Host:
    """Return a host that is not in the inventory, with its defaults; the host's name is the given text."""
    given = set(pattern.given) | {"address"}
    if spec.user:
        given.add("user")
    if spec.port:
        given.add("port")
    return replace(
        pattern,
        name=name,
        address=spec.address,
        user=spec.user or pattern.user,
        port=spec.port or pattern.port,
        given=frozenset(given),
    )


def resolve(inventory: Inventory, text: str) -> Host:
    """Return the host for a text of the command line.

    Raises:
        InventoryError: no such name, a bad address, or a user given here and in the inventory.
    """
    if text in inventory.hosts:
        return inventory.hosts[text]
    if not text:
        raise InventoryError("the name of a host is empty", _SHAPE)
    _user, at, rest = text.rpartition("@")
    if at and rest in inventory.hosts:
        raise inventory.error(
            f"{text!r} gives a user, and {rest!r} is a host of the inventory that has one",
            f"hosts.{rest}.user",
            f"use {rest} alone (it logs in as {inventory.hosts[rest].user}), or user@address",
        )
    looks_like_address = bool(at) or is_ip(text) or text.startswith("[") or is_ip(text.partition(":")[0])
    if not looks_like_address:
        near = suggestion(text, inventory.hosts)
        known = f"hosts that are known: {listed(inventory.hosts) or 'none'} ({inventory.path})"
        made = "there is no inventory yet; create one: tscm-migrate init"
        fix = f"{known if inventory.path else made}; or give user@address[:port]"
        raise inventory.error(f"there is no host {text!r}{near}", "hosts" if inventory.path else "", fix)
    return _by_address(inventory, text, parse(text))


def _by_address(inventory: Inventory, text: str, spec: Spec) -> Host:
    """Return the inventory's entry with this address, else a host made of the address."""
    same = [h for h in inventory.present if h.address == spec.address and spec.port in (None, h.port)]
    if not same:
        return adhoc(inventory.pattern, spec, text)
    fitting = [h for h in same if spec.user in (None, h.user)]
    if fitting:
        return fitting[0]
    raise inventory.error(
        f"{text!r} gives a user, and its address is that of {same[0].name!r}, which has another ({same[0].user})",
        f"hosts.{same[0].name}.user",
        f"use {same[0].name}, or change its user in the inventory",
    )
