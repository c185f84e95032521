"""Change an inventory's file after a migration: the new appliance's entry gets its new address."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tscm_migrate.errors import InventoryError
from tscm_migrate.inventory.inventory import Inventory
from tscm_migrate.inventory.read import lines_of
from tscm_migrate.model import Host
from tscm_migrate.util import private

Values = dict[str, "str | int"]
_VALUE = re.compile(r"""^(\s*[A-Za-z0-9_.-]+\s*=\s*)(?:"[^"\\]*"|'[^']*'|[0-9]+)(\s*(?:#.*)?)$""")


def changes(inventory: Inventory, *, old: str, new: str, address: str, took_address: bool) -> dict[str, Values]:
    """Return the values that the entries of both appliances need after a migration: host, then key → value.

    Args:
        inventory: as it is.
        old: name of the old appliance; it need not be in the inventory.
        new: name of the new appliance.
        address: where the new appliance is now.
        took_address: whether that is the old appliance's address; then its entry's port and gateway apply, too.

    Raises:
        InventoryError: the new appliance is not in the inventory.
    """
    if new not in inventory.hosts:
        fix = f'add [hosts.NAME] with address = "{address}" yourself'
        raise inventory.error(f"{new} is not a host of the inventory", "hosts", fix)
    was, now = inventory.hosts.get(old), inventory.hosts[new]
    wanted: Values = {"address": address} if now.address != address else {}
    if took_address and was is not None:
        wanted |= _port_and_gateway(was, now)
    found = {new: wanted} if wanted else {}
    if was is not None and new not in {old, was.moved_to}:
        found[old] = {"moved_to": new}
    return found


def _port_and_gateway(was: Host, now: Host) -> Values:
    """Return the port and the gateway of the old appliance, where the new appliance's entry has others."""
    values: Values = {"port": was.port} if now.port != was.port else {}
    if was.gateway is not None and was.gateway != now.gateway:
        values["gateway"] = was.gateway.name
    return values


def changed(text: str, wanted: Mapping[str, Values], file: str = "") -> str:
    """Return an inventory's text with the values set; everything else, including comments, is kept.

    Args:
        text: the file's text.
        wanted: host, then key → value.
        file: the file's name, for the error.

    Raises:
        InventoryError: the file's form does not allow a value to be set.
    """
    expected: dict[str, Any] = tomllib.loads(text)
    made = text
    for host, values in wanted.items():
        expected["hosts"][host].update(values)
        for key, value in values.items():
            made = _with_value(made, f"hosts.{host}", key, json.dumps(value))
    try:
        right = tomllib.loads(made) == expected
    except tomllib.TOMLDecodeError:
        right = False
    if not right:
        lines = "; ".join(f"in [hosts.{host}]: {_as_toml(values)}" for host, values in wanted.items())
        raise InventoryError(
            "is written in a form that cannot be changed here", f"write it yourself: {lines}", file=file
        )
    return made


def _as_toml(values: Values) -> str:
    return ", ".join(f"{key} = {json.dumps(value)}" for key, value in values.items())


def _with_value(text: str, table: str, key: str, value: str) -> str:
    """Set a key of a table: on its own line if it has one, else on a new line below the table's header."""
    lines, places = text.splitlines(keepends=True), lines_of(text)
    at = places.get(f"{table}.{key}")
    if at is not None and (match := _VALUE.match(lines[at - 1].rstrip("\r\n"))):
        end = lines[at - 1][len(lines[at - 1].rstrip("\r\n")) :]
        lines[at - 1] = f"{match[1]}{value}{match[2]}{end}"
    elif at is None and (header := places.get(table)) is not None:
        end = "\r\n" if lines[header - 1].endswith("\r\n") else "\n"
        lines[header - 1] = lines[header - 1].rstrip("\r\n") + end
        lines.insert(header, f"{key} = {value}{end}")
    return "".join(lines)


def write(path: Path, wanted: Mapping[str, Values]) -> None:
    """Replace the file atomically; its mode is kept.

    Raises:
        InventoryError: see `changed`. OSError: the file cannot be written.
    """
    target = path.resolve()  # keeps a symbolic link
    before = target.read_bytes().decode("utf-8")
    mark = "\ufeff" if before.startswith("\ufeff") else ""
    text = changed(before.removeprefix(mark), wanted, str(path))
    private.write(target, (mark + text).encode(), target.stat().st_mode & 0o777)
