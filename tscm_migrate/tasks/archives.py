"""`archives`, `pull`, `push`: which archives an appliance has, fetch them, bring one back."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .base import INVENTORY_HELP, command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.events import Emit
    from tscm_migrate.model import Secret

_HOST = "The appliance: an inventory name, or user@address[:port]."
_LIMIT = "Bytes a second, as in 20M."
_SFTP = "Use SFTP for the bytes also where there is a shell."
_JSON = "Print JSON."


@contextlib.contextmanager
def _appliance(name: str, inventory: str | None, emit: Emit) -> Iterator[Appliance]:
    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.inventory import load
    from tscm_migrate.migration.context import Dialler
    from tscm_migrate.secrets import Secrets

    site = load(Path(inventory) if inventory else None)
    made = Appliance(site.host(name), Dialler(Secrets(emit=emit), emit), emit)
    with contextlib.closing(made):
        yield made


def _passphrase(appliance: Appliance, file: str | None) -> Secret | None:
    from tscm_migrate.secrets import Secrets

    # nobody is asked: a pull without a passphrase is checked for being whole
    secrets = Secrets(interactive=False, passphrase_file=Path(file) if file else None, emit=appliance.emit)
    return secrets.passphrase(appliance.host)


@command(positional=["host"], help={"host": _HOST, "json": _JSON, "inventory": INVENTORY_HELP})
def archives(_context: Any, host: str, json: bool = False, inventory: str | None = None) -> None:
    """List the archives of an appliance, newest first.

    Examples:
        tscm-migrate archives tscm-old
        tscm-migrate archives admin@10.1.1.43 --json
    """
    from tscm_migrate.events import silent
    from tscm_migrate.transfer import api
    from tscm_migrate.ui.archives import as_data, table
    from tscm_migrate.ui.console import as_it_is, as_json

    with _appliance(host, inventory, silent) as appliance:
        found = api.listed(appliance)
    if json:
        as_json(as_data(found))
    else:
        as_it_is(table(found))


@command(
    help={
        "host": _HOST,
        "archive": "latest, all, or the NAME of an archive.",
        "to": "The folder (default: this one); files in it are never overwritten.",
        "limit": _LIMIT,
        "sftp": _SFTP,
        "verify": "Look whether what was pulled is whole as an archive; with a passphrase, decrypt and list it.",
        "passphrase_file": "A file with the archives' passphrase, for --verify.",
        "json": "Print events as JSON, one a line.",
        "inventory": INVENTORY_HELP,
    }
)
def pull(
    _context: Any,
    host: str,
    archive: str = "latest",
    to: str = ".",
    limit: str = "",
    sftp: bool = False,
    verify: bool = True,
    passphrase_file: str | None = None,
    json: bool = False,
    inventory: str | None = None,
) -> None:
    """Fetch archives from an appliance: resumed where an earlier try stopped, verified, named only when whole.

    Examples:
        tscm-migrate pull --host tscm-old --to backups
        tscm-migrate pull --host tscm-old --archive all --to backups --limit 20M
    """
    from tscm_migrate.events import Said
    from tscm_migrate.transfer import api
    from tscm_migrate.transfer import verify as proof
    from tscm_migrate.ui import watcher
    from tscm_migrate.util.rates import parse_limit

    rate, emit = parse_limit(limit), watcher(as_json=json)
    with _appliance(host, inventory, emit) as appliance:
        sent = api.pull(appliance, api.wanted(appliance, archive), Path(to), limit=rate, emit=emit, sftp=sftp)
        for one in sent:
            path = Path(to) / one.archive.name
            emit(Said(proof.line(one, path)))
            if verify:
                opened = proof.look(path, _passphrase(appliance, passphrase_file) if one.archive.encrypted else None)
                emit(Said(f"{path}: {opened.text}"))


@command(
    positional=["file"],
    help={
        "file": "The archive.",
        "host": _HOST,
        "limit": _LIMIT,
        "sftp": _SFTP,
        "json": "Print events as JSON, one a line.",
        "inventory": INVENTORY_HELP,
    },
)
def push(
    _context: Any,
    file: str,
    host: str,
    limit: str = "",
    sftp: bool = False,
    json: bool = False,
    inventory: str | None = None,
) -> None:
    """Bring an archive to an appliance's backup folder, ready for a restore; never over another one.

    Examples:
        tscm-migrate push threatstop_backup_2024-05-01_03_00_00.tsbak.gpg --host tscm-new
    """
    from tscm_migrate.events import Said
    from tscm_migrate.transfer import api
    from tscm_migrate.transfer import verify as proof
    from tscm_migrate.ui import watcher
    from tscm_migrate.util.rates import parse_limit

    rate, emit = parse_limit(limit), watcher(as_json=json)
    with _appliance(host, inventory, emit) as appliance:
        (sent,) = api.push(Path(file), appliance, limit=rate, emit=emit, sftp=sftp)
        emit(Said(proof.line(sent, f"{appliance.name}:{appliance.paths.backup_dir}/{sent.archive.name}")))
