"""Schedule an appliance's backups: look first, show what would change, and change it under the appliance's lock."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from tscm_migrate.appliance import backup_schedule, cron_hold, facts, lockfile
from tscm_migrate.appliance.appliance import Appliance
from tscm_migrate.errors import Locked, NoBackupYet
from tscm_migrate.migration import locks
from tscm_migrate.migration.checks import resolve_interface
from tscm_migrate.migration.journal import new_run_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tscm_migrate.appliance.facts import Facts
    from tscm_migrate.model import Host
    from tscm_migrate.ssh.shell import Shell

_SHOWN = 20  # names of archives


@dataclass(frozen=True)
class Planned:
    """What is to be done: the new file's text ("" to remove it), lines that tell it, and whether anything changes."""

    text: str
    lines: tuple[str, ...]
    changes: bool
    wanted: backup_schedule.Schedule | None = None


class Scheduler:
    """Works on one appliance; a context manager that closes its connection."""

    def __init__(self, host: Host) -> None:
        from tscm_migrate.secrets import Secrets

        secrets = Secrets(interactive=sys.stdin is not None and sys.stdin.isatty())

        def dial(host: Host, expect: Sequence[str] | None = None) -> Shell:
            from tscm_migrate.ssh.connect import connect

            return connect(host, credentials=secrets, expect=expect)

        self._host = host
        self._run = new_run_id()
        self._appliance = Appliance(host, dial)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._appliance.close()

    # ------------------------------------------------------------------ what would be done

    def plan(self, wanted: backup_schedule.Schedule, *, dry: bool) -> Planned:
        """Tell which file would be written, when it runs, and what its purge would delete now.

        Args:
            wanted: the schedule; its interface is found here.
            dry: nothing will be written, so that a host without a backup is no error.

        Raises:
            NoBackupYet: a scheduled backup would wait for an answer that never comes.
        """
        backup_schedule.check(wanted)
        known = facts.gather(self._appliance)
        needed = [] if known.archives or wanted.passphrase_file else [NoBackupYet(self._host.name, self._login())]
        if needed and not dry:
            raise needed[0]
        wanted = replace(wanted, interface=resolve_interface(known, self._host, None))
        text = backup_schedule.text(wanted, self._host.paths, user=self._host.user)
        lines = [
            f"{self._host.paths.backup_cron} on {self._host.name}:",
            *(f"  {line}" for line in text.splitlines()),
            *self._replaced(known, text),
            "the next backups, in the appliance's time:",
            *(
                f"  {when:%Y-%m-%d %H:%M} ({when:%A})"
                for when in backup_schedule.next_runs(wanted.when, backup_schedule.local_time(self._appliance))
            ),
            *self._purged(known, wanted),
            *(f"first: {error.message()}; {error.remedy()}" for error in needed),
        ]
        return Planned(text, tuple(lines), known.backup_cron != text.strip("\n"), wanted)

    def plan_removal(self) -> Planned:
        """Tell whether there is a file to remove."""
        entry = self._host.paths.backup_cron
        there = cron_hold.state(self._appliance, entry).in_place
        return Planned("", (f"{entry} on {self._host.name} {'would be removed' if there else 'is not there'}",), there)

    def _login(self) -> str:
        port = f"-p {self._host.port} " if self._host.port != 22 else ""
        return f"ssh -t {port}{self._host.user}@{self._host.address}"

    def _replaced(self, known: Facts, text: str) -> list[str]:
        before = known.backup_cron
        if not before or before == text.strip("\n"):
            return ["it is there already, as it would be written"] if before else []
        return ["it replaces:", *(f"  {line}" for line in before.splitlines())]

    def _purged(self, known: Facts, wanted: backup_schedule.Schedule) -> list[str]:
        """What of the archives that are there the purge would delete."""
        due = backup_schedule.due(self._appliance, wanted)
        how = "by number and age" if wanted.purge else "of which a verified copy is off-site"
        head = f"of its {len(known.archives)} archives the purge ({how}) would delete {len(due)} now"
        more = [f"  … and {len(due) - _SHOWN} more"] if len(due) > _SHOWN else []
        return [head + (":" if due else ""), *(f"  {name}" for name in due[:_SHOWN]), *more]

    # ------------------------------------------------------------------ doing it

    def refuse_locked(self) -> None:
        """Refuse where a run has the appliance, or has left something undone on it.

        Raises:
            Locked: it has.
        """
        locks.refuse_over_unfinished(self._host.name)
        found = lockfile.read(self._appliance)
        if found is not None and not (locks.proved_dead(found) and not locks.unfinished(found.run)):
            raise _locked(self._host, found)

    def apply(self, planned: Planned) -> str:
        """Do what was planned, under the appliance's lock; return what was done.

        Raises:
            Locked: a run has the appliance. CommandFailed: it could not be written.
        """
        entry = self._host.paths.backup_cron
        with self._locked():
            if planned.wanted is None:
                gone = backup_schedule.remove(self._appliance)
                return f"{entry} on {self._host.name} {'removed' if gone else 'was not there'}"
            backup_schedule.prepare(self._appliance, planned.wanted)
            cron_hold.install(self._appliance, entry, planned.text)
            return f"{entry} on {self._host.name} written"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with locks.held_here(self._run, [self._host]):
            self.refuse_locked()
            ours = locks.mark_of(self._run, "")
            found = lockfile.take(self._appliance, ours)
            if found is not None:  # of a run that is over, or it came this moment
                found = lockfile.take(self._appliance, ours, instead_of=found) if locks.proved_dead(found) else found
            if found is not None:
                raise _locked(self._host, found)
            try:
                yield
            finally:
                lockfile.drop(self._appliance, self._run)


def _locked(host: Host, found: lockfile.Mark) -> Locked:
    dead = locks.proved_dead(found)
    return Locked(host.name, f"{found.owner} pid {found.pid}", found.since, found.run, alive=not dead)
