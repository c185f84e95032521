"""Roll back a run at any point: undo its steps, the last one first; or discard what a rollback needs."""

import time

from tscm_migrate import __version__
from tscm_migrate.appliance import facts
from tscm_migrate.appliance.appliance import quote
from tscm_migrate.errors import Cancelled, Exit, Interrupted, MigrateError, RollbackIncomplete, UsageError
from tscm_migrate.events import COMPLETED, Message, RunFinished
from tscm_migrate.inventory.inventory import Inventory
from tscm_migrate.migration import final_state, finish, journal, plan, rediscover, resume, saved_settings
from tscm_migrate.migration.context import Migration, Session
from tscm_migrate.migration.engine import Engine, applied
from tscm_migrate.util.text import number

_VOLATILE = ("/tmp", "/proc", "/dev", "/run")  # noqa: S108 - only compared


def rollback(asked: str | None, session: Session, *, yes: bool) -> Exit:
    """Restore the state before a run, also of a completed one; None: the newest unfinished run.

    The steps to undo are shown first, and the operator confirms them once, unless `yes` is set.

    Raises:
        RollbackIncomplete: a step could not be undone; the others were. Interrupted: stopped before the end.
        UsageError: there is nothing to undo. Cancelled: not confirmed.
    """
    began, name = time.monotonic(), resume.select_run(asked, verb="roll back")
    with resume.reopen(name, session, verb="rollback") as m:
        resume.warn_of_other_runs(m, asked)
        engine = Engine(m, plan.steps_of(m))
        for line in summary(engine):
            m.emit(Message(line))
        if not yes and not m.operator.confirm(f"Undo this on {' and '.join(one.name for one in m.reachable)} now?"):
            raise Cancelled
        m.journal.write("rollback-started", version=__version__)
        try:
            return _roll_back(engine, began)
        finally:
            _tell_inventory(m, session.inventory)


def _tell_inventory(m: Migration, site: Inventory) -> None:
    """Say what to change in the inventory if `host adopt` has written the result of the migration to it."""
    old, new = site.hosts.get(m.old.name), site.hosts.get(m.new.name)
    if old is None or new is None or old.moved_to != new.name:
        return
    address = m.get_note("new_address", "")
    what = f'address = "{address}" below [hosts.{new.name}], and delete moved_to below [hosts.{old.name}]'
    m.emit(Message(f"{site.path} still says that {old.name} was migrated: write {what}", "warning"))


def summary(engine: Engine) -> list[str]:
    """Return what a rollback will do, as lines."""
    steps = engine.to_roll_back()
    if not steps:
        return ["there is nothing to undo on the appliances; their locks and leftovers are removed"]
    m = engine.m
    fields = {
        "old": m.old.name, "new": m.new.name, "address": m.old.host.address, "known_hosts": m.new.host.known_hosts,
    }  # fmt: skip
    what = [
        step.revert_summary.format(**fields)
        for step in steps
        if step.revert_summary and applied(m.journal.record, step.id)
    ]
    lines = [f"{number}. {line}" for number, line in enumerate(what, start=1)]
    return ["this will be undone, in this order:", *lines, f"archives that {m.old.name} has made are kept"]


def _roll_back(engine: Engine, began: float) -> Exit:
    m = engine.m
    failed: list[tuple[str, MigrateError]] = []
    left: tuple[str, ...] = ()
    try:
        with m.interrupts.rolling_back():
            resume.prepare(m, need_new=False)
            _remember(m)
            failed = engine.roll_back()
            if m.new.connected:
                final_state.clear_parts(m.new)  # only a resumed transfer would need them
            left = () if failed else left_behind(m)
    except (Exception, KeyboardInterrupt) as error:
        finish.end_run(engine, "interrupted", began)
        reason = str(error) or "by the operator"
        raise Interrupted(reason, f"run it again: tscm-migrate rollback {m.run}") from error
    finish.end_run(engine, "interrupted" if failed else "rolled-back", began, left)
    if failed or left:
        raise RollbackIncomplete((*(f"{step}: {error}" for step, error in failed), *left), m.run)
    return Exit.DONE


def _remember(m: Migration) -> None:
    """Note what the restore has written; the notes of a step are removed when it is undone."""
    began = m.get_note("restore_began") or (time.time() if m.get_note("first_pass_began") else None)
    if began is not None:
        devices = sorted({*m.get_note("restore_devices", []), *m.get_note("devices", {}), *(m.old_facts.devices or ())})
        m.set_note("brought", {"since": began, "devices": devices, "files": m.get_note("restore_files", [])})


def left_behind(m: Migration) -> tuple[str, ...]:
    """Return which devices and files of the restore the new appliance still has, as lines for the operator."""
    if m.get_note("brought") is None:
        return ()
    try:
        return (*_devices_left(m), *_files_left(m))
    except MigrateError as error:
        why = f"it is unknown whether it still has devices of {m.old.name} ({error})"
        return (f"{m.new.name}: {why}; once it answers: tscm-migrate rollback {m.run}",)


def _devices_left(m: Migration) -> list[str]:
    now, before = facts.gather(m.new).devices, m.new_facts.devices
    tsadmin = m.new.paths.tsadmin
    if now is None:
        if before is None:
            return []
        was = ", ".join(before) or "no device"
        return [
            f"{m.new.name}: `{tsadmin} list` does not answer; it had {was} before the migration: compare them manually"
        ]
    known = set(now) - set(m.get_note("brought")["devices"]) if before is None else set(before)
    more = [
        f"{m.new.name}: device {name} came with the restore and is still there; on it: {tsadmin} remove {quote(name)}"
        for name in sorted(set(now) - known)
    ]
    return more + [f"{m.new.name}: device {name} was there before and is missing" for name in sorted(known - set(now))]


def _files_left(m: Migration) -> list[str]:
    """List the files that the restore has written outside of the restored folders."""
    paths = m.new.paths
    elsewhere = (*saved_settings.places(m.new), paths.backup_dir, paths.log_dir, paths.tmpfs, *_VOLATILE)
    named = [file for file in m.get_note("brought")["files"] if not any(_within(file, place) for place in elsewhere)]
    if not named:
        return []
    script = f'for f in {" ".join(map(quote, named))}; do [ ! -f "$f" ] || stat -c \'%Z %n\' "$f"; done'
    listed = m.new.run(script, sudo=True, display="which files of the restore are still there?").stdout
    since = m.get_note("brought")["since"] + m.new_facts.clock_skew - 1.0
    rows = (line.partition(" ") for line in listed.splitlines())
    return [
        f"{m.new.name}: {name} was written by the restore and is still there"
        for changed, _, name in rows if (number(changed) or 0) >= since
    ]  # fmt: skip


def _within(file: str, place: str) -> bool:
    return file == place or file.startswith(f"{place.rstrip('/')}/")


def forget(name: str, session: Session, *, yes: bool) -> Exit:
    """Remove the rollback data of a completed run from the new appliance: settings, private host keys and devices.

    Raises:
        UsageError: the run is not over. Cancelled: not confirmed. NotReachableAgain: the new appliance does not answer.
    """
    began, (record, _) = time.monotonic(), journal.read(name)
    if record.outcome not in COMPLETED:
        raise UsageError(f"run {name} is not finished", f"resume or undo it first: tscm-migrate run show {name}")
    if not final_state.has_rollback_data(record):
        session.emit(Message(f"there is no rollback data for run {name}"))
        return Exit.DONE
    question = f"Delete the rollback data of run {name} on {record.new}? The run can then not be rolled back."
    if not yes and not session.operator.confirm(question):
        raise Cancelled
    with resume.reopen(name, session, verb="forget") as m:
        rediscover.find_both(m, need_new=True)
        saved_settings.remove(m.new)
        m.set_note("forgotten", value=True)
        m.emit(RunFinished(name, "done", round(time.monotonic() - began, 3)))
    return Exit.DONE
