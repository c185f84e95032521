"""A site's hosts as text and as JSON, each value with its source; and the dialogue that pins their keys."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import Exit, UsageError
from tscm_migrate.ui.console import say

if TYPE_CHECKING:
    from tscm_migrate.inventory import Inventory
    from tscm_migrate.model import Host
    from tscm_migrate.ssh.pinning import Offer

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}\Z")
_KEYS = {  # what the inventory calls it → the field
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
    """The JSON form; paths and commands in full, `source` by key."""
    values: dict[str, Any] = {"name": host.name}
    values |= {key: getattr(host, field) for key, field in _KEYS.items()}
    values["gateway"] = host.gateway.name if host.gateway else None
    values |= {"paths": asdict(host.paths), "commands": asdict(host.commands), "dialect": str(host.dialect or "")}
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
    shown["known_hosts"] = str(host.known_hosts or "-")
    width = max(map(len, shown))
    lines = (f"{key.ljust(width)}  {value}  ({site.source_of(host.name, key)})" for key, value in shown.items())
    return f"{host.name}\n" + "\n".join(f"  {line}" for line in lines)


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "-"
    return "-" if value in (None, "") else str(value)


def pin_host(site: Inventory, name: str, fingerprint: str | None) -> Exit:
    """Show a host's keys and pin them, after a yes or where one has the fingerprint.

    Raises:
        UsageError: the fingerprint is none, or there is no terminal to ask on.
        HostKeyMismatch: no key has this fingerprint.
    """
    from tscm_migrate.secrets import Secrets
    from tscm_migrate.ssh import pinning

    if fingerprint is not None and not _FINGERPRINT.match(fingerprint):
        fix = "as `ssh-keygen -l` prints it: SHA256: and 43 characters"
        raise UsageError(f"--fingerprint {fingerprint!r} is no fingerprint", fix)
    offer = pinning.look(site.host(name), Secrets())
    say(_describe(offer))
    if fingerprint is None and offer.state == "same":
        say(f"nothing to do: {offer.path} has them already")
        return Exit.DONE
    if fingerprint is None and not _yes(offer):
        say("nothing was pinned")
        return Exit.FAILED
    changed = pinning.accept(offer, fingerprint)
    say(f"pinned in {offer.path}" if changed else f"nothing to do: {offer.path} has it already")
    return Exit.DONE


def _describe(offer: Offer) -> str:
    lines = [f"{offer.host} ({offer.name}) offers:"]
    pinned = offer.pinned
    for kind, found in offer.fingerprints.items():
        if kind not in pinned:
            note = "new"
        else:
            note = "pinned" if pinned[kind] == found else f"CHANGED, pinned is {pinned[kind]}"
        lines.append(f"  {kind:<20} {found}  ({note})")
    return "\n".join(lines)


def _yes(offer: Offer) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        fix = f"read it on its console, then: tscm-migrate host pin {offer.host} --fingerprint SHA256:…"
        raise UsageError("there is no terminal to ask on", fix)
    verb = "REPLACE what is pinned with these" if offer.state == "changed" else "pin these"
    try:
        return input(f"Are they what its console shows? Then {verb} [y/N]: ").strip().lower() in {"y", "yes"}
    except EOFError:
        return False
