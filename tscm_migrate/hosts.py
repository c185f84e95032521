"""A site's hosts as text and as JSON, each value with its source."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .inventory import Inventory
    from .site import Host

_KEYS = {  # what the inventory calls it → the field
    "address": "address",
    "port": "port",
    "user": "user",
    "identity_file": "identity_file",
    "use_agent": "use_agent",
    "interface": "interface",
    "sudo_password": "sudo_password_source",
    "login_password": "login_password_source",
    "passphrase": "passphrase_source",
    "devices": "devices",
    "tags": "tags",
}


def as_dict(site: Inventory, host: Host) -> dict[str, Any]:
    """The JSON form; paths and commands in full, `source` by key."""
    values: dict[str, Any] = {"name": host.name}
    values |= {key: getattr(host, field) for key, field in _KEYS.items()}
    values["gateway"] = host.gateway.name if host.gateway else None
    values |= {"paths": asdict(host.paths), "commands": asdict(host.commands), "prompts": len(host.prompts)}
    values["known_hosts"] = str(host.known_hosts) if host.known_hosts else None
    values["source"] = {key: site.source_of(host.name, key) for key in _KEYS}
    return values


def table(site: Inventory) -> str:
    """One line a host."""
    if not site.hosts:
        return f"no hosts in {site.path}\n" if site.path else "there is no inventory file\n"
    rows = [("NAME", "ADDRESS", "PORT", "USER", "TAGS")]
    rows += [(h.name, h.address, str(h.port), h.user, " ".join(h.tags)) for h in site.hosts.values()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines) + "\n"


def detail(site: Inventory, host: Host) -> str:
    """One line a value, with its source; paths and commands only where they differ from the documented ones."""
    shown = {key: _text(getattr(host, field)) for key, field in _KEYS.items()}
    shown["gateway"] = host.gateway.name if host.gateway else "-"
    for group in ("paths", "commands"):
        for key, value in asdict(getattr(host, group)).items():
            if value != asdict(type(getattr(host, group))())[key]:
                shown[f"{group}.{key}"] = value
    shown["prompts"] = f"{len(host.prompts)} of its own"
    shown["known_hosts"] = str(host.known_hosts or "-")
    width = max(map(len, shown))
    lines = (f"{key.ljust(width)}  {value}  ({site.source_of(host.name, key)})" for key, value in shown.items())
    return f"{host.name}\n" + "\n".join(f"  {line}" for line in lines) + "\n"


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "-"
    return "-" if value in (None, "") else str(value)
