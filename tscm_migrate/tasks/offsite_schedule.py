"""`offsite schedule ACTION`: scheduled off-site pulls of this workstation."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import Exit, UsageError
from tscm_migrate.tasks.base import command
from tscm_migrate.tasks.offsite import HOSTS, now_utc
from tscm_migrate.ui.console import as_it_is, say

if TYPE_CHECKING:
    from tscm_migrate.offsite.timers import Scheduler


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

    It runs without a logged-on user; missed runs are caught up if the scheduler supports it. Before the schedule is
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


TASKS = (schedule,)
