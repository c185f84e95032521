"""The end of a migration: the timer of an isolated old one is stood down, and the new identity is pinned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscm_migrate.errors import UsageError
from tscm_migrate.events import Said
from tscm_migrate.migration import host_keys
from tscm_migrate.migration.context import Action
from tscm_migrate.migration.steps import offline
from tscm_migrate.migration.steps.base import Plain

if TYPE_CHECKING:
    from typing import Any

    from tscm_migrate.migration.context import Actions, Migration


class Confirm(Plain):
    """All went as it should: nothing comes back by itself, and known_hosts knows who is where."""

    id = "confirm"
    title = "Confirm: pin the new identity, stand the timer down"
    cutover = True
    goes_back = "{known_hosts} says again what it said of {new}"

    def capture(self, m: Migration) -> dict[str, Any]:
        """What known_hosts says of the address now."""
        return {"name": host_keys.name_at(m), "pinned": host_keys.pinned(m)}

    def revert(self, m: Migration, undo: dict[str, Any]) -> Actions:
        """known_hosts says again what it said."""
        file = m.new.host.known_hosts
        if m.noted("pinned") and file is not None and undo.get("name"):
            yield Action(m.new.name, f"let {file} say what it said", lambda: host_keys.pin_again(file, undo))

    def apply(self, m: Migration) -> Actions:
        """The keys first: the leash is held through a host that must be known by then.

        The new one's former settings stay on it, readable by root alone: a rollback may still want them.
        """
        file = m.new.host.known_hosts
        if file is not None and not m.noted("pinned"):
            yield Action(m.new.name, f"pin its host keys in {file}", lambda: self._pin(m))
        if m.options.offline == "isolate" and not m.noted("confirmed"):
            yield Action(m.old.name, "tell its timer that all went well", lambda: self._confirm(m))

    def _pin(self, m: Migration) -> None:
        """A file on the workstation that cannot be written is no reason to call a migration unfinished."""
        try:
            for line in host_keys.pin_what_is(m):
                m.emit(Said(line))
        except UsageError as error:
            m.note("unpinned", str(error))
        else:
            m.note("pinned", value=True)

    def _confirm(self, m: Migration) -> None:
        if offline.confirm(m):
            m.note("confirmed", value=True)
        else:
            m.note("unconfirmed", value=True)
