"""`backup HOST`: one backup, without a migration."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import UsageError
from tscm_migrate.tasks.base import attended

from .base import HOST_HELP, INVENTORY_HELP, command
from .several import GROUP, JOBS, hosts_of, number_of, on_each

if TYPE_CHECKING:
    from tscm_migrate.migration.single_backup import Made
    from tscm_migrate.model import Host


@command(
    trailing="host",
    help={
        "host": HOST_HELP,
        "group": GROUP,
        "jobs": JOBS,
        "encrypt": "Encrypt the backup with a passphrase; --no-encrypt leaves it unencrypted.",
        "interface": ("NAME", "Network interface for tsadmin (default: the inventory's, or eth0)."),
        "json": "Print JSON, one object a line.",
        "inventory": INVENTORY_HELP,
    },
)
def backup(
    _context: Any,
    host: str | None = None,
    group: str | None = None,
    jobs: str | None = None,
    encrypt: bool = True,
    passphrase_file: str | None = None,
    interface: str | None = None,
    json: bool = False,
    inventory: str | None = None,
) -> int:
    """Make one backup on an appliance, encrypted and verified.

    Waits until no update runs, makes the backup, and reads it to its end. Changes nothing else on the appliance. To
    copy it off-site: `tscm-migrate offsite pull`.

    Examples:
        tscm-migrate backup tscm-old
        tscm-migrate backup --group branches --jobs 8 --json
    """
    from dataclasses import asdict

    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.inventory.read import load
    from tscm_migrate.migration import single_backup
    from tscm_migrate.migration.context import Dialler
    from tscm_migrate.secrets import Secrets
    from tscm_migrate.ui import lines
    from tscm_migrate.ui.operator import Terminal

    if not encrypt and passphrase_file:
        raise UsageError("--no-encrypt and --passphrase-file exclude each other", "leave one of them out")
    site = load(Path(inventory) if inventory else None)
    hosts, at_once = hosts_of(site, host, group), number_of(jobs)
    alone = attended() and len(hosts) == 1  # questions of several hosts at once cannot be answered
    emit = lines.json_lines if json else lines.Plain(quiet=len(hosts) > 1)
    file = Path(passphrase_file) if passphrase_file else None
    secrets = Secrets(interactive=attended(), passphrase_file=file, emit=emit)

    def made(one: Host) -> Made:
        passphrase = secrets.passphrase(one, new=True) if encrypt else None
        if encrypt and passphrase is None:
            fix = "add --passphrase-file FILE, set TSCM_PASSPHRASE, or use --no-encrypt"
            raise UsageError("no passphrase for the backup; nothing was changed", fix)
        with contextlib.closing(Appliance(one, Dialler(secrets, emit), emit)) as appliance:
            return single_backup.make(
                appliance, passphrase=passphrase, interface=interface, operator=Terminal(attended=alone),
                policy=site.policy,
            )  # fmt: skip

    def shown(one: Host, value: Made) -> str | dict[str, Any]:
        return {"v": 1, "event": "backup", "host": one.name, **asdict(value)} if json else _text(one, value)

    return on_each(hosts, made, jobs=at_once, shown=shown)


def _text(host: Host, made: Made) -> str:
    from tscm_migrate.util.text import size_text

    named = f", devices: {', '.join(made.devices)}" if made.devices else ""
    about = f"{made.archive.path} ({size_text(made.archive.size)}), {made.members} files{named}"
    return f"{host.name}: {about}\n  SHA-256 {made.archive.sha256}"
