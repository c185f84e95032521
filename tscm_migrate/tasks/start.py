"""`init`, `doctor` and `host …`: create an inventory, check workstation and hosts, show and pin hosts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.collection import Collection

from tscm_migrate.errors import Exit
from tscm_migrate.model import Host
from tscm_migrate.secrets import Secrets
from tscm_migrate.tasks.afterwards import adopt
from tscm_migrate.tasks.base import HOST_HELP, command, site_of
from tscm_migrate.tasks.several import number_of
from tscm_migrate.ui.console import as_it_is, as_json, say

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
