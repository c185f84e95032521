"""`offsite pull|list|show|fetch|schedule`: copies of backups in a store off-site, and scheduled pulls."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import Exit, UsageError
from tscm_migrate.events import Message, silent
from tscm_migrate.tasks.base import command
from tscm_migrate.ui.console import as_it_is, as_json, say
from tscm_migrate.util import redact

if TYPE_CHECKING:
    from tscm_migrate.offsite.catalog import Catalog
    from tscm_migrate.offsite.context import OffsiteContext
    from tscm_migrate.offsite.timers import Scheduler

COMMON = {"json": "Print JSON, one object on each line."}
HOSTS = {
    "host": ("HOST", "A name in the inventory, or [user@]address[:port]; repeatable (default: all of the inventory)."),
}


@command(
    help={
        **HOSTS,
        **COMMON,
        "archive": "Archive to pull: latest, all, or the NAME of one.",
        "jobs": ("N", "Number of hosts at once (default: `jobs` in [offsite], or 4)."),
        "processes": ("N", "Pull in N processes instead of threads, for many fast hosts."),
        "cluster": "Pull on the workers of [offsite.cluster].",
        "if_older": ("DURATION", "Skip hosts with a verified copy newer than this, e.g. 36h (useful for schedules)."),
        "dry_run": "Only list what would be pulled; connects to the hosts and the store.",
        "tag": "Tag for the new copies; `keep` protects them from prune.",
    },
    trailing="host",
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
    """Copy archives from appliances to the store.

    Archives that are already there are not sent again. On the appliances only the markers of `schedule` are changed.
    Nothing is written to the disk of this workstation.

    Examples:
        tscm-migrate offsite pull tscm-old --store s3://backups/tscm
        tscm-migrate offsite pull --group branches --jobs 16 --json
    """
    from tscm_migrate.fleet import pull as fleet
    from tscm_migrate.fleet.announce import announced, unannounced
    from tscm_migrate.ui import offsite_views

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
                    say(offsite_views.pull_line(outcome, len(outcomes), len(work)))
    if not json:
        as_it_is(offsite_views.pull_summary(outcomes))
    return fleet.exit_code(outcomes)


@command(name="list", help={**HOSTS, **COMMON, "rebuild": "Ignore the local cache and read every manifest again."},
         trailing="host", iterable=["host", "group"])  # fmt: skip
def listed(
    _context: Any,
    host: list[str],
    group: list[str],
    rebuild: bool = False,
    store: str | None = None,
    json: bool = False,
    inventory: str | None = None,
) -> None:
    """List the copies in the store, newest first.

    Examples:
        tscm-migrate offsite list tscm-old
    """
    from tscm_migrate.ui import offsite_views

    with desk_of(inventory, store, emit=None if json else silent) as desk:
        catalog = catalog_of(desk, host, group, rebuild=rebuild)
    if json:
        lines(copy.as_dict() for copy in catalog.copies)
    else:
        as_it_is(offsite_views.copies(catalog, now_utc()))


@command(positional=["host"], help=COMMON)
def show(
    _context: Any,
    host: str,
    copy: str = "latest",
    store: str | None = None,
    json: bool = False,
    inventory: str | None = None,
) -> None:
    """Show a copy: its manifest, and later verifications and drills.

    Examples:
        tscm-migrate offsite show tscm-old
    """
    from tscm_migrate.ui import offsite_views

    with desk_of(inventory, store) as desk:
        chosen = desk.catalog([host]).find(host, copy)
    if json:
        lines([chosen.as_dict()])
    else:
        as_it_is(offsite_views.copy_detail(chosen, now_utc()))


@command(
    positional=["host"],
    help={
        **COMMON,
        "to": ("FOLDER", "Folder for the archive; it is created if it does not exist."),
    },
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
    """Download a copy's archive and check it.

    Writes the archive into a folder as the appliance made it, and checks it against its manifest.

    Examples:
        tscm-migrate offsite fetch tscm-old --to rescue
    """
    from tscm_migrate.offsite.fetch import fetch as run

    with desk_of(inventory, store) as desk:
        chosen = desk.catalog([host]).find(host, copy)
        path = run(desk.store, chosen, Path(to))
    if json:
        lines([{"v": 1, "host": host, "copy": chosen.id, "path": str(path), "sha256": chosen.manifest.source_sha256}])
    else:
        as_it_is(str(path))


def desk_of(inventory: str | None, store: str | None, **more: Any) -> Any:
    """Open the store; see `offsite.context.opened`. Warnings go to stderr."""
    from tscm_migrate.offsite.context import opened

    emit = more.pop("emit", None) or warnings(as_json=False)
    return opened(inventory=inventory, store=store, emit=emit, **more)


def catalog_of(desk: OffsiteContext, host: list[str], group: list[str], *, rebuild: bool = False) -> Catalog:
    """Return the copies of the hosts that are named; of all, if none is."""
    names = [one.name for one in desk.hosts(host, group, moved=True)] if host or group else None
    return desk.catalog(names, rebuild=rebuild)


def warnings(as_json: bool) -> Any:
    """Return what shows warnings and messages only, without the commands and progress of many hosts."""
    from tscm_migrate.ui.lines import json_lines, line_of

    def show(event: Any) -> None:
        if not isinstance(event, Message):
            return
        if as_json:
            json_lines(event)
        else:
            sys.stderr.write(redact.clean(line_of(event)) + "\n")

    return show


def now_utc() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


def lines(values: Any) -> None:
    """Print JSON, one object on each line."""
    for value in values:
        as_json(value, indent=None)


@command(
    positional=["action"],
    help={
        **HOSTS,
        "action": "What to do: install, show or remove.",
        "name": "Name of the schedule.",
        "every": ("INTERVAL", "Interval: hourly, daily or weekly."),
        "at": ("HH:MM", "Local time; of an hourly schedule only the minute counts."),
        "day": "Day of a weekly schedule: mon … sun.",
        "kind": "Scheduler: systemd, cron or windows (default: the one of this workstation).",
        "jobs": ("N", "Number of hosts at once."),
        "dry_run": "Only print the files that would be written.",
        "untested": "Install without a test run in the scheduler's environment.",
    },
    trailing="host",
    iterable=["host", "group"],
)
def schedule(
    _context: Any,
    action: str,
    host: list[str],
    group: list[str],
    name: str = "pull",
    every: str = "daily",
    at: str = "03:30",
    day: str = "sun",
    kind: str | None = None,
    jobs: str | None = None,
    dry_run: bool = False,
    untested: bool = False,
    store: str | None = None,
    inventory: str | None = None,
) -> int:
    """Install, show or remove a scheduled off-site pull.

    It runs without a logged-on user; a missed run is started later if the scheduler supports it. Before the schedule is
    installed, the command is tested in the scheduler's environment with --dry-run.

    Examples:
        tscm-migrate offsite schedule install --every daily --at 03:30 --group branches
        tscm-migrate offsite schedule install tscm-old --every hourly
        tscm-migrate offsite schedule show
        tscm-migrate offsite schedule remove
    """
    from tscm_migrate.offsite import timers as room
    from tscm_migrate.offsite.timers import scheduler

    if action not in {"install", "show", "remove"}:
        raise UsageError(f"unknown action {action[:20]!r}", "use install, show or remove")
    words = _words(host, group, jobs, store, inventory)
    file = environment_file(name)
    plan, chosen = room.plan(name, words, every, at, day, environment=str(file)), scheduler(kind)
    if action == "show":
        as_it_is(chosen.show(name) or f"there is no schedule {name!r}")
    elif action == "remove":
        say(f"{name}: {'removed' if chosen.remove(name) else 'no such schedule'}")
    else:
        if dry_run:
            _show_files(chosen.files(plan))
        else:
            notes = [] if untested else _tried(chosen, words, file, inventory)
            say("\n".join(f"note: {note}" for note in (*notes, *chosen.install(plan))))
        runs = room.next_runs(plan, now_utc().astimezone())
        say("next runs: " + ", ".join(f"{run:%a %Y-%m-%d %H:%M}" for run in runs))
    return Exit.DONE


def _show_files(files: Mapping[Any, str]) -> None:
    for place, text in files.items():
        as_it_is(f"# {place}\n{text}")


def environment_file(name: str) -> Path:
    """Return the file for environment variables of a schedule."""
    import platformdirs

    return Path(platformdirs.user_config_dir("tscm-migrate", appauthor=False)) / f"offsite-{name}.env"


def _tried(chosen: Scheduler, words: tuple[str, ...], file: Path, inventory: str | None) -> list[str]:
    """Run the command as the scheduler would, with --dry-run; return notes for the user."""
    from tscm_migrate.inventory.read import find
    from tscm_migrate.offsite import trial

    known = chosen.environment()
    if known is None:
        return []
    there = {**known, **trial.of_file(file)}
    lacks = trial.lacking(os.environ, there, find(Path(inventory) if inventory else None))
    say("trying the command in the scheduler's environment")
    return trial.run(words, there, lacks, file)


def _words(
    host: list[str], group: list[str], jobs: str | None, store: str | None, inventory: str | None
) -> tuple[str, ...]:
    """Return the scheduled command with absolute paths: a scheduler has another folder and another PATH."""
    from tscm_migrate.inventory.read import find

    words = [sys.executable, "-m", "tscm_migrate", "offsite", "pull"]
    words += [*host, *(word for name in group for word in ("--group", name))]
    words += ["--jobs", jobs] if jobs else []
    words += ["--store", store if "://" in store else str(Path(store).absolute())] if store else []
    file = find(Path(inventory) if inventory else None)
    return (*words, *(("--inventory", str(file.absolute())) if file else ()))


TASKS = (pull, listed, show, fetch, schedule)
