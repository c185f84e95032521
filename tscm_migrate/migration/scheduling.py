"""Scheduling an appliance's backups: one connection, what is there looked at first, then one file."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from tscm_migrate.appliance import facts, schedule, updates
from tscm_migrate.appliance.base import Appliance
from tscm_migrate.errors import Refused
from tscm_migrate.migration.checks import resolve_interface

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tscm_migrate.site import Host
    from tscm_migrate.ssh.shell import Shell


class Scheduler:
    """Works on one appliance; a context manager that closes its connection."""

    def __init__(self, host: Host) -> None:
        from tscm_migrate.secrets import Secrets

        secrets = Secrets(interactive=sys.stdin is not None and sys.stdin.isatty())

        def dial(host: Host, expect: Sequence[str] | None = None) -> Shell:
            from tscm_migrate.ssh.connect import connect

            return connect(host, credentials=secrets, expect=expect)

        self._appliance = Appliance(host, dial)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._appliance.close()

    def write(self, wanted: schedule.Schedule, *, dry: bool) -> list[str]:
        """Write the cron file, and say when it will run.

        Raises:
            Refused: nobody has made a backup there yet, so a scheduled one would wait for an answer that never comes.
        """
        schedule.check(wanted)
        known = facts.gather(self._appliance)
        host = self._appliance.host
        if not known.archives and not wanted.passphrase_file:
            raise Refused(("no-backup-yet: run `tsadmin backup` there once, it asks whether to encrypt",))
        wanted = replace(wanted, interface=resolve_interface(known, host, None))
        text = schedule.text(wanted, host.paths, user=host.user)
        runs = schedule.next_runs(wanted.when, schedule.local_time(self._appliance))
        if not dry:
            updates.install(self._appliance, host.paths.backup_cron, text)
        done = "would be written" if dry else "written"
        return [
            f"{host.paths.backup_cron} on {host.name}, {done}:",
            *(f"  {line}" for line in text.splitlines()),
            "the next backups, in the appliance's time:",
            *(f"  {when:%Y-%m-%d %H:%M} ({when:%A})" for when in runs),
        ]

    def remove(self, *, dry: bool) -> list[str]:
        """Take the cron file away."""
        entry = self._appliance.paths.backup_cron
        if dry:
            there = updates.state(self._appliance, entry).in_place
            return [f"{entry} on {self._appliance.name} {'would be removed' if there else 'is not there'}"]
        gone = schedule.remove(self._appliance)
        return [f"{entry} on {self._appliance.name} {'removed' if gone else 'was not there'}"]
