"""`backup HOST`: one backup, without a migration."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

from tscm_migrate.errors import UsageError

from .base import HOST_HELP, INVENTORY_HELP, command


@command(
    positional=["host"],
    help={
        "host": HOST_HELP,
        "encrypt": "Encrypt it with a passphrase; --no-encrypt leaves it readable.",
        "passphrase_file": "A file with its passphrase (else TSCM_PASSPHRASE, the inventory, keyring, a prompt).",
        "interface": "The network interface that is handed to tsadmin (default: the inventory's, else eth0).",
        "json": "Print JSON.",
        "inventory": INVENTORY_HELP,
    },
)
def backup(
    _context: Any,
    host: str,
    encrypt: bool = True,
    passphrase_file: str | None = None,
    interface: str | None = None,
    json: bool = False,
    inventory: str | None = None,
) -> None:
    """Make one backup on an appliance: it waits until no update runs, encrypts, hashes, and opens it to the end.

    Nothing is paused or changed beside the new archive. To copy it to safety: `tscm-migrate offsite pull`.

    Examples:
        tscm-migrate backup tscm-old
        tscm-migrate backup tscm-old --passphrase-file passphrase.txt --json
    """
    from dataclasses import asdict

    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.inventory.read import load
    from tscm_migrate.migration import single_backup
    from tscm_migrate.migration.context import Dialler
    from tscm_migrate.secrets import Secrets
    from tscm_migrate.ui import lines
    from tscm_migrate.ui.console import as_json, say
    from tscm_migrate.ui.operator import Terminal
    from tscm_migrate.util.rates import size_text

    if not encrypt and passphrase_file:
        raise UsageError("--no-encrypt and --passphrase-file exclude each other", "leave one of them out")
    site = load(Path(inventory) if inventory else None)
    interactive = sys.stdin is not None and sys.stdin.isatty()
    emit = lines.json_lines if json else lines.Plain()
    secrets = Secrets(
        interactive=interactive, passphrase_file=Path(passphrase_file) if passphrase_file else None, emit=emit
    )
    appliance = Appliance(site.host(host), Dialler(secrets, emit), emit)
    passphrase = secrets.passphrase(appliance.host, new=True) if encrypt else None
    if encrypt and passphrase is None:
        fix = "give --passphrase-file FILE or TSCM_PASSPHRASE; or --no-encrypt for a plain backup"
        raise UsageError("there is no passphrase for the backup; nothing was changed", fix)
    operator = Terminal(attended=interactive)
    with contextlib.closing(appliance):
        made = single_backup.make(
            appliance, passphrase=passphrase, interface=interface, operator=operator, policy=site.policy
        )  # fmt: skip
    if json:
        as_json({"v": 1, "event": "backup", "host": host, **asdict(made)}, indent=None)
        return
    archive = made.archive
    named = f", devices: {', '.join(made.devices)}" if made.devices else ""
    say(f"{host}: {archive.path} ({size_text(archive.size)}), {made.members} files{named}\n  SHA-256 {archive.sha256}")
