"""`secret set|delete|list`: secrets in the workstation's keyring. No value is ever shown."""

import sys
from typing import Any

from invoke.collection import Collection

from tscm_migrate.errors import UsageError
from tscm_migrate.secrets import Secrets, to_keyring
from tscm_migrate.tasks.base import command, site_of
from tscm_migrate.ui.console import as_it_is, as_json, say
from tscm_migrate.util.private import expanded
from tscm_migrate.util.text import suggestion

_KINDS = {"passphrase": "passphrase", "sudo": "sudo_password", "login": "login_password"}
_NAME = ("NAME", "The secret: passphrase:HOST, sudo:HOST, login:HOST or key:FILE.")


def collection() -> Collection:
    """Return the commands below `secret`."""
    return Collection("secret", store, delete, listed)


@command(name="set", positional=["name"], help={"name": _NAME})
def store(_context: Any, name: str, inventory: str | None = None) -> None:
    """Ask for a secret and store it in this workstation's keyring.

    Without a terminal it is read from standard input, one line.

    Examples:
        tscm-migrate secret set passphrase:tscm-old
        pass show tscm/sudo | tscm-migrate secret set sudo:tscm-old
    """
    from getpass import getpass

    user = _checked(name, inventory)
    if sys.stdin is not None and sys.stdin.isatty():
        value = getpass(f"{user}: ")
        if value != getpass("again: "):
            raise UsageError("the two entries differ; nothing was stored", "run it again")
    else:
        value = sys.stdin.readline().rstrip("\r\n") if sys.stdin else ""
    if not value:
        raise UsageError("the secret is empty; nothing was stored", "type it at the prompt, or pipe it in on one line")
    to_keyring(user, value)
    say(f"stored {user} in the keyring")


@command(positional=["name"], help={"name": _NAME})
def delete(_context: Any, name: str, inventory: str | None = None) -> None:
    """Delete a secret from the keyring.

    Examples:
        tscm-migrate secret delete passphrase:tscm-old
    """
    user = _checked(name, inventory)
    to_keyring(user, None)
    say(f"deleted {user} from the keyring")


@command(name="list")
def listed(_context: Any, json: bool = False, inventory: str | None = None) -> None:
    """List the secrets that the hosts may need, and the source of each; values are not shown.

    Examples:
        tscm-migrate secret list
    """
    secrets = Secrets(interactive=False)
    hosts = site_of(inventory).present
    rows = [
        (f"{kind}:{host.name}", secrets.origin(kind, host.name, getattr(host, f"{key}_source")))
        for host in hosts
        for kind, key in _KINDS.items()
    ]
    files = sorted({str(host.identity_file) for host in hosts if host.identity_file})
    rows += [(f"key:{file}", secrets.origin("key", file, "")) for file in files]
    if json:
        as_json([{"name": name, "source": source} for name, source in rows])
    elif rows:
        width = max(len(name) for name, _ in rows)
        as_it_is("\n".join(f"{name:<{width}}  {source}" for name, source in rows))
    else:
        say("no hosts in the inventory; add one: tscm-migrate init")


def _checked(name: str, inventory: str | None) -> str:
    """Return the name that the keyring has for a secret.

    Raises:
        UsageError: an unknown kind. InventoryError: an unknown host.
    """
    kind, _, rest = name.partition(":")
    if kind == "key" and rest:
        return f"key:{expanded(rest)}"
    if kind not in _KINDS or not rest:
        near = suggestion(kind, [*_KINDS, "key"])
        raise UsageError(f"unknown secret {name!r}{near}", "use passphrase:HOST, sudo:HOST, login:HOST or key:FILE")
    return f"{kind}:{site_of(inventory).host(rest).name}"
