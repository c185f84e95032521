"""End a run: undo or name what is left, remove locks and secrets, and report the final state."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from tscm_migrate import errors
from tscm_migrate.events import COMPLETED, UNCHANGED, Emit, Message, RunFinished
from tscm_migrate.migration import context, final_state, locks, saved_settings
from tscm_migrate.migration.engine import Engine

Following = tuple[tuple[str, ...], dict[str, Any]]  # what to do next, and figures: both for RunFinished
Ending = Literal["done", "attention", "failed", "cancelled", "interrupted", "rolled-back"]


def run_to_end(engine: Engine, began: float, first: Callable[[], object] = lambda: None) -> errors.Exit:
    """Run the steps, and report the final state whatever happens; also used by resume. Raises as `migrate`.

    `began` is in monotonic seconds. `first` is called before the first step; if it fails, no step is begun or undone.
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
    left = final_state.left_to_do(m.journal.record)
    end_run(engine, "attention" if left else "done", began, left)
    if left:
        raise errors.ManualStepsLeft(tuple(left))
    return errors.Exit.DONE


def _undo_rehearsal(engine: Engine, began: float) -> errors.Exit:
    """Undo every step of a run that only rehearses.

    Raises:
        RollbackIncomplete: a step could not be undone.
    """
    m = engine.m
    then, figures = final_state.after_rehearsal(m), final_state.estimated(m)  # the notes are undone as well
    try:
        with m.interrupts.rolling_back():
            failed = engine.roll_back()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the final state is reported in any case
        recover(engine, error, began, undo=False)
    end_run(engine, "interrupted" if failed else "rolled-back", began, rehearsed=None if failed else (then, figures))
    if failed:
        raise errors.RollbackIncomplete(tuple(f"{step}: {error}" for step, error in failed), m.run)
    return errors.Exit.DONE


def recover(engine: Engine, error: BaseException, began: float, *, undo: bool) -> NoReturn:
    """End a run after an error: undo everything before the cutover; after it, report how to resume and to roll back.

    Raises:
        Interrupted: by the operator, or the run has to be resumed or rolled back. Else the error itself.
    """
    m, begun_steps = engine.m, engine.to_roll_back()
    interrupted = isinstance(error, KeyboardInterrupt)
    reason = f"by {str(error) or 'the operator'}" if interrupted else str(error)
    if undo and begun_steps and _can_roll_back(engine):
        m.emit(Message(f"{f'interrupted {reason}; ' if interrupted else ''}undoing all changes", "warning"))
        reason += _roll_back(engine)
    if not engine.to_roll_back():
        lines = end_run(engine, _outcome(error), began, kept=_parts(engine, error))
        if interrupted:
            back = bool(m.journal.record.reverted)
            again = f"start again: tscm-migrate resume {m.run}" if back and not m.only_rehearsal else ""
            raise errors.Interrupted(lines[0], again) from error
        raise error
    end_run(engine, "interrupted", began)
    raise errors.Interrupted(reason, _what_to_do_after(m, error)) from error


def _roll_back(engine: Engine) -> str:
    """Undo all steps; return what prevented it as the end of a sentence, or ""."""
    try:
        with engine.m.interrupts.rolling_back():
            engine.roll_back()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the final state is reported in any case
        return f"; and while changes were undone: {str(error) or 'interrupted'}"
    return ""


def _what_to_do_after(m: context.Migration, error: BaseException) -> str:
    """Return how to continue or undo a run that could not be completed."""
    remedy = f"undo it: tscm-migrate rollback {m.run}"
    if not m.only_rehearsal:
        remedy = f"continue: tscm-migrate resume {m.run}; or {remedy}"
    if (
        isinstance(error, errors.MigrateError)
        and error.retry is errors.Retry.AFTER_REMEDY
        and (first := error.remedy())
    ):
        return f"{first}; then {remedy}"  # without it, a resume would fail at the same point
    return remedy


def _parts(engine: Engine, error: BaseException) -> tuple[str, ...]:
    """Remove partial files, unless another attempt can resume from them; then return a line that names them."""
    m = engine.m
    if "transfer" not in m.journal.record.reverted or not m.new.connected:
        return ()
    try:
        if isinstance(error, errors.TransferError) or not (size := final_state.parts(m.new)):
            final_state.clear_parts(m.new)
            return ()
    except errors.MigrateError as second:
        return (f"{m.new.name}: {m.new.paths.backup_dir} may have a partial file: {second}",)
    text = (
        f"{m.new.name}: {size / 1e6:.1f} MB of a partial file are kept in {m.new.paths.backup_dir} for the next attempt"
    )
    return (f"{text}; remove it: tscm-migrate rollback {m.run}",)


def end_run(
    engine: Engine, how: Ending, began: float, left: Sequence[str] = (), kept: tuple[str, ...] = (),
    *, rehearsed: Following | None = None,
) -> tuple[str, ...]:  # fmt: skip
    """Write and emit the end of the run; return the lines that name what is paused or offline, which are printed last.

    `rehearsed`: what follows a successful rehearsal.

    The locks are removed unless the run has to be resumed or rolled back; then they prevent another run.
    """
    m, record = engine.m, engine.m.journal.record
    lines = [] if engine.complete else final_state.remaining_state(record, m)
    waited = round(context.waited(m.operator), 3)
    own = round(time.monotonic() - began - waited, 3)
    completed = how in COMPLETED
    then, figures = rehearsed or _after(m, completed=completed)
    undone = not completed and not engine.to_roll_back()
    if undone:
        lines += final_state.unreachable(m)
    plain: list[str] = []
    try:
        plain = final_state.left_in_plain_text(m)
        _clean_up(engine, over=completed or undone, completed=completed)
        m.journal.write(
            "run-ended", outcome=how, standing=[*lines, *plain], left=list(left), next=list(then), seconds=own,
            asked=waited,
        )  # fmt: skip
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the end is reported in any case
        m.emit(Message(f"while ending the run: {error}", "warning"))
    if undone and not lines and not left:
        lines = ["all changes were undone", *kept] if record.reverted else [UNCHANGED]
    shown = (*lines, *plain)
    total = record.total_seconds or own
    m.emit(
        RunFinished(m.run, how, total, final_state.downtime(m), shown, tuple(left), next=then, asked=waited, **figures)
    )
    return shown


def _after(m: context.Migration, *, completed: bool) -> Following:
    return (final_state.next_steps(m), final_state.figures(m)) if completed else ((), {})


def _clean_up(engine: Engine, *, over: bool, completed: bool) -> None:
    """Remove secrets from both appliances; at the end of a run also the locks and settings that it has saved."""
    m = engine.m
    ours = [one for one in m.reachable if one.name in m.journal.record.locked]  # else they are another run's
    final_state.clear_secrets(*ours)
    if over:
        # After a completed run they are kept for its rollback; see `rollback.forget`.
        if m.new in ours and m.new.connected:
            undone = not completed and _may_have_rollback_data(engine)
            saved_settings.remove(m.new, rehearsal_only=not undone)
        locks.release(m)


@dataclass
class Preparation:
    """The part of a run before its journal exists; `over` is set then."""

    over: bool = False


@contextlib.contextmanager
def preparation(run: str, began: float, emit: Emit) -> Iterator[Preparation]:
    """Emit RunFinished also if the run ends before its journal exists; `began` is in monotonic seconds."""
    part = Preparation()
    try:
        yield part
    except BaseException as error:
        if not part.over:
            refused = isinstance(error, errors.Refused | errors.Locked | errors.UsageError)
            how = "refused" if refused else _outcome(error)
            emit(RunFinished(run, how, round(time.monotonic() - began, 3), held=(UNCHANGED,)))
            if isinstance(error, KeyboardInterrupt):
                raise errors.Interrupted(UNCHANGED) from error
        raise


def _outcome(error: BaseException) -> Literal["interrupted", "cancelled", "failed"]:
    """Return the outcome of a run that has ended with this error and has changed nothing, or undone everything."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return "cancelled" if isinstance(error, errors.Cancelled) else "failed"


def _may_have_rollback_data(engine: Engine) -> bool:
    """Whether this run may have saved settings for its rollback; else they belong to a later run."""
    return bool({"take-offline", "old-absent", "restore-network"} & engine.m.journal.record.undo.keys())


def _can_roll_back(engine: Engine) -> bool:
    """Whether everything can be undone automatically: before the cutover, or while the old appliance still answers."""
    if not engine.cut_over:
        return True
    begun = [step.id for step in engine.steps if step.cutover and step.id in engine.m.journal.record.started]
    if begun != ["take-offline"]:
        return False
    try:
        return engine.m.old.shell.alive
    except errors.MigrateError:
        return False
