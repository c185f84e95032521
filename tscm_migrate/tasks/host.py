"""`host list|show|pin`: the hosts of the inventory and their SSH keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from invoke.collection import Collection

from .afterwards import adopt
from .base import HOST_HELP, INVENTORY_HELP, command


def collection() -> Collection:
    """Return the commands below `host`."""
    return Collection("host", listed, show, pin, adopt)


@command(name="list", help={"json": "Print JSON.", "inventory": INVENTORY_HELP})
def listed(_context: Any, json: bool = False, inventory: str | None = None) -> None:
    """List the hosts of the inventory.

    Examples:
        tscm-migrate host list
    """
    from tscm_migrate.cli.hosts import as_dict, table
    from tscm_migrate.inventory.read import load
    from tscm_migrate.ui.console import as_it_is, as_json

    site = load(Path(inventory) if inventory else None)
    if json:
        as_json([as_dict(site, host) for host in site.hosts.values()])
    else:
        as_it_is(table(site))


@command(positional=["name"], help={"name": HOST_HELP, "json": "Print JSON.", "inventory": INVENTORY_HELP})
def show(_context: Any, name: str, json: bool = False, inventory: str | None = None) -> None:
    """Show a host: every value, and where it comes from.

    Examples:
        tscm-migrate host show tscm-old
    """
    from tscm_migrate.cli.hosts import as_dict, detail
    from tscm_migrate.inventory.read import load
    from tscm_migrate.ui.console import as_json, say

    site = load(Path(inventory) if inventory else None)
    host = site.host(name, moved=True)
    if json:
        as_json(as_dict(site, host))
    else:
        say(detail(site, host))


@command(
    positional=["name"],
    help={
        "name": HOST_HELP,
        "fingerprint": "Fingerprint that the host's console shows (SHA256:…): pin this key without asking.",
        "inventory": INVENTORY_HELP,
    },
)
def pin(_context: Any, name: str, fingerprint: str | None = None, inventory: str | None = None) -> int | None:
    """Show a host's SSH keys and pin them after confirmation.

    Compare the fingerprint with the one on the host's console:

        ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub

    Examples:
        tscm-migrate host pin tscm-old
        tscm-migrate host pin tscm-old --fingerprint SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU
    """
    from tscm_migrate.cli.hosts import pin_host
    from tscm_migrate.inventory.read import load

    site = load(Path(inventory) if inventory else None)
    return pin_host(site, name, fingerprint)
