"""End a run: undo or name what is left, remove locks and secrets, and report the final state."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn

from tscm_migrate.appliance.appliance import quote
from tscm_migrate.errors import (
    Exit,
    Interrupted,
    Locked,
    MigrateError,
    NeedsPerson,
    Refused,
    Retry,
    RollbackIncomplete,
    TransferError,
    UsageError,
)
from tscm_migrate.events import RunFinished, Said
from tscm_migrate.migration import completion, leftovers, locks, operator_time, saved_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tscm_migrate.events import Emit
    from tscm_migrate.migration.context import Migration
    from tscm_migrate.migration.engine import Engine
    from tscm_migrate.migration.journal import RunRecord
    from tscm_migrate.model import Host

    Ending = Literal["done", "attention", "failed", "interrupted", "rolled-back"]


def run_to_end(engine: Engine, began: float, first: Callable[[], object] = lambda: None) -> Exit:
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
        return _undo_rehearsal(engine, began)
    left = left_to_do(m)
    end_run(engine, "attention" if left else "done", began, left)
    if left:
        raise NeedsPerson(tuple(left))
    return Exit.DONE


def _undo_rehearsal(engine: Engine, began: float) -> Exit:
    """The end of a run that only rehearses.

    Raises:
        RollbackIncomplete: something could not be put back.
    """
    m = engine.m
    try:
        with m.interrupts.rolling_back():
            failed = engine.roll_back()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it was, how things stand is said
        recover(engine, error, began, put_back=False)
    end_run(engine, "interrupted" if failed else "rolled-back", began)
    if failed:
        raise RollbackIncomplete(tuple(f"{step}: {error}" for step, error in failed), m.run)
    return Exit.DONE


def recover(engine: Engine, error: BaseException, began: float, *, put_back: bool) -> NoReturn:
    """Before the cutover everything is put back; after it, what is held or offline is said with the way on and back.

    Raises:
        Interrupted: by the operator, or with something left as it should not stay. Else the error itself.
    """
    m, standing = engine.m, engine.to_roll_back()
    interrupted = isinstance(error, KeyboardInterrupt)
    reason = f"by {error}" if interrupted and str(error) else "by the operator" if interrupted else str(error)
    if put_back and standing and can_roll_back(engine):
        said = f"interrupted {reason}; " if interrupted else ""
        m.emit(Said(f"{said}putting everything back", "warning"))
        try:
            with m.interrupts.rolling_back():
                engine.roll_back()
        except (Exception, KeyboardInterrupt) as second:  # noqa: BLE001 - whatever it was, how things stand is said
            reason = f"{reason}; and while putting back: {str(second) or 'interrupted'}"
    if not engine.to_roll_back():
        lines = end_run(engine, "interrupted" if interrupted else "failed", began, kept=_parts(engine, error))
        if interrupted:
            back = bool(m.journal.record.reverted)
            again = f"start again: tscm-migrate resume {m.run}" if back and not m.only_rehearsal else ""
            raise Interrupted(lines[0], again) from error
        raise error
    end_run(engine, "interrupted", began)
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


def end_run(
    engine: Engine, how: Ending, began: float, left: Sequence[str] = (), kept: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Write and say how the run ended; the last thing printed, which is returned, names what is held or offline.

    The marks go from appliances that are as they were or as they should be; where something is left standing they
    stay, so that nobody begins another run over it.
    """
    m = engine.m
    lines = remaining_state(m, engine)
    waited = round(operator_time.waited(m.operator), 3)
    own = round(time.monotonic() - began - waited, 3)
    completed = how in {"done", "attention"}
    then = completion.next_steps(m, rollback_data=has_rollback_data(m.journal.record)) if completed else ()
    over = how in {"done", "attention"} or not engine.to_roll_back()
    if over and how not in {"done", "attention"}:
        lines = (*lines, *unreachable(m))
    plain: list[str] = []
    try:
        plain = left_in_plain_text(m)
        ours = [one for one in m.reachable if one.name in m.journal.record.locked]  # else they are another run's
        leftovers.clear_secrets(*ours)
        if over:
            # After a run that went through they stay, for a rollback of it wants them; see `forget`.
            if m.new in ours and m.new.connected:
                given_up = how not in {"done", "attention"} and may_have_rollback_data(engine)
                saved_settings.remove(m.new, rehearsal_only=not given_up)
            locks.release(m)
        m.journal.write(
            "run-ended", outcome=how, standing=[*lines, *plain], left=list(left), next=list(then), seconds=own,
            asked=waited,
        )  # fmt: skip
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last word is said whatever happens
        m.emit(Said(f"while ending the run: {error}", "warning"))
    if over and how in {"failed", "interrupted", "rolled-back"} and not lines and not left:
        lines = ("everything was put back", *kept) if m.journal.record.reverted else ("nothing was changed",)
    lines = (*lines, *plain)
    total = m.journal.record.total_seconds or own
    figures = completion.figures(m) if completed else {}
    m.emit(RunFinished(m.run, how, total, downtime(m), lines, tuple(left), next=then, asked=waited, **figures))
    return lines


@dataclass
class Preparation:
    """What comes before the first change; `over` is set when the journal is there."""

    over: bool = False


@contextlib.contextmanager
def preparation(run: str, began: float, emit: Emit) -> Iterator[Preparation]:
    """Whatever ends a run in its beginning is an end of it, too: watchers have heard that it started.

    Args:
        run: its id.
        began: monotonic seconds.
        emit: is told the end, unless the beginning is over by then.
    """
    part = Preparation()
    try:
        yield part
    except BaseException as error:
        if not part.over:
            refused = isinstance(error, Refused | Locked | UsageError)
            how = "refused" if refused else "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            emit(RunFinished(run, how, round(time.monotonic() - began, 3), held=("nothing was changed",)))  # type: ignore[arg-type]
        raise


def downtime(m: Migration) -> float | None:
    """Seconds from taking the old one offline until the last device was updated; None where it cannot be told."""
    began: float | None = m.get_note("offline_began")
    ended: float | None = m.get_note("online_at")
    if began is None or ended is None or ended < began:  # the clock was set back in between: it cannot be told
        return None
    return round(ended - began, 1)


def left_to_do(m: Migration) -> list[str]:
    """What a person has to see to, from the notes; empty when there is nothing."""
    left = [f"device {name}: {result['detail'] or 'its update failed'}"
            for name, result in sorted(m.get_note("devices", {}).items()) if not result["ok"]]  # fmt: skip
    if m.get_note("devices_unknown"):
        left.append("no source tells which devices there are: update each (tsadmin update NAME)")
    left += [
        f"check {m.new.name}: its restore printed {line!r}" for line in m.get_note("restored", {}).get("failures", ())
    ]
    left += [f"{row['name']}: was {row['was']}, is {row['has']}" for row in m.get_note("parity", []) if not row["same"]]
    if m.get_note("unconfirmed"):
        left.append(
            f"{m.old.name}: its timer could not be told; it stays away while {m.new.name} answers: power it off"
        )
    if m.get_note("unpinned") and not m.get_note("pinned"):
        where = f"once it is at {m.new.host.address} in the inventory: tscm-migrate host pin {m.new.name}"
        left.append(f"pin the keys of {m.new.name}: {m.get_note('unpinned')}; {where}")
    if m.options.bypass_netconf:
        names = ", ".join(sorted(m.get_note("devices", {}))) or "every device"
        left.append(f"point the logging of {names} to {m.new.host.address} (syslog, UDP 514)")
    return left


def has_rollback_data(record: RunRecord) -> bool:
    """Whether the new one still has its former settings in its keeping, for a rollback."""
    kept = [step for step in ("restore-network", "restore") if record.undo.get(step, {}).get("kept")]
    return any(step in record.started for step in kept) and not record.notes.get("forgotten")


def may_have_rollback_data(engine: Engine) -> bool:
    """Whether this run came so far that it may have kept them; else what is there is a later run's way back."""
    return bool({"take-offline", "old-absent", "restore-network"} & engine.m.journal.record.undo.keys())


def can_roll_back(engine: Engine) -> bool:
    """Whether everything can be taken back at once: before the cutover, or while the old one still answers."""
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
    """What a run that was killed has left, as far as its journal tells: a line for each, with the way on or back."""
    lines = []
    if "hold-updates" in record.started and record.undo.get("hold-updates", {}).get("in_place", False):
        lines.append(
            f"{record.old}: its updates are HELD, or about to be; to release: tscm-migrate rollback {record.run}"
        )
    lines += lent_key(record)
    lines += _rehearsing(record)
    if "take-offline" in record.started:
        lines.append(f"{record.old}: is OFFLINE, or about to be; to go on: tscm-migrate resume {record.run}")
    return lines


def unreachable(m: Migration) -> list[str]:
    """A line for each appliance that has this run's lock, should be there, and does not answer; each is tried once."""
    lines = []
    for one in m.reachable:
        if one.name not in m.journal.record.locked or (one is m.old and "take-offline" in m.journal.record.started):
            continue
        try:
            _ = one.shell
        except MigrateError as error:
            why = str(error).removeprefix(f"{one.name}: ")
            lines.append(
                f"{one.name}: was NOT REACHED at the end ({why}); this run's lock stays on it; "
                f"once it answers: tscm-migrate run unlock {one.name}"
            )
    return lines


def lent_key(record: RunRecord) -> list[str]:
    """The key of a transfer that may still be let in, on a line; empty where there is none."""
    key: dict[str, str] = record.notes.get("lent_key") or {}
    if not key:
        return []
    line = (
        f"{record.new}: a key for one transfer may still be let in ({key['file']}, comment {key['mark']}, expires "
        f"{key['expires']}); its private half is in {key['private']} on {record.old}; "
        f"to remove both: tscm-migrate rollback {record.run}"
    )
    return [line]


def _rehearsing(record: RunRecord) -> list[str]:
    """What an unfinished rehearsal has left on the new appliance."""
    if "rehearse-restore" not in record.started or record.notes.get("rehearsal"):
        return []
    what = f"is in the rehearsal of the restore: it may have devices of {record.old}, and its updates are PAUSED"
    return [f"{record.new}: {what}; to put it back: tscm-migrate rollback {record.run}"]


def left_in_plain_text(m: Migration) -> list[str]:
    """Return a line for each archive in plain text that came during a run that encrypts, with the command to remove it.

    An appliance that is not connected is not asked: of the old one, what was seen right after the backup counts.
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
            f"{one.name}: {path} is NOT ENCRYPTED, and came during this run; to remove it: "
            f"{_login(one.host)} {quote(f'sudo rm -f {quote(path)}')}"
            for path in paths
        ]
    return lines


def _login(host: Host) -> str:
    port = f"-p {host.port} " if host.port != 22 else ""
    return f"ssh -t {port}{host.user}@{host.address}"


def remaining_state(m: Migration, engine: Engine) -> tuple[str, ...]:
    """Every host that is not as it was and not as it should be, each with the command that mends it."""
    record = m.journal.record
    if all(step.id in record.done for step in engine.steps):
        return ()
    lines = []
    offline = "take-offline" in record.started
    held = "hold-updates" in record.started and record.undo.get("hold-updates", {}).get("in_place", False)
    lines += lent_key(record)
    if held:
        entry, aside = m.old.paths.cron_entry, f"{m.old.paths.hold_dir}/held/"
        lines.append(
            f"{m.old.name}: its updates are HELD ({entry} is in {aside}); to release: tscm-migrate rollback {m.run}"
        )
    lines += _rehearsing(record)
    if m.restore_source is not None and engine.cut_over:
        lines.append(
            f"{m.new.name}: is on its way to be {m.old.name}, and serves as neither; "
            f"to go on: tscm-migrate resume {m.run}"
        )
    if offline:
        itself = f", and comes back by itself after {m.revert_after:.0f} s" if m.options.offline == "isolate" else ""
        # Who has begun to go back is not told to go on.
        way = (
            f"to go back: tscm-migrate rollback {m.run}"
            if record.reverted
            else f"to go on: tscm-migrate resume {m.run}"
        )
        lines.append(f"{m.old.name}: is OFFLINE, or about to be{itself}; {way}")
    return tuple(lines)
