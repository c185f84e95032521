"""End a run: undo or name what is left, remove locks and secrets, and report the final state."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn

from tscm_migrate.appliance.appliance import quote
from tscm_migrate.errors import (
    Cancelled,
    Exit,
    Interrupted,
    Locked,
    ManualStepsLeft,
    MigrateError,
    Refused,
    Retry,
    RollbackIncomplete,
    TransferError,
    UsageError,
)
from tscm_migrate.events import UNCHANGED, Emit, Message, RunFinished
from tscm_migrate.migration import completion, context, leftovers, locks, saved_settings
from tscm_migrate.util.text import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tscm_migrate.migration.context import Migration
    from tscm_migrate.migration.engine import Engine
    from tscm_migrate.migration.journal import RunRecord
    from tscm_migrate.model import Host

    Ending = Literal["done", "attention", "failed", "cancelled", "interrupted", "rolled-back"]


def run_to_end(engine: Engine, began: float, first: Callable[[], object] = lambda: None) -> Exit:
    """Run the steps, and report the final state whatever happens; also used by resume.

    Args:
        engine: of the run.
        began: monotonic seconds.
        first: called before the first step; if it fails, no step is begun or undone.

    Raises:
        As `migrate`.
    """
    m = engine.m
    ready = False
    try:
        with m.interrupts.careful():
            first()
            ready = True
            engine.run()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the final state is reported also after a bug
        recover(engine, error, began, undo=ready)
    if m.only_rehearsal:
        return _undo_rehearsal(engine, began)
    left = left_to_do(m)
    end_run(engine, "attention" if left else "done", began, left)
    if left:
        raise ManualStepsLeft(tuple(left))
    return Exit.DONE


def _undo_rehearsal(engine: Engine, began: float) -> Exit:
    """Undo every step of a run that only rehearses.

    Raises:
        RollbackIncomplete: a step could not be undone.
    """
    m = engine.m
    try:
        with m.interrupts.rolling_back():
            failed = engine.roll_back()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the final state is reported in any case
        recover(engine, error, began, undo=False)
    end_run(engine, "interrupted" if failed else "rolled-back", began)
    if failed:
        raise RollbackIncomplete(tuple(f"{step}: {error}" for step, error in failed), m.run)
    return Exit.DONE


def recover(engine: Engine, error: BaseException, began: float, *, undo: bool) -> NoReturn:
    """End a run after an error: undo everything before the cutover; after it, report how to resume and to roll back.

    Raises:
        Interrupted: by the operator, or the run has to be resumed or rolled back. Else the error itself.
    """
    m, begun_steps = engine.m, engine.to_roll_back()
    interrupted = isinstance(error, KeyboardInterrupt)
    reason = f"by {str(error) or 'the operator'}" if interrupted else str(error)
    if undo and begun_steps and can_roll_back(engine):
        m.emit(Message(f"{f'interrupted {reason}; ' if interrupted else ''}undoing all changes", "warning"))
        reason += _roll_back(engine)
    if not engine.to_roll_back():
        lines = end_run(engine, _outcome(error), began, kept=_parts(engine, error))
        if interrupted:
            back = bool(m.journal.record.reverted)
            again = f"start again: tscm-migrate resume {m.run}" if back and not m.only_rehearsal else ""
            raise Interrupted(lines[0], again) from error
        raise error
    end_run(engine, "interrupted", began)
    raise Interrupted(reason, _what_to_do_after(m, error)) from error


def _roll_back(engine: Engine) -> str:
    """Undo all steps; return what prevented it as the end of a sentence, or ""."""
    try:
        with engine.m.interrupts.rolling_back():
            engine.roll_back()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the final state is reported in any case
        return f"; and while changes were undone: {str(error) or 'interrupted'}"
    return ""


def _what_to_do_after(m: Migration, error: BaseException) -> str:
    """Return how to continue or undo a run that could not be completed."""
    remedy = f"undo it: tscm-migrate rollback {m.run}"
    if not m.only_rehearsal:
        remedy = f"continue: tscm-migrate resume {m.run}; or {remedy}"
    if isinstance(error, MigrateError) and error.retry is Retry.AFTER_REMEDY and (first := error.remedy()):
        return f"{first}; then {remedy}"  # without it, a resume would fail at the same point
    return remedy


def _parts(engine: Engine, error: BaseException) -> tuple[str, ...]:
    """Remove partial files, unless another attempt can resume from them; then return a line that names them."""
    m = engine.m
    if "transfer" not in m.journal.record.reverted or not m.new.connected:
        return ()
    try:
        if isinstance(error, TransferError) or not (size := leftovers.parts(m.new)):
            leftovers.clear_parts(m.new)
            return ()
    except MigrateError as second:
        return (f"{m.new.name}: {m.new.paths.backup_dir} may have a partial file: {second}",)
    text = (
        f"{m.new.name}: {size / 1e6:.1f} MB of a partial file are kept in {m.new.paths.backup_dir} for the next attempt"
    )
    return (f"{text}; remove it: tscm-migrate rollback {m.run}",)


def end_run(
    engine: Engine, how: Ending, began: float, left: Sequence[str] = (), kept: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Write and emit the end of the run; return the lines that name what is paused or offline, which are printed last.

    The locks are removed unless the run has to be resumed or rolled back; then they prevent another run.
    """
    m = engine.m
    lines = remaining_state(m, engine)
    waited = round(context.waited(m.operator), 3)
    own = round(time.monotonic() - began - waited, 3)
    completed = how in {"done", "attention"}
    then = completion.next_steps(m, rollback_data=has_rollback_data(m.journal.record)) if completed else ()
    over = completed or not engine.to_roll_back()
    if over and not completed:
        lines = (*lines, *unreachable(m))
    plain: list[str] = []
    try:
        plain = left_in_plain_text(m)
        _clean_up(engine, over=over, completed=completed)
        m.journal.write(
            "run-ended", outcome=how, standing=[*lines, *plain], left=list(left), next=list(then), seconds=own,
            asked=waited,
        )  # fmt: skip
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the end is reported in any case
        m.emit(Message(f"while ending the run: {error}", "warning"))
    if over and not completed and not lines and not left:
        lines = _all_undone(m, kept)
    lines = (*lines, *plain)
    total = m.journal.record.total_seconds or own
    figures = completion.figures(m) if completed else {}
    m.emit(RunFinished(m.run, how, total, downtime(m), lines, tuple(left), next=then, asked=waited, **figures))
    return lines


def _all_undone(m: Migration, kept: tuple[str, ...]) -> tuple[str, ...]:
    return ("all changes were undone", *kept) if m.journal.record.reverted else (UNCHANGED,)


def _clean_up(engine: Engine, *, over: bool, completed: bool) -> None:
    """Remove secrets from both appliances; at the end of a run also the locks and settings that it has saved."""
    m = engine.m
    ours = [one for one in m.reachable if one.name in m.journal.record.locked]  # else they are another run's
    leftovers.clear_secrets(*ours)
    if over:
        # After a completed run they are kept for its rollback; see `rollback.forget`.
        if m.new in ours and m.new.connected:
            undone = not completed and may_have_rollback_data(engine)
            saved_settings.remove(m.new, rehearsal_only=not undone)
        locks.release(m)


@dataclass
class Preparation:
    """The part of a run before its journal exists; `over` is set then."""

    over: bool = False


@contextlib.contextmanager
def preparation(run: str, began: float, emit: Emit) -> Iterator[Preparation]:
    """Emit RunFinished also if the run ends before its journal exists; its start was emitted already.

    Args:
        run: its id.
        began: monotonic seconds.
        emit: receives the event, unless the preparation is over by then.
    """
    part = Preparation()
    try:
        yield part
    except BaseException as error:
        if not part.over:
            refused = isinstance(error, Refused | Locked | UsageError)
            how = "refused" if refused else _outcome(error)
            emit(RunFinished(run, how, round(time.monotonic() - began, 3), held=(UNCHANGED,)))
            if isinstance(error, KeyboardInterrupt):
                raise Interrupted(UNCHANGED) from error
        raise


def _outcome(error: BaseException) -> Literal["interrupted", "cancelled", "failed"]:
    """Return the outcome of a run that has ended with this error and has changed nothing, or undone everything."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return "cancelled" if isinstance(error, Cancelled) else "failed"


def downtime(m: Migration) -> float | None:
    """Return the seconds from the old appliance's going offline to the last device update; None if unknown."""
    began: float | None = m.get_note("offline_began")
    ended: float | None = m.get_note("online_at")
    if began is None or ended is None or ended < began:  # the clock was set back meanwhile
        return None
    return round(ended - began, 1)


def left_to_do(m: Migration) -> list[str]:
    """Return what is left for the operator to do, as lines."""
    left = _devices_left_to_update(m) + [
        f"check {m.new.name}: its restore printed {line!r}" for line in m.get_note("restored", {}).get("failures", ())
    ]
    left += [f"{row['name']}: was {row['was']}, is {row['has']}" for row in m.get_note("parity", []) if not row["same"]]
    if m.get_note("unconfirmed"):
        left.append(
            f"{m.old.name}: its timer did not answer; it stays offline while {m.new.name} answers: power it off"
        )
    if m.get_note("unpinned") and not m.get_note("pinned"):
        where = f"once it is at {m.new.host.address} in the inventory: tscm-migrate host pin {m.new.name}"
        left.append(f"pin the keys of {m.new.name}: {m.get_note('unpinned')}; {where}")
    if m.options.bypass_netconf:
        names = ", ".join(sorted(m.get_note("devices", {}))) or "every device"
        left.append(f"point the logging of {names} to {m.new.host.address} (syslog, UDP 514)")
    return left


def _devices_left_to_update(m: Migration) -> list[str]:
    results = sorted(m.get_note("devices", {}).items())
    left = [f"device {name}: {one['detail'] or 'its update failed'}" for name, one in results if not one["ok"]]
    if m.get_note("devices_unknown"):
        left.append("the devices are unknown: update each of them (tsadmin update NAME)")
    return left


def has_rollback_data(record: RunRecord) -> bool:
    """Whether the new appliance still has its former settings saved for a rollback."""
    kept = [step for step in ("restore-network", "restore") if record.undo.get(step, {}).get("kept")]
    return any(step in record.started for step in kept) and not record.notes.get("forgotten")


def may_have_rollback_data(engine: Engine) -> bool:
    """Whether this run may have saved settings for its rollback; else they belong to a later run."""
    return bool({"take-offline", "old-absent", "restore-network"} & engine.m.journal.record.undo.keys())


def can_roll_back(engine: Engine) -> bool:
    """Whether everything can be undone automatically: before the cutover, or while the old appliance still answers."""
    if not engine.cut_over:
        return True
    begun = [step.id for step in engine.steps if step.cutover and step.id in engine.m.journal.record.started]
    if begun != ["take-offline"]:
        return False
    try:
        return engine.m.old.shell.alive
    except MigrateError:
        return False


def remaining_state_of(record: RunRecord) -> list[str]:
    """Return what a killed run has left, from its journal, as lines with the command to continue or undo it."""
    lines = []
    if "hold-updates" in record.started and record.undo.get("hold-updates", {}).get("in_place", False):
        lines.append(
            f"{record.old}: its updates are PAUSED, or about to be. Resume them: tscm-migrate rollback {record.run}"
        )
    lines += lent_key(record)
    lines += _rehearsing(record)
    if "take-offline" in record.started:
        lines.append(f"{record.old}: is OFFLINE, or shutting down. Continue: tscm-migrate resume {record.run}")
    return lines


def unreachable(m: Migration) -> list[str]:
    """Return a line for each appliance that has this run's lock and does not answer; each is tried once."""
    lines = []
    for one in m.reachable:
        if one.name not in m.journal.record.locked or (one is m.old and "take-offline" in m.journal.record.started):
            continue
        try:
            _ = one.shell
        except MigrateError as error:
            why = str(error).removeprefix(f"{one.name}: ")
            lines.append(
                f"{one.name}: was NOT REACHED at the end ({why}), and is still locked by this run; "
                f"once it answers: tscm-migrate run unlock {one.name}"
            )
    return lines


def lent_key(record: RunRecord) -> list[str]:
    """Return a line that names the temporary key of a direct transfer, if it may still be authorized."""
    key: dict[str, str] = record.notes.get("lent_key") or {}
    if not key:
        return []
    line = (
        f"{record.new}: the temporary key of the transfer may still be authorized ({key['file']}, comment "
        f"{key['mark']}, expires {key['expires']}); the private key is in {key['private']} on {record.old}; "
        f"remove both: tscm-migrate rollback {record.run}"
    )
    return [line]


def _rehearsing(record: RunRecord) -> list[str]:
    """Return a line that names what an unfinished rehearsal has left on the new appliance."""
    if "rehearse-restore" not in record.started or record.notes.get("rehearsal"):
        return []
    what = f"is in the rehearsal of the restore: it may have devices of {record.old}, and its updates are PAUSED"
    return [f"{record.new}: {what}; undo it: tscm-migrate rollback {record.run}"]


def left_in_plain_text(m: Migration) -> list[str]:
    """Return a line for each unencrypted archive made during a run that encrypts, with the command to remove it.

    For an old appliance that is offline, the archives seen after the backup count.
    """
    if m.passphrase is None or not m.options.encrypt:
        return []
    lines = []
    for one, facts in ((m.old, m.old_facts), (m.new, m.new_facts)):
        paths = m.get_note("left_plain", []) if one is m.old else []
        if one in m.reachable and one.connected:
            with contextlib.suppress(MigrateError):
                paths = leftovers.plain_archives(one, facts)
        lines += [
            f"{one.name}: {path} is NOT ENCRYPTED, and was made during this run; remove it: "
            f"{_login(one.host)} {quote(f'sudo rm -f {quote(path)}')}"
            for path in paths
        ]
    return lines


def _login(host: Host) -> str:
    port = f"-p {host.port} " if host.port != 22 else ""
    return f"ssh -t {port}{host.user}@{host.address}"


def remaining_state(m: Migration, engine: Engine) -> tuple[str, ...]:
    """Return a line for each appliance that is paused, offline or half-migrated, with the command that fixes it."""
    record = m.journal.record
    if all(step.id in record.done for step in engine.steps):
        return ()
    lines = []
    offline = "take-offline" in record.started
    paused = "hold-updates" in record.started and record.undo.get("hold-updates", {}).get("in_place", False)
    lines += lent_key(record)
    if paused:
        entry, aside = m.old.paths.cron_entry, f"{m.old.paths.hold_dir}/held/"
        lines.append(
            f"{m.old.name}: its updates are PAUSED ({entry} is in {aside}). Resume them: tscm-migrate rollback {m.run}"
        )
    lines += _rehearsing(record)
    if m.restore_source is not None and engine.cut_over:
        lines.append(
            f"{m.new.name}: is half-migrated, and serves neither as {m.old.name} nor as before. "
            f"Continue: tscm-migrate resume {m.run}"
        )
    if offline:
        itself = (
            f", and returns by itself after {duration_text(m.revert_after)}" if m.options.offline == "isolate" else ""
        )
        # After the start of a rollback a resume is not suggested.
        command = (
            f"Undo it: tscm-migrate rollback {m.run}" if record.reverted else f"Continue: tscm-migrate resume {m.run}"
        )
        lines.append(f"{m.old.name}: is OFFLINE, or shutting down{itself}. {command}")
    return tuple(lines)
