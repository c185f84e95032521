"""Going back: what a run has changed is taken back step by step, the last one first, at any point of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tscm_migrate import __version__
from tscm_migrate.errors import Exit, Interrupted, MigrateError, RollbackIncomplete, UsageError
from tscm_migrate.events import Said
from tscm_migrate.migration import ending, leftovers, plan, resume
from tscm_migrate.migration.engine import Engine

if TYPE_CHECKING:
    from tscm_migrate.events import Emit
    from tscm_migrate.inventory import Inventory
    from tscm_migrate.migration.context import Migration, Operator
    from tscm_migrate.secrets import Secrets


def rollback(
    asked: str | None, *, inventory: Inventory, secrets: Secrets, emit: Emit, operator: Operator, yes: bool
) -> Exit:
    """Bring back the state from before a run; says beforehand what that takes.

    Args:
        asked: the run's id, also of one that is over; None: the newest unfinished one.
        inventory: the site, as it is now.
        secrets: resolved again.
        emit: sees everything that happens.
        operator: asked once.
        yes: do not ask.

    Raises:
        RollbackIncomplete: something could not be taken back; the rest was. Interrupted: in the middle of it.
        UsageError: nothing to take back, or not confirmed.
    """
    began, name = time.monotonic(), resume.pick(asked, verb="roll back")
    opened = resume.reopened(name, verb="rollback", inventory=inventory, secrets=secrets, emit=emit, operator=operator)
    with opened as m:
        resume.tell_others(m, asked)
        engine = Engine(m, plan.steps_of(m))
        for line in announce(engine):
            m.emit(Said(line))
        if not yes and not operator.confirm(f"Take this back on {' and '.join(one.name for one in m.there)} now?"):
            raise UsageError("not confirmed; nothing was changed", "say yes, or give --yes")
        m.journal.write("rollback-started", version=__version__)
        return _take_back(engine, began)


def announce(engine: Engine) -> list[str]:
    """What a rollback will do, as lines."""
    steps = engine.to_put_back()
    if not steps:
        return ["nothing is left to take back on the appliances; their locks and leftovers are removed"]
    m = engine.m
    fields = {
        "old": m.old.name, "new": m.new.name, "address": m.old.host.address, "known_hosts": m.new.host.known_hosts,
    }  # fmt: skip
    what = [step.goes_back.format(**fields) for step in steps if step.goes_back]
    lines = [f"{number}. {line}" for number, line in enumerate(what, start=1)]
    return ["this will be taken back, in this order:", *lines, "no archive is deleted that the old one has made"]


def _take_back(engine: Engine, began: float) -> Exit:
    m = engine.m
    failed: list[tuple[str, MigrateError]] = []
    try:
        with m.interrupts.putting_back():
            resume.prepare(m, need_new=False)
            failed = engine.roll_back()
            _tidy(m)
    except (Exception, KeyboardInterrupt) as error:
        ending.end(engine, "interrupted", began)
        reason = str(error) or "by the operator"
        raise Interrupted(reason, f"say it again: tscm-migrate rollback {m.run}") from error
    ending.end(engine, "interrupted" if failed else "rolled-back", began)
    if failed:
        raise RollbackIncomplete(tuple(f"{step}: {error}" for step, error in failed), m.run)
    return Exit.DONE


def _tidy(m: Migration) -> None:
    """Unfinished copies on the new one; a transfer that is resumed would have wanted them, a rollback does not."""
    if m.new.connected:
        leftovers.clear_parts(m.new)
