"""How a run ends: the steps are run, and whatever happens, what is put back or left standing is known and said."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal, NoReturn

from tscm_migrate.errors import (
    Exit,
    Interrupted,
    MigrateError,
    NeedsPerson,
    Retry,
    RollbackIncomplete,
    TransferError,
)
from tscm_migrate.events import RunFinished, Said
from tscm_migrate.migration import leftovers, locks, outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tscm_migrate.migration.engine import Engine

    Ending = Literal["done", "attention", "failed", "interrupted", "rolled-back"]


def carry_out(engine: Engine, began: float, first: Callable[[], object] = lambda: None) -> Exit:
    """Run the steps, and end in a state that is known and said; also used by resume.

    Args:
        engine: with the migration.
        began: monotonic seconds.
        first: what has to go well before the first step; where it fails, no step is begun and none taken back.

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
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - a defect of ours too must leave nobody in the dark
        recover(engine, error, began, put_back=ready)
    if m.only_rehearsal:
        return _put_back(engine, began)
    left = outcome.left_to_do(m)
    end(engine, "attention" if left else "done", began, left)
    if left:
        raise NeedsPerson(tuple(left))
    return Exit.DONE


def _put_back(engine: Engine, began: float) -> Exit:
    """The end of a run that only rehearses.

    Raises:
        RollbackIncomplete: something could not be put back.
    """
    m = engine.m
    try:
        with m.interrupts.putting_back():
            failed = engine.roll_back()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it was, how things stand is said
        recover(engine, error, began, put_back=False)
    end(engine, "interrupted" if failed else "rolled-back", began)
    if failed:
        raise RollbackIncomplete(tuple(f"{step}: {error}" for step, error in failed), m.run)
    return Exit.DONE


def recover(engine: Engine, error: BaseException, began: float, *, put_back: bool) -> NoReturn:
    """Before the cutover everything is put back; after it, what is held or offline is said with the way on and back.

    Raises:
        Interrupted: by the operator, or with something left as it should not stay. Else the error itself.
    """
    m, standing = engine.m, engine.to_put_back()
    interrupted = isinstance(error, KeyboardInterrupt)
    reason = f"by {error}" if interrupted and str(error) else "by the operator" if interrupted else str(error)
    if put_back and standing and outcome.can_put_back(engine):
        said = f"interrupted {reason}; " if interrupted else ""
        m.emit(Said(f"{said}putting everything back", "warning"))
        try:
            with m.interrupts.putting_back():
                engine.roll_back()
        except (Exception, KeyboardInterrupt) as second:  # noqa: BLE001 - whatever it was, how things stand is said
            reason = f"{reason}; and while putting back: {str(second) or 'interrupted'}"
    if not engine.to_put_back():
        lines = end(engine, "interrupted" if interrupted else "failed", began, kept=_parts(engine, error))
        if interrupted:
            back = bool(m.journal.record.reverted)
            again = f"start again: tscm-migrate resume {m.run}" if back and not m.only_rehearsal else ""
            raise Interrupted(lines[0], again) from error
        raise error
    end(engine, "interrupted", began)
    ways = f"go back: tscm-migrate rollback {m.run}"
    if not m.only_rehearsal:
        ways = f"go on: tscm-migrate resume {m.run}; or {ways}"
    if isinstance(error, MigrateError) and error.retry is Retry.AFTER_REMEDY and (first := error.remedy()):
        ways = f"{first}; then {ways}"  # without it, a resume would only come to the same point again
    raise Interrupted(reason, ways) from error


def _parts(engine: Engine, error: BaseException) -> tuple[str, ...]:
    """Remove unfinished copies, unless another attempt can resume from them: then a line that names them."""
    m = engine.m
    if "transfer" not in m.journal.record.reverted or not m.new.connected:
        return ()
    try:
        if isinstance(error, TransferError) or not (size := leftovers.parts(m.new)):
            leftovers.clear_parts(m.new)
            return ()
    except MigrateError as second:
        return (f"{m.new.name}: {m.new.paths.backup_dir} may have an unfinished copy: {second}",)
    text = (
        f"{m.new.name}: {size / 1e6:.1f} MB of an unfinished copy stay in {m.new.paths.backup_dir} for a next attempt"
    )
    return (f"{text}; to remove them: tscm-migrate rollback {m.run}",)


def end(
    engine: Engine, how: Ending, began: float, left: Sequence[str] = (), kept: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Write and say how the run ended; the last thing printed, which is returned, names what is held or offline.

    The marks go from appliances that are as they were or as they should be; where something is left standing they
    stay, so that nobody begins another run over it.
    """
    m = engine.m
    lines = outcome.standing(m, engine)
    over = how in {"done", "attention"} or not engine.to_put_back()
    if over and how not in {"done", "attention"}:
        lines = (*lines, *outcome.not_reached(m))
    plain: list[str] = []
    try:
        plain = outcome.left_in_plain_text(m)
        ours = [one for one in m.there if one.name in m.journal.record.locked]  # else they are another run's
        leftovers.clear_secrets(*ours)
        if over:
            # After a run that went through they stay, for a rollback of it wants them; see `forget`.
            if m.new in ours and m.new.connected:
                given_up = how not in {"done", "attention"} and outcome.may_have_kept(engine)
                leftovers.clear_settings(m.new, rehearsal_only=not given_up)
            locks.release(m)
        m.journal.write("run-ended", outcome=how, standing=[*lines, *plain], left=list(left))
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last word is said whatever happens
        m.emit(Said(f"while ending the run: {error}", "warning"))
    if over and how in {"failed", "interrupted", "rolled-back"} and not lines and not left:
        lines = ("everything was put back", *kept) if m.journal.record.reverted else ("nothing was changed",)
    lines = (*lines, *plain)
    m.emit(RunFinished(m.run, how, round(time.monotonic() - began, 3), outcome.downtime(m), lines, tuple(left)))
    return lines
