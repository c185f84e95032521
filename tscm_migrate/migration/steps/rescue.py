"""What takes the place of the staging half where the old one is dead: the copy is fetched, its address proved free."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tscm_migrate.appliance import network
from tscm_migrate.migration.context import Action
from tscm_migrate.migration.steps.base import BaseStep
from tscm_migrate.transfer import api

if TYPE_CHECKING:
    from typing import Any

    from tscm_migrate.migration.context import Actions, Migration
    from tscm_migrate.offsite.restore_source import RestoreSource

_GOES = 5.0  # seconds in which an answer that was on its way may die down


class Fetch(BaseStep):
    """The archive on the new one, straight from where it was kept; under its final name only when it is whole."""

    id = "fetch"
    title = "Bring the kept archive to the new one"

    def apply(self, m: Migration) -> Actions:
        """Nothing of it stays on this workstation; what an earlier attempt brought is gone on from."""
        kept = _kept(m)
        size = kept.archive.size / 1e6
        where = f"{kept.archive.folder} to {m.new.paths.backup_dir}"
        yield Action(m.new.name, f"stream {kept.archive.name} ({size:.1f} MB) from {where}", lambda: self._bring(m))

    def _bring(self, m: Migration) -> None:
        kept = _kept(m)
        api.bring(kept.source(), kept.archive, m.new, limit=m.options.limit, emit=m.emit)


class OldAbsent(BaseStep):
    """Nobody answers at the old address: the dead one is off, and nobody else has taken it."""

    id = "old-absent"
    title = "Prove that nobody is at the old address"

    def capture(self, m: Migration) -> dict[str, Any]:
        """By what the new one is known when it shows the old one's keys; of the old one nothing is known."""
        return {"old_macs": [], "new_macs": list(network.hardware_addresses(m.new.shell))}

    def apply(self, m: Migration) -> Actions:
        """Not where the new one keeps its address, or has the old one's already."""
        if m.restores_network and m.get_note("offline_proved") is None:
            address = m.old.host.address
            yield Action(m.new.name, f"prove from here that nobody answers at {address}", lambda: self._prove(m))

    def _prove(self, m: Migration) -> None:
        network.prove_gone(m.new, m.old.host, interface=m.interface, timeout=_GOES)
        m.set_note("offline_proved", time.time())


def _kept(m: Migration) -> RestoreSource:
    if m.restore_source is None:
        raise AssertionError("these steps are of a run that restores what was kept")
    return m.restore_source
