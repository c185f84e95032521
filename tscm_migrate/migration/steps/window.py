"""The last check before the cutover: does its downtime fit into the change window, and does the operator agree."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tscm_migrate.errors import Cancelled
from tscm_migrate.migration import estimate, rehearsal, window
from tscm_migrate.migration.context import Action
from tscm_migrate.migration.steps.base import Plain

if TYPE_CHECKING:
    from tscm_migrate.migration.context import Actions, Migration


class CheckWindow(Plain):
    """Refuse a cutover that would not end inside the window; ask the operator where --pause-before is given."""

    id = "check-window"
    title = "Check the change window"

    def apply(self, m: Migration) -> Actions:
        """Check, then ask; nothing is changed on an appliance."""
        if m.options.not_after:
            yield Action(m.old.name, f"check that the downtime ends before {m.options.not_after}", lambda: _fits(m))
        if m.options.pause_before:
            yield Action(m.old.name, "ask the operator whether to begin the cutover", lambda: _ask(m))


def downtime(m: Migration) -> float:
    """Return the estimated downtime in seconds, from this pair's rehearsal where there was one."""
    known = rehearsal.known(m.options.from_ or m.old.name, m.options.to)
    steps = estimate.steps(m, iter(estimate.WITHOUT), 0.0, known.steps if known else {})
    return estimate.downtime(steps)


def _fits(m: Migration) -> None:
    zone = window.zone_of(m.policy.zone)
    limit = window.Window(None, window.moment(window.parse("--not-after", m.options.not_after or ""), zone, _now()))
    limit.require(_now(), downtime(m), zone)


def _ask(m: Migration) -> None:
    """Ask; the rest of the run is undone after a no.

    Raises:
        Cancelled: the answer was no, or there is no terminal to ask at.
    """
    if not m.operator.confirm(f"Take {m.old.name} offline now (estimated downtime {downtime(m):.0f} s)?"):
        raise Cancelled(undone=True)


def _now() -> datetime:
    return datetime.now(UTC)
