"""`init`, `doctor`, `host …` and `secret …`: create an inventory, check workstation and hosts, pin hosts, keep secrets.

The secrets are in the keyring of the workstation. No value is ever shown.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.collection import Collection

from tscm_migrate.errors import Exit, UsageError
from tscm_migrate.model import Host
from tscm_migrate.secrets import Secrets, to_keyring
from tscm_migrate.tasks.afterwards import adopt
from tscm_migrate.tasks.base import HOST_HELP, command, site_of
from tscm_migrate.tasks.several import number_of
from tscm_migrate.ui.console import as_it_is, as_json, say
from tscm_migrate.util.private import expanded
from tscm_migrate.util.text import suggestion

if TYPE_CHECKING:
    from tscm_migrate.cli.doctor import Diagnosis


@command(
    help={
        "old": ("ADDRESS", "Old appliance: [user@]address[:port]."),
        "new": ("ADDRESS", "New appliance: [user@]address[:port]."),
        "user": "Login user (default: threatstop).",
        "identity_file": "Private key for the login (default: the ssh agent, ~/.ssh/config, a password).",
        "fingerprint_old": (
            "FINGERPRINT",
            "Expected host-key fingerprint of the old appliance (SHA256:…); pins without asking.",
        ),
        "fingerprint_new": (
            "FINGERPRINT",
            "Expected host-key fingerprint of the new appliance (SHA256:…); pins without asking.",
        ),
        "inventory": "Inventory file to write (default: hosts.toml in your configuration folder).",
    }
)
def init(
    _context: Any,
    old: str | None = None,
    new: str | None = None,
    user: str | None = None,
    identity_file: str | None = None,
    fingerprint_old: str | None = None,
    fingerprint_new: str | None = None,
    inventory: str | None = None,
) -> int:
    """Create an inventory and pin the keys of two appliances.

    Asks for what is not given, and tries to log in to both.

    Examples:
        tscm-migrate init
        tscm-migrate init --old 10.1.1.43 --new 10.1.1.50 --inventory ./hosts.toml
    """
    from tscm_migrate.cli import setup as room

    given = room.Answers(old or "", new or "", user or "", identity_file or "", fingerprint_old, fingerprint_new)
    return int(room.start(given, Path(inventory) if inventory else None))


@command(
    help={
        "local": "Check this workstation only.",
        "group": ("GROUP", "Check the hosts of this group only."),
        "jobs": ("N", "Number of hosts at once (default: 4)."),
    }
)
def doctor(
    _context: Any,
    local: bool = False,
    group: str | None = None,
    jobs: str | None = None,
    json: bool = False,
    inventory: str | None = None,
) -> int:
    """Check this workstation and every host.

    Shows for each problem a command that fixes it. What several hosts have in common is shown once, with their names.

    Exit codes: 0, no errors; 4, there is an ERROR line.

    Examples:
        tscm-migrate doctor
        tscm-migrate doctor --group branches --jobs 8
        tscm-migrate doctor --local
    """
    from tscm_migrate.cli import doctor as room

    site = site_of(inventory)
    hosts, secrets = site.group(group) if group else site.present, Secrets(interactive=False)
    diagnoses = list(room.workstation(site))
    if not json:
        say("\n".join(room.text(finding) for finding in diagnoses))
    if not local:
        of_hosts = _looked_at(hosts, lambda host: list(room.host(host, secrets)), number_of(jobs))
        diagnoses += of_hosts
        if not json:
            say("\n".join(map(room.text, room.grouped(of_hosts))))
    if json:
        as_json([asdict(one) for one in diagnoses])
    return int(Exit.ATTENTION if any(one.severity == "error" for one in diagnoses) else Exit.DONE)


def _looked_at(hosts: Sequence[Host], look: Callable[[Host], list[Diagnosis]], jobs: int) -> list[Diagnosis]:
    """Return what was found on all hosts; an error of one of them is raised."""
    from tscm_migrate.fleet.pool import run

    diagnoses: list[Diagnosis] = []
    for outcome in run(hosts, look, jobs=jobs):
        if outcome.error is not None:
            raise outcome.error
        diagnoses += outcome.value or []
    return diagnoses


def hosts() -> Collection:
    """Return the commands below `host`."""
    return Collection("host", listed, show, pin, adopt)


@command(name="list")
def listed(_context: Any, json: bool = False, inventory: str | None = None) -> None:
    """List the hosts of the inventory.

    Examples:
        tscm-migrate host list
    """
    from tscm_migrate.cli.hosts import as_dict, table

    site = site_of(inventory)
    if json:
        as_json([as_dict(site, host) for host in site.hosts.values()])
    else:
        as_it_is(table(site))


@command(positional=["name"], help={"name": HOST_HELP})
def show(_context: Any, name: str, json: bool = False, inventory: str | None = None) -> None:
    """Show a host: every value, and where it comes from.

    Examples:
        tscm-migrate host show tscm-old
    """
    from tscm_migrate.cli.hosts import as_dict, detail

    site = site_of(inventory)
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

    site = site_of(inventory)
    return pin_host(site, name, fingerprint)


_KINDS = {"passphrase": "passphrase", "sudo": "sudo_password", "login": "login_password"}
_NAME = ("NAME", "The secret: passphrase:HOST, sudo:HOST, login:HOST or key:FILE.")


def keyring() -> Collection:
    """Return the commands below `secret`."""
    return Collection("secret", store, delete, stored)


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
def stored(_context: Any, json: bool = False, inventory: str | None = None) -> None:
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
