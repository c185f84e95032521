"""`schedule HOST`: regular backups on an appliance, without the faults of the documented cron file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .base import HOST_HELP, INVENTORY_HELP, command

HELP = {
    "name": HOST_HELP,
    "when": "Five fields of cron, in the appliance's time (default: 55 0 1,15 * *).",
    "keep": "So many of the newest backups always stay (default 10).",
    "days": "Of the others, those older than this go (default 120).",
    "passphrase_file_there": "A 0600 file on the appliance with the passphrase (--gpg_passphrase_file).",
    "remove": "Take the schedule away again.",
    "dry_run": "Show the file, change nothing.",
    "inventory": INVENTORY_HELP,
}


@command(help=HELP, positional=["name"])
def schedule(
    _context: Any,
    name: str,
    when: str | None = None,
    keep: int = 10,
    days: int = 120,
    passphrase_file_there: str | None = None,
    remove: bool = False,
    dry_run: bool = False,
    inventory: str | None = None,
) -> None:
    """Write /etc/cron.d/tscm_backup on an appliance: regular backups, and a purge that keeps the newest.

    Examples:
        tscm-migrate schedule tscm-old --dry-run
        tscm-migrate schedule tscm-old --when "0 3 * * *" --keep 30
    """
    from tscm_migrate.appliance.schedule import WHEN, Schedule
    from tscm_migrate.inventory import load
    from tscm_migrate.migration.scheduling import Scheduler
    from tscm_migrate.ui.say import as_it_is

    site = load(Path(inventory) if inventory else None)
    wanted = Schedule(when or WHEN, int(keep), int(days), "", passphrase_file_there or "")
    with Scheduler(site.host(name)) as scheduler:
        lines = scheduler.remove(dry=dry_run) if remove else scheduler.write(wanted, dry=dry_run)
    as_it_is("\n".join(lines))
