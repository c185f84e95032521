"""A scheduled backup: the documented cron file without its faults (facts 9 to 15). Text is made purely.

The documents' own runs hourly on its two days, deletes the last good backup in time, and leaves dangling links. Here:
it runs when it says, keeps the newest whatever their age, prunes links that point nowhere, and appends to its log.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from tscm_migrate.appliance.base import quote
from tscm_migrate.errors import UsageError
from tscm_migrate.util.numbers import number

if TYPE_CHECKING:
    from tscm_migrate.appliance.base import Appliance
    from tscm_migrate.site import Paths

WHEN = "55 0 1,15 * *"
_NAMES = "^threatstop_backup_[0-9_-]+[.]tsbak([.]gpg)?$"


@dataclass(frozen=True)
class Schedule:
    """When backups are made, and which stay.

    Args:
        when: five fields of cron, in the appliance's own time.
        keep: so many of the newest always stay.
        days: of the others, those that are older go.
        interface: for ts-backup (fact 15).
        passphrase_file: on the appliance, mode 0600; "" where it is set up already, or backups are plain (fact 14).
    """

    when: str = WHEN
    keep: int = 10
    days: int = 120
    interface: str = ""
    passphrase_file: str = ""


def check(schedule: Schedule) -> None:
    """Refuse what cron would not take, or what would never run.

    Raises:
        UsageError: with what is wrong.
    """
    from cronsim import CronSim, CronSimError

    if len(schedule.when.split()) != 5 or "%" in schedule.when or not schedule.when.isascii():
        raise UsageError(f"{schedule.when!r} is no time for cron", f"five fields, as in {WHEN!r}")
    try:
        next(CronSim(schedule.when, datetime(2026, 1, 1)))  # noqa: DTZ001 - only whether it can be read
    except (CronSimError, StopIteration) as error:
        detail = str(error) or "it never comes"
        raise UsageError(f"{schedule.when!r} is no time for cron: {detail}", f"as in {WHEN!r}") from error
    if schedule.keep < 1 or schedule.days < 1:
        raise UsageError("--keep and --days must be 1 at least", "as in --keep 10 --days 120")


def next_runs(when: str, after: datetime, count: int = 5) -> list[datetime]:
    """The next times, in the time that `after` is in."""
    from cronsim import CronSim

    return list(islice(CronSim(when, after), count))


def text(schedule: Schedule, paths: Paths, *, user: str) -> str:
    """The cron file: ASCII, ends with a newline, no per cent sign (cron would make it a line feed)."""
    check(schedule)
    words = [paths.ts_backup]
    if schedule.interface:
        words.append(f"--interface={schedule.interface}")
    if schedule.passphrase_file:
        words.append(f"--gpg_passphrase_file={schedule.passphrase_file}")
    backup = " ".join(quote(word) for word in words)
    folder, log = quote(paths.backup_dir), quote(f"{paths.log_dir}/ts-backup.log")
    purge = (
        f"cd {folder} && ls -1 | grep -E '{_NAMES}' | sort -r | tail -n +{schedule.keep + 1} | "
        f'while read -r f; do find "./$f" -maxdepth 0 -type f -mtime +{schedule.days - 1} -delete; done; '
        f"cd {folder} && find . -maxdepth 1 -name 'threatstop_latest*' -type l ! -exec test -e {{}} \\; -delete"
    )
    minute, hour, *_ = schedule.when.split()
    later = _later(minute, hour)
    made = (
        "# Backups and their purge; written by tscm-migrate, removed by: tscm-migrate schedule HOST --remove\n"
        "SHELL=/bin/sh\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
        f"{schedule.when} {user} {backup} >> {log} 2>&1\n"
        f"# the {schedule.keep} newest always stay; of the others, those older than {schedule.days} days go\n"
        f"{later} {user} {purge}\n"
    )
    if not made.isascii() or "%" in made:
        raise UsageError("a path on this appliance has a character that cron cannot take", "see paths in the inventory")
    return made


def _later(minute: str, hour: str) -> str:
    """A daily time for the purge, four minutes behind the backup where that is one time of the day."""
    at, of = number(hour), number(minute)
    if at is not None and of is not None and at < 24 and of < 60:
        when = datetime(2026, 1, 1, at, of) + timedelta(minutes=4)  # noqa: DTZ001 - a time of day
        return f"{when.minute} {when.hour} * * *"
    return "59 0 * * *"


def local_time(appliance: Appliance) -> datetime:
    """The appliance's own wall clock, without a zone: cron goes by it."""
    said = appliance.run("date '+%Y-%m-%d %H:%M:%S'", display="what time is it there?").stdout.strip()
    return datetime.strptime(said, "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - its zone does not matter


def remove(appliance: Appliance) -> bool:
    """Take the file away; False where there was none."""
    entry = quote(appliance.paths.backup_cron)
    script = f"[ -e {entry} ] || exit 44; rm -f {entry}"
    done = appliance.run(script, sudo=True, check=False, display=f"remove {appliance.paths.backup_cron}")
    if done.status not in (0, 44):
        from tscm_migrate.errors import CommandFailed

        raise CommandFailed(appliance.name, "", f"rm {appliance.paths.backup_cron}", done.status, done.stderr)
    return done.status == 0
