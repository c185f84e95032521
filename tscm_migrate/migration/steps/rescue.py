"""The steps of disaster recovery before the cutover: fetch the backup, prove that the old address is free."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tscm_migrate.appliance import network
from tscm_migrate.migration.context import Action, Actions, Migration
from tscm_migrate.migration.engine import BaseStep
from tscm_migrate.transfer import api

if TYPE_CHECKING:
    from tscm_migrate.offsite.restore_source import RestoreSource

_GOES = 5.0  # seconds in which the last answer has to cease


class Fetch(BaseStep):
    """Copy the backup to the new appliance; it gets its final name when it is complete."""

    id = "fetch"
    title = "Copy the backup to the new appliance"

    def apply(self, m: Migration) -> Actions:
        """Stream it through this workstation, where nothing is stored; a partial file is continued."""
        source = _source(m)
        size = source.archive.size / 1e6
        where = f"{source.archive.folder} to {m.new.paths.backup_dir}"
        yield Action(m.new.name, f"stream {source.archive.name} ({size:.1f} MB) from {where}", lambda: self._bring(m))

    def _bring(self, m: Migration) -> None:
        source = _source(m)
        api.bring(source.source(), source.archive, m.new, limit=m.options.limit, emit=m.emit)


class OldAbsent(BaseStep):
    """Prove that no host answers at the old address."""

    id = "old-absent"
    title = "Confirm that no host is at the old address"

    def capture(self, m: Migration) -> dict[str, Any]:
        """Return the MAC addresses of the new appliance, which identify it when it shows the old host keys."""
        return {"old_macs": [], "new_macs": list(network.hardware_addresses(m.new.shell))}

    def apply(self, m: Migration) -> Actions:
        """Skip this if the new appliance keeps its address, or has the old address already."""
        if m.restores_network and m.get_note("offline_proved") is None:
            address = m.old.host.address
            yield Action(m.new.name, f"confirm that no host answers at {address}", lambda: self._prove(m))

    def _prove(self, m: Migration) -> None:
        network.prove_gone(m.new, m.old.host, interface=m.interface, timeout=_GOES)
        m.set_note("offline_proved", time.time())


def _source(m: Migration) -> RestoreSource:
    if m.restore_source is None:
        raise AssertionError("this step belongs to a run that restores a backup")
    return m.restore_source
