"""`archive list|create|pull|push`: the archives on an appliance."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.collection import Collection

from tscm_migrate.cli.completion import remember
from tscm_migrate.events import Emit, Message, silent
from tscm_migrate.model import Secret
from tscm_migrate.secrets import Secrets
from tscm_migrate.tasks.backup import backup
from tscm_migrate.tasks.base import command, site_of, watcher
from tscm_migrate.ui.console import as_it_is, as_json
from tscm_migrate.util.text import parse_limit

if TYPE_CHECKING:
    from tscm_migrate.appliance.appliance import Appliance

_SFTP = "Always transfer over SFTP, even if shell access is available."
_EVENTS = "Print events as JSON, one object on each line."


def collection() -> Collection:
    """Return the commands below `archive`."""
    return Collection("archive", listed, backup, pull, push)


@contextlib.contextmanager
def _appliance(name: str, inventory: str | None, emit: Emit) -> Iterator[Appliance]:
    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.migration.context import Dialler

    made = Appliance(site_of(inventory).host(name), Dialler(Secrets(emit=emit), emit), emit)
    with contextlib.closing(made):
        yield made


def _passphrase(appliance: Appliance, file: str | None) -> Secret | None:
    # does not ask: without a passphrase the archive is only checked for being complete
    secrets = Secrets(interactive=False, passphrase_file=Path(file) if file else None, emit=appliance.emit)
    return secrets.passphrase(appliance.host)


@command(name="list", positional=["host"])
def listed(_context: Any, host: str, json: bool = False, inventory: str | None = None) -> None:
    """List the archives on an appliance, newest first.

    Examples:
        tscm-migrate archive list tscm-old
        tscm-migrate archive list admin@10.1.1.43 --json
    """
    from tscm_migrate.transfer import api
    from tscm_migrate.ui.console import archive_dicts, archive_table

    with _appliance(host, inventory, silent) as appliance:
        archives = api.listed(appliance)
    remember(host, (archive.name for archive in archives))
    if json:
        as_json(archive_dicts(archives))
    else:
        as_it_is(archive_table(archives))


@command(
    positional=["host"],
    help={
        "archive": "The archive: latest, all, or the NAME of one.",
        "to": ("FOLDER", "Folder for the archives; existing files in it are never overwritten."),
        "sftp": _SFTP,
        "verify": "Check the downloaded archives; with a passphrase, decrypt them and list their contents.",
        "passphrase_file": ("FILE", "File with the archives' passphrase, for --verify."),
        "json": _EVENTS,
    },
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
    """Download archives from an appliance. Resumable and verified; a partial file never gets the final name.

    Examples:
        tscm-migrate archive pull tscm-old --to backups
        tscm-migrate archive pull tscm-old --archive all --to backups --limit 20M
    """
    from tscm_migrate.transfer import api
    from tscm_migrate.transfer import verify as proof

    rate, emit = parse_limit(limit), watcher(as_json=json)
    with _appliance(host, inventory, emit) as appliance:
        sent = api.pull(appliance, api.chosen(appliance, archive), Path(to), limit=rate, emit=emit, sftp=sftp)
        for one in sent:
            path = Path(to) / one.archive.name
            emit(Message(proof.line(one, path)))
            if verify:
                opened = proof.look(path, _passphrase(appliance, passphrase_file) if one.archive.encrypted else None)
                emit(Message(f"{path}: {opened.text}"))


@command(positional=["host", "file"], help={"file": "The archive.", "sftp": _SFTP, "json": _EVENTS})
def push(
    _context: Any,
    host: str,
    file: str,
    limit: str = "",
    sftp: bool = False,
    json: bool = False,
    inventory: str | None = None,
) -> None:
    """Upload an archive to an appliance's backup folder, ready for a restore. Never overwrites a file.

    Examples:
        tscm-migrate archive push tscm-new threatstop_backup_2024-05-01_03_00_00.tsbak.gpg
    """
    from tscm_migrate.transfer import api
    from tscm_migrate.transfer import verify as proof

    rate, emit = parse_limit(limit), watcher(as_json=json)
    with _appliance(host, inventory, emit) as appliance:
        (sent,) = api.push(Path(file), appliance, limit=rate, emit=emit, sftp=sftp)
        emit(Message(proof.line(sent, f"{appliance.name}:{appliance.paths.backup_dir}/{sent.archive.name}")))
