"""Giving up the way back of a run that went through: the new one's former settings are removed from it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tscm_migrate.errors import Cancelled, Exit, UsageError
from tscm_migrate.events import RunFinished, Said
from tscm_migrate.migration import finish, journal, rediscover, resume, saved_settings

if TYPE_CHECKING:
    from tscm_migrate.events import Emit
    from tscm_migrate.inventory import Inventory
    from tscm_migrate.migration.context import Operator
    from tscm_migrate.secrets import Secrets


def forget(name: str, *, inventory: Inventory, secrets: Secrets, emit: Emit, operator: Operator, yes: bool) -> Exit:
    """Remove what a run has kept on the new one for a rollback: its settings, private host keys and devices.

    Args:
        name: the run's id; it must be over.
        inventory: the site, as it is now.
        secrets: resolved again.
        emit: sees everything that happens.
        operator: asked once.
        yes: do not ask.

    Raises:
        UsageError: the run is not over, or not confirmed. NotComeBack: the new one does not answer.
    """
    began, (record, _) = time.monotonic(), journal.read(name)
    if record.outcome not in {"done", "attention"}:
        raise UsageError(f"run {name} is not over", f"go on or back first: tscm-migrate show {name}")
    if not finish.kept_settings(record):
        emit(Said(f"nothing is kept for run {name}"))
        return Exit.DONE
    question = f"Give up the rollback of run {name}: remove what {record.new} was before from it?"
    if not yes and not operator.confirm(question):
        raise Cancelled
    with resume.reopened(name, verb="forget", inventory=inventory, secrets=secrets, emit=emit, operator=operator) as m:
        rediscover.find_both(m, need_new=True)
        saved_settings.clear_settings(m.new)
        m.note("forgotten", value=True)
        m.emit(RunFinished(name, "done", round(time.monotonic() - began, 3)))
    return Exit.DONE
