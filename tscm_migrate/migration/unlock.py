"""Removing a run's mark from an appliance: by proof that the run is dead, or by the operator's word."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tscm_migrate.appliance import cron_hold, lockfile
from tscm_migrate.appliance.appliance import Appliance, quote
from tscm_migrate.errors import Exit, Locked
from tscm_migrate.events import Said
from tscm_migrate.migration import locks, run

if TYPE_CHECKING:
    from tscm_migrate.events import Emit
    from tscm_migrate.model import Host
    from tscm_migrate.secrets import Secrets


def unlock(host: Host, *, secrets: Secrets, emit: Emit, force: bool) -> Exit:
    """Say who has `host`, and remove the mark where that is safe or forced.

    Raises:
        Locked: the run may be alive, or has changes that are to be finished or taken back first. SshError: see there.
    """
    appliance = Appliance(host, run.Dialler(secrets, emit), emit)
    with contextlib.closing(appliance):
        found = lockfile.read(appliance)
        if found is None:
            emit(Said(f"{host.name} is not locked"))
            _tell_held(appliance, emit)
            return Exit.DONE
        who = f"run {found.run} of {found.owner}, pid {found.pid}, since {found.since}"
        dead = locks.proved_dead(found)
        if not force and (not dead or locks.unfinished(found.run)):
            raise Locked(host.name, f"{found.owner} pid {found.pid}", found.since, found.run, alive=not dead)
        lockfile.drop(appliance)
        why = "it is over" if dead else "by force: make sure that it is dead, two runs at once would harm each other"
        emit(Said(f"{host.name}: removed the lock of {who}; {why}", "info" if dead else "warning"))
        _tell_held(appliance, emit)
        return Exit.DONE


def _tell_held(appliance: Appliance, emit: Emit) -> None:
    """A lock that goes may have been all that told of a run whose journal is gone."""
    entry = appliance.paths.cron_entry
    if cron_hold.state(appliance, entry).held:
        aside = cron_hold.aside(appliance, entry)
        text = f"{appliance.name}: its updates are HELD, by no run that has it locked; to release: "
        emit(Said(f"{text}sudo mv {quote(aside)} {quote(entry)}", "warning"))
