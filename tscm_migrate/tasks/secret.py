"""`secret set|delete|list`: secrets in the workstation's keyring. No value is ever shown."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from invoke.collection import Collection

from tscm_migrate.errors import UsageError
from tscm_migrate.ui.console import say
from tscm_migrate.util.suggest import suggestion

from .base import INVENTORY_HELP, command

_KINDS = {"passphrase": "passphrase", "sudo": "sudo_password", "login": "login_password"}
_NAME = "What it is for: passphrase:HOST, sudo:HOST, login:HOST or key:FILE."


def collection() -> Collection:
    """The tasks about secrets."""
    return Collection("secret", store, delete, listed)


@command(name="set", positional=["name"], help={"name": _NAME, "inventory": INVENTORY_HELP})
def store(_context: Any, name: str, inventory: str | None = None) -> None:
    """Ask for a secret and store it in this workstation's keyring.

    Without a terminal it is read from standard input, one line.

    Examples:
        tscm-migrate secret set passphrase:tscm-old
        pass show tscm/sudo | tscm-migrate secret set sudo:tscm-old
    """
    from getpass import getpass

    from tscm_migrate.secrets import to_keyring

    user = _checked(name, inventory)
    if sys.stdin is not None and sys.stdin.isatty():
        value = getpass(f"{user}: ")
        if value != getpass("once more: "):
            raise UsageError("the two differ; nothing was stored", "type it again")
    else:
        value = sys.stdin.readline().rstrip("\r\n") if sys.stdin else ""
    if not value:
        raise UsageError("an empty secret; nothing was stored", "type it at the prompt, or pipe it in on one line")
    to_keyring(user, value)
    say(f"stored {user} in the keyring")


@command(positional=["name"], help={"name": _NAME, "inventory": INVENTORY_HELP})
def delete(_context: Any, name: str, inventory: str | None = None) -> None:
    """Delete a secret from the keyring.

    Examples:
        tscm-migrate secret delete passphrase:tscm-old
    """
    from tscm_migrate.secrets import to_keyring

    user = _checked(name, inventory)
    to_keyring(user, None)
    say(f"deleted {user} from the keyring")


@command(name="list", help={"inventory": INVENTORY_HELP})
def listed(_context: Any, inventory: str | None = None) -> None:
    """Say where each host's secrets come from, and whether the keyring has one; never the value.

    Examples:
        tscm-migrate secret list
    """
    from tscm_migrate.inventory.read import load
    from tscm_migrate.secrets import from_keyring

    site = load(Path(inventory) if inventory else None)
    for host in site.hosts.values():
        for kind, key in _KINDS.items():
            named = getattr(host, f"{key}_source") or "environment, keyring, prompt"
            stored = "stored" if from_keyring(f"{kind}:{host.name}") is not None else "not stored"
            say(f"{kind + ':' + host.name:<20}  {stored:<10}  asked from: {named}")


def _checked(name: str, inventory: str | None) -> str:
    """The keyring's name for it.

    Raises:
        UsageError: no such kind, or no such host in the inventory.
    """
    from tscm_migrate.inventory.read import load

    kind, _, rest = name.partition(":")
    if kind == "key" and rest:
        return f"key:{Path(rest).expanduser()}"
    if kind not in _KINDS or not rest:
        raise UsageError(f"{name!r} names no secret{suggestion(kind, [*_KINDS, 'key'])}", _NAME)
    return f"{kind}:{load(Path(inventory) if inventory else None).host(rest).name}"
