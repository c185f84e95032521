"""The hosts of an inventory as text and as JSON, each value with its source; and how their keys are pinned."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import Cancelled, Exit, UsageError
from tscm_migrate.inventory.inventory import Inventory, parse
from tscm_migrate.model import Host
from tscm_migrate.secrets import Secrets
from tscm_migrate.ssh.ssh_config import settled
from tscm_migrate.tasks.base import require_terminal
from tscm_migrate.ui import console
from tscm_migrate.ui.console import say
from tscm_migrate.ui.operator import Terminal

if TYPE_CHECKING:
    from tscm_migrate.ssh.pinning import Offer

DEFAULT = "built-in default"
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}\Z")
_KEYS = {  # key of the inventory → field of Host
    "address": "address",
    "port": "port",
    "user": "user",
    "identity_file": "identity_file",
    "use_agent": "use_agent",
    "fast_transport": "fast_transport",
    "interface": "interface",
    "sudo_password": "sudo_password_source",
    "login_password": "login_password_source",
    "passphrase": "passphrase_source",
    "devices": "devices",
    "priority": "priority",
    "moved_to": "moved_to",
    "tags": "tags",
}


def as_dict(site: Inventory, host: Host) -> dict[str, Any]:
    """Return the JSON form; paths and commands in full, `source` by key."""
    values: dict[str, Any] = {"name": host.name}
    used = settled(host)
    values |= {key: getattr(used, field) for key, field in _KEYS.items()}
    values["gateway"] = host.gateway.name if host.gateway else None
    values |= {"paths": asdict(host.paths), "commands": asdict(host.commands), "dialect": str(host.dialect or "")}
    values["known_hosts"] = str(host.known_hosts) if host.known_hosts else None
    values["source"] = {key: source(site, host, key) for key in _KEYS}
    return values


def table(site: Inventory) -> str:
    """Return a table with one line for each host."""
    if not site.hosts:
        return f"no hosts in {site.path}\n" if site.path else "no inventory file; create one: tscm-migrate init\n"
    rows = [(h.name, h.address, h.port, h.user, " ".join(h.tags)) for h in site.hosts.values()]
    return console.table(("NAME", "ADDRESS", "PORT", "USER", "TAGS"), rows)


def detail(site: Inventory, host: Host) -> str:
    """Return one line for each value, with its source; paths and commands only if they are not the documented ones."""
    used = settled(host)
    shown = {key: _text(getattr(used, field)) for key, field in _KEYS.items()}
    shown["gateway"] = host.gateway.name if host.gateway else "-"
    for group in ("paths", "commands"):
        for key, value in asdict(getattr(host, group)).items():
            if value != asdict(type(getattr(host, group))())[key]:
                shown[f"{group}.{key}"] = value
    shown["known_hosts"] = str(host.known_hosts or "-")
    width = max(map(len, shown))
    lines = (f"{key.ljust(width)}  {value}  ({source(site, host, key)})" for key, value in shown.items())
    return f"{host.name}\n" + "\n".join(f"  {line}" for line in lines)


def source(site: Inventory, host: Host, key: str) -> str:
    """Return where a value comes from: a line of the inventory, the command line, ~/.ssh/config, or the default."""
    if key in {"user", "port"} and getattr(settled(host), key) != getattr(host, key):
        return "~/.ssh/config"
    if key == "known_hosts":
        return f"{site.path.name} known_hosts" if site.path and "known_hosts" in site.raw else DEFAULT
    if host.name in site.hosts:
        return site.source_of(host.name, key)
    spec = parse(host.name)
    if key == "address" or (key in {"user", "port"} and getattr(spec, key)):
        return "command line"
    return f"{site.path.name} defaults.{key}" if site.path and _has_default(site, key) else DEFAULT


def _has_default(site: Inventory, key: str) -> bool:
    """Return whether the inventory's [defaults] have a value for a key; one in a table is TABLE.KEY."""
    table, _, inner = key.partition(".")
    given = site.raw.get("defaults", {}).get(table)
    return inner in (given or {}) if inner else given is not None


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "-"
    return "-" if value in (None, "") else str(value)


def pin_host(site: Inventory, name: str, fingerprint: str | None) -> Exit:
    """Show a host's keys and pin them, after confirmation or if one of them has the fingerprint.

    Raises:
        UsageError: not a valid fingerprint, or there is no terminal to ask on. Cancelled: the answer was no.
        HostKeyMismatch: no key has this fingerprint.
    """
    from tscm_migrate.ssh import pinning

    if fingerprint is not None and not _FINGERPRINT.match(fingerprint):
        fix = "use what `ssh-keygen -l` prints: SHA256: and 43 characters"
        raise UsageError(f"--fingerprint {fingerprint!r} is not a valid fingerprint", fix)
    offer = pinning.look(site.host(name), Secrets())
    say(_describe(offer))
    if fingerprint is None and offer.state == "same":
        say(f"Nothing to do: {offer.path} already has these keys.")
        return Exit.DONE
    if fingerprint is None and not _yes(offer):
        raise Cancelled
    changed = pinning.accept(offer, fingerprint)
    say(f"Pinned in {offer.path}." if changed else f"Nothing to do: {offer.path} already has this key.")
    return Exit.DONE


def _describe(offer: Offer) -> str:
    lines = [f"{offer.host} ({offer.name}) offers:"]
    pinned = offer.pinned
    for kind, fingerprint in offer.fingerprints.items():
        if kind not in pinned:
            note = "new"
        else:
            note = "pinned" if pinned[kind] == fingerprint else f"CHANGED, pinned is {pinned[kind]}"
        lines.append(f"  {kind:<20} {fingerprint}  ({note})")
    return "\n".join(lines)


def _yes(offer: Offer) -> bool:
    fix = f"read the fingerprint on its console, then: tscm-migrate host pin {offer.host} --fingerprint SHA256:…"
    require_terminal(yes=False, otherwise=fix)
    verb = "Replace the pinned keys with these" if offer.state == "changed" else "Pin these keys"
    return Terminal(attended=True).confirm(f"Compare them with the fingerprints on the host's console. {verb}?")
