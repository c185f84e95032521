"""The scheduled backup: the documented cron file without its errors.

The vendor's example runs hourly on its two days, deletes even the last good backup, and leaves dangling links. This
file runs at the given times, keeps the newest archives whatever their age, removes dangling links, and appends to a
log.

It deletes an archive only if `offsite pull` left a marker with the archive's SHA-256: a verified copy is off-site. With
`purge` it deletes by number and age alone.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from cronsim import CronSim, CronSimError

from tscm_migrate.appliance import cron_hold
from tscm_migrate.appliance.appliance import Appliance, quote
from tscm_migrate.appliance.facts import Facts
from tscm_migrate.archive import hashing
from tscm_migrate.archive.names import acceptable
from tscm_migrate.errors import ApplianceError, CommandFailed, NoBackupYet, UsageError
from tscm_migrate.model import Paths
from tscm_migrate.util.redact import outside
from tscm_migrate.util.text import number

WHEN = "55 0 1,15 * *"
MARKERS = ".tscm-offsite"  # in the backup folder: one file for each archive with a verified off-site copy
_LAST_YEAR = 9000
_SHOWN = 20  # names of archives in a plan
_DELETE = 'rm -f "./$f" "$m"'
# Prints archives. A file name with a newline does not match the pattern; an empty file or a folder does not count as
# one of the archives that are kept.
_LIST = (
    "n=[0-9][0-9]; t=threatstop_backup_$n$n-$n-${n}_${n}_${n}_$n.tsbak; "
    'find . -maxdepth 1 -type f -size +0 \\( -name "$t" -o -name "$t.gpg" \\) | cut -c3-'
)


@dataclass(frozen=True)
class Schedule:
    """When backups are made, and which are kept.

    Args:
        when: five fields of cron, in the appliance's local time.
        keep: number of the newest archives that are always kept.
        days: of the others, those that are older may be deleted.
        purge: delete them whether or not a copy is off-site.
        interface: for ts-backup.
        passphrase_file: on the appliance, mode 0600; "" if a passphrase is configured there, or backups are plain (fact
            14).
    """

    when: str = WHEN
    keep: int = 10
    days: int = 120
    interface: str = ""
    passphrase_file: str = ""
    purge: bool = False


def check(schedule: Schedule) -> None:
    """Check the values of a schedule.

    Raises:
        UsageError: cron would refuse them, or they would never run.
    """
    if len(schedule.when.split()) != 5 or "%" in schedule.when or not schedule.when.isascii():
        raise UsageError(f"{schedule.when!r} is not a valid time for cron", f"five fields, as in {WHEN!r}")
    try:
        next(CronSim(schedule.when, datetime(2026, 1, 1)))  # noqa: DTZ001 - only whether it can be read
    except (CronSimError, StopIteration) as error:
        detail = str(error) or "it never occurs"
        raise UsageError(f"{schedule.when!r} is not a valid time for cron: {detail}", f"as in {WHEN!r}") from error
    if schedule.keep < 1 or schedule.days < 1:
        raise UsageError("--keep and --older must be 1 at least", "as in --keep 10 --older 120d")


def next_runs(when: str, after: datetime, count: int = 5) -> list[datetime]:
    """Return the next times, in the time zone of `after`."""
    return list(islice(CronSim(when, after), count))


def text(schedule: Schedule, paths: Paths, *, user: str) -> str:
    """Return the cron file: ASCII, with a final newline and without per cent signs (cron reads these as newlines)."""
    check(schedule)
    words = [paths.ts_backup]
    if schedule.interface:
        words.append(f"--interface={schedule.interface}")
    if schedule.passphrase_file:
        words.append(f"--gpg_passphrase_file={schedule.passphrase_file}")
    backup = " ".join(quote(word) for word in words)
    folder, log = quote(paths.backup_dir), quote(f"{paths.log_dir}/ts-backup.log")
    purge = (
        f"{_each_old(schedule, paths, _DELETE)}; "
        f"cd {folder} && find . -maxdepth 1 -name 'threatstop_latest*' -type l ! -exec test -e {{}} \\; -delete"
    )
    minute, hour, *_ = schedule.when.split()
    later = _later(minute, hour)
    made = (
        "# Backups and their purge; written by tscm-migrate, removed by: tscm-migrate schedule HOST --remove\n"
        "SHELL=/bin/sh\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
        f"{schedule.when} {user} {backup} >> {log} 2>&1\n"
        f"# the {schedule.keep} newest always stay; of the others, those older than {schedule.days} days are deleted"
        f"{'' if schedule.purge else ', if a verified copy is off-site'}\n"
        f"{later} {user} {purge}\n"
    )
    if not made.isascii() or "%" in made:
        raise UsageError("a path on this appliance has a character that cron cannot take", "see paths in the inventory")
    return made


def _each_old(schedule: Schedule, paths: Paths, action: str) -> str:
    """Return shell source that runs `action` for each archive ($f, with its marker $m) that may be deleted."""
    hashed = hashing.of_file('"./$f"')
    marked = "" if schedule.purge else f'[ "$({hashed})" = "$(head -c 64 "$m" 2>/dev/null)" ] && '
    return (
        f"cd {quote(paths.backup_dir)} && {_LIST} | sort -r | tail -n +{schedule.keep + 1} | "
        f'while read -r f; do m="{MARKERS}/$f"; '
        f'[ -n "$(find "./$f" -maxdepth 0 -type f -mtime +{schedule.days - 1})" ] && {marked}{action}; done'
    )


def due(appliance: Appliance, schedule: Schedule) -> list[str]:
    """Return the archives that the purge would delete now, determined by the same shell source."""
    script = _each_old(schedule, appliance.paths, 'echo "$f"') + " || :"
    result = appliance.run(script, check=False, timeout=600.0, display="list the archives that the purge would delete")
    return [name for name in result.stdout.splitlines() if acceptable(name)]


def prepare(appliance: Appliance, schedule: Schedule) -> None:
    """Create the folder for the markers of `offsite pull`, or remove it if the schedule ignores them."""
    folder = quote(f"{appliance.paths.backup_dir}/{MARKERS}")
    make = f"umask 077; mkdir -p {folder}"
    script = _without_markers(folder) if schedule.purge else make
    appliance.run(script, display=f"prepare {appliance.paths.backup_dir}/{MARKERS}")


def _without_markers(folder: str) -> str:
    return f"[ ! -d {folder} ] || {{ rm -f {folder}/threatstop_backup_*; rmdir {folder}; }}"


def _later(minute: str, hour: str) -> str:
    """Return a daily time for the purge: four minutes after the backup, if that has one time of the day."""
    at, of = number(hour), number(minute)
    if at is not None and of is not None and at < 24 and of < 60:
        when = datetime(2026, 1, 1, at, of) + timedelta(minutes=4)  # noqa: DTZ001 - a time of day
        return f"{when.minute} {when.hour} * * *"
    return "59 0 * * *"


def local_time(appliance: Appliance) -> datetime:
    """Read the local time of the appliance, without a zone: cron uses it.

    Raises:
        ApplianceError: it prints something else, or a year from which no later times can be computed.
    """
    printed = appliance.run("date '+%Y-%m-%d %H:%M:%S'", display="read the local time").stdout.strip()
    try:
        found = datetime.strptime(printed, "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - its zone does not matter
    except ValueError:
        found = datetime.max  # noqa: DTZ901 - refused below
    if found.year >= _LAST_YEAR:
        raise ApplianceError(appliance.name, f"its local time cannot be read: {outside(printed, 60)!r}")
    return found


def remove(appliance: Appliance) -> bool:
    """Remove the file and the markers; return whether there was a file."""
    folder = quote(f"{appliance.paths.backup_dir}/{MARKERS}")
    appliance.run(_without_markers(folder), check=False, display="remove the markers of off-site copies")
    entry = quote(appliance.paths.backup_cron)
    script = f"[ -e {entry} ] || exit 44; rm -f {entry}"
    done = appliance.run(script, sudo=True, check=False, display=f"remove {appliance.paths.backup_cron}")
    if done.status not in (0, 44):
        raise CommandFailed(appliance.name, "", f"rm {appliance.paths.backup_cron}", done.status, done.stderr)
    return done.status == 0


# ------------------------------------------------------------------------------------------------ plan and apply


@dataclass(frozen=True)
class SchedulePlan:
    """A planned change of the cron file.

    `text`: the new file, "" to remove it; `lines`: what to show the operator; `changes`: whether the file changes.
    """

    text: str
    lines: tuple[str, ...]
    changes: bool
    wanted: Schedule | None = None


def plan(appliance: Appliance, known: Facts, wanted: Schedule, *, dry: bool) -> SchedulePlan:
    """Plan the cron file, its next runs, and what its purge would delete now; nothing is changed.

    Args:
        appliance: where.
        known: its facts, read just now.
        wanted: the schedule, with its interface.
        dry: nothing will be written, so that an appliance without a backup is only mentioned.

    Raises:
        NoBackupYet: tsadmin would ask for a passphrase, which a scheduled backup cannot answer.
    """
    check(wanted)
    host = appliance.host
    needed = [] if known.archives or wanted.passphrase_file else [NoBackupYet(host.name, host.ssh(terminal=True))]
    if needed and not dry:
        raise needed[0]
    new = text(wanted, host.paths, user=host.user)
    lines = [
        f"{host.paths.backup_cron} on {host.name}:",
        *(f"  {line}" for line in new.splitlines()),
        *_replaced(known.backup_cron, new),
        "the next backups, in the appliance's time:",
        *(f"  {when:%Y-%m-%d %H:%M} ({when:%A})" for when in next_runs(wanted.when, local_time(appliance))),
        *_purged(appliance, known, wanted),
        *(f"first: {error.message()}; {error.remedy()}" for error in needed),
    ]
    return SchedulePlan(new, tuple(lines), known.backup_cron != new.strip("\n"), wanted)


def plan_removal(appliance: Appliance) -> SchedulePlan:
    """Plan to remove the cron file, if there is one."""
    entry = appliance.paths.backup_cron
    there = cron_hold.state(appliance, entry).in_place
    return SchedulePlan(
        "", (f"{entry} on {appliance.name} {'would be removed' if there else 'does not exist'}",), there
    )


def apply(appliance: Appliance, planned: SchedulePlan) -> str:
    """Write or remove the cron file as planned; return what was done. The caller has locked the appliance.

    Raises:
        CommandFailed: the file could not be written or removed.
    """
    entry = appliance.paths.backup_cron
    if planned.wanted is None:
        return f"{entry} on {appliance.name} {'removed' if remove(appliance) else 'did not exist'}"
    prepare(appliance, planned.wanted)
    cron_hold.install(appliance, entry, planned.text)
    return f"{entry} on {appliance.name} written"


def _replaced(before: str, new: str) -> list[str]:
    if not before:
        return []
    if before == new.strip("\n"):
        return ["the file exists already, with this content"]
    return ["it replaces:", *(f"  {line}" for line in before.splitlines())]


def _purged(appliance: Appliance, known: Facts, wanted: Schedule) -> list[str]:
    """Describe which of the present archives the purge would delete."""
    names = due(appliance, wanted)
    how = "by number and age" if wanted.purge else "of which a verified copy is off-site"
    head = f"of its {len(known.archives)} archives the purge ({how}) would delete {len(names)} now"
    more = [f"  … and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return [head + (":" if names else ""), *(f"  {name}" for name in names[:_SHOWN]), *more]
