"""`archive list|create|pull|push` and `schedule`: archives of an appliance, and regular backups on it.

`schedule` writes a cron file without the mistakes of the documented one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.collection import Collection

from tscm_migrate.cli.completion import remember
from tscm_migrate.errors import UsageError
from tscm_migrate.events import Emit, Message, silent
from tscm_migrate.model import Host, Secret
from tscm_migrate.secrets import Secrets
from tscm_migrate.tasks.base import HOST_HELP, attended, command, confirm, require_terminal, site_of, watcher
from tscm_migrate.tasks.several import GROUP, JOBS, hosts_of, number_of, on_each
from tscm_migrate.ui.console import as_it_is, as_json
from tscm_migrate.util.text import days_option, parse_limit, size_text

if TYPE_CHECKING:
    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.appliance.backup_schedule import Schedule, SchedulePlan
    from tscm_migrate.migration.single_backup import Made

_SFTP = "Always transfer over SFTP, even if shell access is available."
_EVENTS = "Print events as JSON, one object on each line."


def collection() -> Collection:
    """Return the commands below `archive`."""
    return Collection("archive", listed, backup, pull, push)


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

    with closing(_appliance(site_of(inventory).host(host), Secrets())) as appliance:
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
    with closing(_appliance(site_of(inventory).host(host), Secrets(emit=emit), emit)) as appliance:
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
    with closing(_appliance(site_of(inventory).host(host), Secrets(emit=emit), emit)) as appliance:
        (sent,) = api.push(Path(file), appliance, limit=rate, emit=emit, sftp=sftp)
        emit(Message(proof.line(sent, f"{appliance.name}:{appliance.paths.backup_dir}/{sent.archive.name}")))


@command(
    name="create",
    trailing="host",
    help={
        "group": GROUP,
        "jobs": JOBS,
        "encrypt": "Encrypt the backup with a passphrase; --no-encrypt leaves it unencrypted.",
        "interface": ("NAME", "Network interface for tsadmin (default: the inventory's, or eth0)."),
        "json": "Print JSON, one object on each line.",
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
        tscm-migrate archive create tscm-old
        tscm-migrate archive create --group branches --jobs 8 --json
    """
    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.migration import single_backup
    from tscm_migrate.migration.context import Dialler
    from tscm_migrate.ui import lines
    from tscm_migrate.ui.operator import Terminal

    if not encrypt and passphrase_file:
        raise UsageError("--no-encrypt and --passphrase-file exclude each other", "leave one of them out")
    site = site_of(inventory)
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
        with closing(Appliance(one, Dialler(secrets, emit), emit)) as appliance:
            return single_backup.make(
                appliance, passphrase=passphrase, interface=interface, operator=Terminal(attended=alone),
                policy=site.policy,
            )  # fmt: skip

    def shown(one: Host, value: Made) -> str | dict[str, Any]:
        return {"v": 1, "event": "backup", "host": one.name, **asdict(value)} if json else _text(one, value)

    return on_each(hosts, made, jobs=at_once, shown=shown)


def _text(host: Host, made: Made) -> str:
    named = f", devices: {', '.join(made.devices)}" if made.devices else ""
    about = f"{made.archive.path} ({size_text(made.archive.size)}), {made.members} files{named}"
    return f"{host.name}: {about}\n  SHA-256 {made.archive.sha256}"


HELP = {
    "name": HOST_HELP,
    "group": GROUP,
    "jobs": JOBS,
    "when": ("CRON", "Five fields of cron, in the appliance's time zone (default: 55 0 1,15 * *)."),
    "keep": ("N", "Always keep at least N newest backups."),
    "older": ("DURATION", "Of the other backups, only those older than this may be deleted."),
    "purge": "Delete by --keep and --older alone; otherwise only backups of which a verified copy is off-site.",
    "passphrase_file_there": ("FILE", "File on the appliance with the passphrase, mode 0600 (--gpg_passphrase_file)."),
    "remove": "Remove the schedule.",
    "dry_run": "Only show what would be done.",
}


@command(help=HELP, trailing="name")
def schedule(
    _context: Any,
    name: str | None = None,
    group: str | None = None,
    jobs: str | None = None,
    when: str | None = None,
    keep: int = 10,
    older: str = "120d",
    purge: bool = False,
    passphrase_file_there: str | None = None,
    remove: bool = False,
    dry_run: bool = False,
    yes: bool = False,
    inventory: str | None = None,
) -> int:
    """Schedule regular backups on an appliance.

    Writes /etc/cron.d/tscm_backup there, which also deletes old backups. Shows the file, its next runs and what would
    be deleted now, and asks before it writes anything.

    Examples:
        tscm-migrate schedule tscm-old --dry-run
        tscm-migrate schedule tscm-old --when "0 3 * * *" --keep 30 --yes
        tscm-migrate schedule --group branches --yes
    """
    from tscm_migrate.appliance.backup_schedule import WHEN, Schedule

    if remove and purge:
        raise UsageError("--remove and --purge exclude each other", "--remove removes the schedule, and no archive")
    days = days_option("--older", older)
    hosts = hosts_of(site_of(inventory), name, group)
    require_terminal(yes=yes or dry_run, otherwise="show the changes with --dry-run, then add --yes")
    wanted = Schedule(when or WHEN, int(keep), days, "", passphrase_file_there or "", purge)
    secrets = Secrets(interactive=attended())
    plans: dict[str, SchedulePlan] = {}

    def planned(host: Host) -> list[str]:
        plans[host.name] = _plan(host, secrets, None if remove else wanted, dry=dry_run)
        return list(plans[host.name].lines)

    status = on_each(hosts, planned, jobs=number_of(jobs), shown=_as_they_are)
    hosts = _to_change(hosts, plans, remove=remove)
    if dry_run or not hosts:
        return status
    confirm(_question(hosts, remove=remove), yes=yes)

    def applied(host: Host) -> str:
        return _apply(host, secrets, plans[host.name])

    return max(status, on_each(hosts, applied, jobs=number_of(jobs), shown=lambda _host, text: text))


def _to_change(hosts: Sequence[Host], plans: Mapping[str, SchedulePlan], *, remove: bool) -> list[Host]:
    """Return the hosts that could be looked at; of those without a schedule, none if it is to be removed."""
    return [host for host in hosts if host.name in plans and (plans[host.name].changes or not remove)]


def _question(hosts: Sequence[Host], *, remove: bool) -> str:
    where = hosts[0].name if len(hosts) == 1 else f"{len(hosts)} hosts"
    return f"Remove it from {where}?" if remove else f"Write it to {where}?"


def _as_they_are(_host: Host, lines: list[str]) -> str:
    as_it_is("\n".join(lines))  # the file may be copied, so it is not folded
    return ""


def _plan(host: Host, secrets: Secrets, wanted: Schedule | None, *, dry: bool) -> SchedulePlan:
    """Return what would be done on a host; None for `wanted`: the schedule is removed."""
    from tscm_migrate.appliance import backup_schedule, facts
    from tscm_migrate.migration import checks, locks

    with closing(_appliance(host, secrets)) as appliance:
        if not dry:
            locks.refuse_locked(appliance)
        if wanted is None:
            return backup_schedule.plan_removal(appliance)
        known = facts.gather(appliance)
        interface = checks.resolve_interface(known, appliance.host, None)
        return backup_schedule.plan(appliance, known, replace(wanted, interface=interface), dry=dry)


def _apply(host: Host, secrets: Secrets, planned: SchedulePlan) -> str:
    from tscm_migrate.appliance import backup_schedule
    from tscm_migrate.migration import locks

    with closing(_appliance(host, secrets)) as appliance, locks.alone(appliance, "schedule"):
        return backup_schedule.apply(appliance, planned)


def _appliance(host: Host, secrets: Secrets, emit: Emit = silent) -> Appliance:
    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.migration.context import Dialler

    return Appliance(host, Dialler(secrets, emit), emit)
