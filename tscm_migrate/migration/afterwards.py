"""What can be done with a migration that is over: update devices again, compare again, tell where it ended."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from tscm_migrate import __version__
from tscm_migrate.errors import Cancelled, Exit, MigrateError, UsageError
from tscm_migrate.events import COMPLETED, Message
from tscm_migrate.migration import journal, locks, plan, rediscover, resume
from tscm_migrate.migration.context import Session
from tscm_migrate.migration.engine import Engine
from tscm_migrate.migration.finish import run_to_end
from tscm_migrate.migration.steps import after
from tscm_migrate.util.text import suggestion


@dataclass(frozen=True)
class Moved:
    """Where a migration ended: the names in the inventory, and where the new appliance answers now.

    `took_address`: it has the old appliance's address, and with it the old entry's port and gateway.
    """

    run: str
    old: str
    new: str
    address: str
    took_address: bool


def finished(wanted: str | None = None, *, root: Path | None = None) -> journal.RunRecord:
    """Return the record of a migration that is over.

    Args:
        wanted: its run, or the name of one of its appliances (then its newest migration); None: the newest.
        root: the state folder.

    Raises:
        UsageError: it does not exist, or is not over. JournalDamaged: see there.
    """
    known = list(journal.runs(root))
    if wanted in known:
        record, _ = journal.read(wanted, root)
        if record.outcome not in COMPLETED:
            raise UsageError(f"run {wanted} is not finished", f"see its state: tscm-migrate run show {wanted}")
        return record
    for run in known:
        with contextlib.suppress(MigrateError):  # one that cannot be read does not hide the others
            record, _ = journal.read(run, root)
            if record.outcome in COMPLETED and wanted in (None, record.old, record.new):
                return record
    if wanted is None:
        raise UsageError("there is no finished migration on this workstation", "list all runs: tscm-migrate run list")
    near = suggestion(wanted, known)
    problem = f"{wanted!r} is neither a run nor an appliance of a finished migration{near}"
    raise UsageError(problem, "list all runs: tscm-migrate run list")


def moved(record: journal.RunRecord) -> Moved:
    """Return where a finished migration ended."""
    came_back_at, before = record.notes.get("new_at"), record.notes.get("new_address", "")
    return Moved(record.run, record.old, record.new, str(came_back_at or before), bool(came_back_at))


def whereabouts(host: str, *, root: Path | None = None) -> str:
    """Return where a host is that does not answer, if a migration has moved it to another address; else ""."""
    try:
        where = moved(finished(host, root=root))
    except MigrateError:
        return ""
    if host != where.new or not where.took_address:
        return ""
    return f"{host} moved to {where.address} in run {where.run}; record this: tscm-migrate host adopt {where.run}"


# ------------------------------------------------------------------------------------------------ devices


def failed_devices(record: journal.RunRecord) -> tuple[str, ...]:
    """Return the devices whose last update failed."""
    return tuple(name for name, result in sorted(record.notes.get("devices", {}).items()) if not result["ok"])


def update_devices(record: journal.RunRecord, names: Sequence[str], session: Session, *, yes: bool) -> Exit:
    """Update devices on the new appliance of a finished migration, and complete its journal and report.

    Raises:
        ManualStepsLeft: something is left to do. Locked: another run works on the appliance.
        NotReachableAgain: it does not answer. Interrupted: `resume` completes the run.
    """
    began, run = time.monotonic(), record.run
    what = ", ".join(names)
    if not yes and not session.operator.confirm(f"Update {what} on {record.new} now?"):
        raise Cancelled
    with resume.reopen(run, session, verb="devices update") as m:
        rediscover.find_both(m, need_new=True)
        locks.take(m, m.new)
        m.journal.write("run-resumed", version=__version__, verb="devices update")
        engine = Engine(m, plan.steps_of(m))
        return run_to_end(engine, began, first=lambda: engine.run_step(after.UpdateAgain(names)))


# ------------------------------------------------------------------------------------------------ comparison


def compare(record: journal.RunRecord, session: Session) -> Exit:
    """Compare the new appliance of a finished migration, as it is now, with the old appliance before it.

    Returns:
        DONE where all comparisons are equal, else ATTENTION.

    Raises:
        NotReachableAgain: the new appliance does not answer.
    """
    with resume.reopen(record.run, session, verb="verify") as m:
        rediscover.find_both(m, need_new=True)
        _, rows = after.compare_now(m)
        at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        m.set_note("verified", [*m.get_note("verified", []), {"at": at, "rows": [asdict(row) for row in rows]}])
        equal = sum(row.same for row in rows)
        m.emit(Message(f"{m.new.name}: {equal} of {len(rows)} comparisons are equal"))
    return Exit.DONE if equal == len(rows) else Exit.ATTENTION
