"""What stands after --from, --to and --host: an inventory name, or an address with user and port."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tscm_migrate.errors import InventoryError
from tscm_migrate.util.suggest import suggestion

if TYPE_CHECKING:
    from tscm_migrate.model import Host

    from . import Inventory

_SPEC = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.\\$-]*)@)?"
    r"(?:\[(?P<v6>[0-9A-Fa-f:.%a-z]+)\]|(?P<address>[^\[\]:@\s/]+))"
    r"(?::(?P<port>[0-9]{1,5}))?\Z"
)
_SHAPE = (
    "give an inventory name, or user@address[:port]; an IPv6 address with a port in brackets: user@[2001:db8::1]:22"
)


@dataclass(frozen=True)
class Spec:
    """A parsed spec; None where it is silent."""

    user: str | None
    address: str
    port: int | None


def is_ip(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 address, written as one."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def parse(text: str) -> Spec:
    """Split `user@address[:port]`.

    Raises:
        InventoryError: it is none.
    """
    from .model import check_address

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
    """A host that is in no inventory, with the defaults of one; its name is the spec, so commands can repeat it."""
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
    """The host that a spec names.

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
            f"say {rest} alone (it logs in as {inventory.hosts[rest].user}), or user@address",
        )
    looks_like_address = bool(at) or is_ip(text) or text.startswith("[") or is_ip(text.partition(":")[0])
    if not looks_like_address:
        near = suggestion(text, inventory.hosts)
        known = ", ".join(list(inventory.hosts)[:8]) or "none"
        where = str(inventory.path) if inventory.path else "there is no inventory file"
        fix = f"hosts that are known: {known} ({where}); or give user@address[:port]"
        raise inventory.error(f"there is no host {text!r}{near}", "hosts" if inventory.path else "", fix)
    return _by_address(inventory, text, parse(text))


def _by_address(inventory: Inventory, text: str, spec: Spec) -> Host:
    """The inventory's own entry where the address is known there, else one of the moment."""
    same = [h for h in inventory.present if h.address == spec.address and spec.port in (None, h.port)]
    if not same:
        return adhoc(inventory.pattern, spec, text)
    fitting = [h for h in same if spec.user in (None, h.user)]
    if fitting:
        return fitting[0]
    raise inventory.error(
        f"{text!r} gives a user, and its address is that of {same[0].name!r}, which has another ({same[0].user})",
        f"hosts.{same[0].name}.user",
        f"say {same[0].name}, or change its user in the inventory",
    )
