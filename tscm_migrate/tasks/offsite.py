"""`offsite …`: pull backups to storage that survives the appliance, and prove that they can be restored."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tscm_migrate.ui.console import as_it_is, as_json, say

from .base import HOST_HELP, INVENTORY_HELP, command

STORE = "The store's URL (else `store` in [offsite] of the inventory)."
COMMON = {"store": STORE, "json": "Print JSON, one object a line.", "inventory": INVENTORY_HELP}
HOSTS = {
    "host": "A host by name or user@address; may be repeated (default: all of the inventory).",
    "group": "The hosts of a group; may be repeated.",
}
COPY_HELP = "Which copy: latest, its id, or its archive's name."
PASSPHRASE = "A file with the archives' passphrase (else TSCM_PASSPHRASE, the inventory, keyring, a prompt)."  # noqa: S105


@command(
    help={
        **HOSTS,
        **COMMON,
        "archive": "Which: latest, all, or the NAME of an archive.",
        "jobs": "How many hosts at once (else `jobs` in [offsite], else 4).",
        "processes": "Pull in so many processes instead of threads; for many fast hosts.",
        "cluster": "Pull on the workers of [offsite.cluster].",
        "if_older": "Skip hosts whose newest verified copy is younger than this (36h): for schedules that repeat.",
        "dry_run": "Only connect to the hosts and the store, and list what would be pulled.",
        "tag": "A tag for what is pulled; `keep` protects it from prune. May be repeated.",
    },
    iterable=["host", "group", "tag"],
)
def pull(
    _context: Any,
    host: list[str],
    group: list[str],
    tag: list[str],
    archive: str = "latest",
    jobs: str | None = None,
    processes: str | None = None,
    cluster: bool = False,
    if_older: str | None = None,
    dry_run: bool = False,
    store: str | None = None,
    json: bool = False,
    inventory: str | None = None,
) -> int:
    """Stream archives from appliances into the store; what is there already is not sent again.

    Nothing but the markers of `schedule` is changed on the appliances; nothing is written to this workstation's disk.

    Examples:
        tscm-migrate offsite pull --host tscm-old --store s3://backups/tscm
        tscm-migrate offsite pull --group branches --jobs 16 --json
    """
    from tscm_migrate.fleet import pull as fleet
    from tscm_migrate.fleet.announce import announced, unannounced
    from tscm_migrate.ui import offsite_tables

    outcomes: list[fleet.PullOutcome] = []
    with desk_of(inventory, store, emit=warnings(json)) as desk:
        wanted = fleet.due(desk, desk.hosts(host, group), if_older)
        crew = fleet.crew(desk, jobs, processes, on_cluster=cluster)
        work = desk.jobs(wanted, archive, tuple(tag), min(crew.jobs, len(wanted)) or 1, look_only=dry_run)
        with unannounced(desk.settings) if dry_run else announced(desk.settings, outcomes, desk.emit):
            for outcome in fleet.pulls(work, crew, desk.tools()):
                outcomes.append(outcome)
                if json:
                    lines([fleet.as_dict(outcome)])
                elif len(work) > 1:
                    say(offsite_tables.pull_line(outcome, len(outcomes), len(work)))
    if not json:
        as_it_is(offsite_tables.pull_summary(outcomes))
    return fleet.exit_code(outcomes)


@command(name="list", help={**HOSTS, **COMMON, "rebuild": "Forget what was remembered, read every manifest again."},
         iterable=["host", "group"])  # fmt: skip
def listed(
    _context: Any,
    host: list[str],
    group: list[str],
    rebuild: bool = False,
    store: str | None = None,
    json: bool = False,
    inventory: str | None = None,
) -> None:
    """List the copies in the store, the newest first.

    Examples:
        tscm-migrate offsite list --host tscm-old
    """
    from tscm_migrate.events import silent
    from tscm_migrate.ui import offsite_tables

    with desk_of(inventory, store, emit=None if json else silent) as desk:
        names = [found.name for found in desk.hosts(host, group, moved=True)] if host or group else None
        catalog = desk.catalog(names, rebuild=rebuild)
    if json:
        lines(copy.as_dict() for copy in catalog.copies)
    else:
        as_it_is(offsite_tables.copies(catalog, now_utc()))


@command(positional=["host"], help={**COMMON, "host": HOST_HELP, "copy": COPY_HELP})
def show(
    _context: Any,
    host: str,
    copy: str = "latest",
    store: str | None = None,
    json: bool = False,
    inventory: str | None = None,
) -> None:
    """Show one copy: its manifest, and everything that was found out about it since.

    Examples:
        tscm-migrate offsite show tscm-old
    """
    from tscm_migrate.ui import offsite_tables

    with desk_of(inventory, store) as desk:
        found = desk.catalog([host]).find(host, copy)
    if json:
        lines([found.as_dict()])
    else:
        as_it_is(offsite_tables.copy_detail(found, now_utc()))


@command(
    positional=["host"],
    help={**COMMON, "host": HOST_HELP, "copy": COPY_HELP, "to": "The folder (default: here)."},
)
def fetch(
    _context: Any,
    host: str,
    copy: str = "latest",
    to: str = ".",
    store: str | None = None,
    json: bool = False,
    inventory: str | None = None,
) -> None:
    """Write a copy's archive into a folder, as the appliance made it, checked against its manifest.

    Examples:
        tscm-migrate offsite fetch tscm-old --to rescue
    """
    from tscm_migrate.offsite.fetch import fetch as run

    with desk_of(inventory, store) as desk:
        found = desk.catalog([host]).find(host, copy)
        path = run(desk.store, found, Path(to))
    if json:
        lines([{"v": 1, "host": host, "copy": found.id, "path": str(path), "sha256": found.manifest.source_sha256}])
    else:
        as_it_is(str(path))


def desk_of(inventory: str | None, store: str | None, **more: Any) -> Any:
    """The inventory, the settings and the open store; see `offsite.desk.opened`. Warnings go to stderr."""
    from tscm_migrate.offsite.context import opened

    emit = more.pop("emit", None) or warnings(as_json=False)
    return opened(inventory=inventory, store=store, emit=emit, **more)


def warnings(as_json: bool) -> Any:
    """Shows only what an operator must know: a fleet's commands and progress would drown it."""
    from tscm_migrate.events import Said
    from tscm_migrate.ui.lines import json_lines, line_of
    from tscm_migrate.util import redact

    def show(event: Any) -> None:
        if not isinstance(event, Said):
            return
        if as_json:
            json_lines(event)
        else:
            sys.stderr.write(redact.clean(line_of(event)) + "\n")

    return show


def now_utc() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)


def lines(found: Any) -> None:
    """Print JSON, one object a line."""
    for value in found:
        as_json(value, indent=None)


TASKS = (pull, listed, show, fetch)
