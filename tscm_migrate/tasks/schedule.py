"""`schedule HOST`: regular backups on an appliance, without the faults of the documented cron file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tscm_migrate.errors import UsageError

from .base import HOST_HELP, INVENTORY_HELP, command
from .confirm import attended, confirm, require_terminal

HELP = {
    "name": HOST_HELP,
    "when": "Five fields of cron, in the appliance's time (default: 55 0 1,15 * *).",
    "keep": "So many of the newest backups always stay (default 10).",
    "older": ("DURATION", "Of the other backups, only those older than this may be deleted."),
    "purge": "Delete by --keep and --older alone; otherwise only backups of which a verified copy is off-site.",
    "passphrase_file_there": "A 0600 file on the appliance with the passphrase (--gpg_passphrase_file).",
    "remove": "Remove the schedule.",
    "dry_run": "Show what would be done, change nothing.",
    "yes": "Do not ask; needed without a terminal.",
    "inventory": INVENTORY_HELP,
}


@command(help=HELP, positional=["name"])
def schedule(
    _context: Any,
    name: str,
    when: str | None = None,
    keep: int = 10,
    older: str = "120d",
    purge: bool = False,
    passphrase_file_there: str | None = None,
    remove: bool = False,
    dry_run: bool = False,
    yes: bool = False,
    inventory: str | None = None,
) -> None:
    """Write /etc/cron.d/tscm_backup on an appliance: regular backups, and a purge that keeps the newest.

    It shows the file, its next runs and what the purge would delete now, and asks before it writes anything.

    Examples:
        tscm-migrate schedule tscm-old --dry-run
        tscm-migrate schedule tscm-old --when "0 3 * * *" --keep 30 --yes
    """
    from contextlib import closing

    from tscm_migrate.appliance import backup_schedule, facts
    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.appliance.backup_schedule import WHEN, Schedule
    from tscm_migrate.events import silent
    from tscm_migrate.inventory.read import load
    from tscm_migrate.migration import checks, locks
    from tscm_migrate.migration.context import Dialler
    from tscm_migrate.secrets import Secrets
    from tscm_migrate.ui.console import as_it_is, say
    from tscm_migrate.util.durations import days_option

    if remove and purge:
        raise UsageError("--remove and --purge exclude each other", "--remove removes the schedule, and no archive")
    days = days_option("--older", older)
    chosen = load(Path(inventory) if inventory else None).host(name)
    require_terminal(yes=yes or dry_run, otherwise="show the changes with --dry-run, then add --yes")
    dial = Dialler(Secrets(interactive=attended()), silent)
    with closing(Appliance(chosen, dial)) as appliance:
        if not dry_run:
            locks.refuse_locked(appliance)
        if remove:
            planned = backup_schedule.plan_removal(appliance)
        else:
            known = facts.gather(appliance)
            interface = checks.resolve_interface(known, appliance.host, None)
            wanted = Schedule(when or WHEN, int(keep), days, interface, passphrase_file_there or "", purge)
            planned = backup_schedule.plan(appliance, known, wanted, dry=dry_run)
        as_it_is("\n".join(planned.lines))
        if dry_run or (remove and not planned.changes):
            return
        what = f"Remove it from {name}?" if remove else f"Write it to {name}?"
        confirm(what, yes=yes)
        with locks.alone(appliance, "schedule"):
            done = backup_schedule.apply(appliance, planned)
        say(done)
