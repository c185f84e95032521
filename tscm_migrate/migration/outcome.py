"""How things stand at the end of a run: what is left for a person, what is held or offline, how long nobody served."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tscm_migrate.appliance import archives
from tscm_migrate.appliance.appliance import quote
from tscm_migrate.errors import Locked, MigrateError, Refused, UsageError
from tscm_migrate.events import RunFinished

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.appliance.facts import Facts
    from tscm_migrate.events import Emit
    from tscm_migrate.migration.context import Migration
    from tscm_migrate.migration.engine import Engine
    from tscm_migrate.migration.record import Record
    from tscm_migrate.model import Host


@dataclass
class Beginning:
    """What comes before the first change; `over` is set when the journal is there."""

    over: bool = False


@contextlib.contextmanager
def beginning(run: str, began: float, emit: Emit) -> Iterator[Beginning]:
    """Whatever ends a run in its beginning is an end of it, too: watchers have heard that it started.

    Args:
        run: its id.
        began: monotonic seconds.
        emit: is told the end, unless the beginning is over by then.
    """
    part = Beginning()
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
    began: float | None = m.noted("offline_began")
    ended: float | None = m.noted("online_at")
    if began is None or ended is None or ended < began:  # the clock was set back in between: it cannot be told
        return None
    return round(ended - began, 1)


def left_to_do(m: Migration) -> list[str]:
    """What a person has to see to, from the notes; empty when there is nothing."""
    left = [f"device {name}: {result['detail'] or 'its update failed'}"
            for name, result in sorted(m.noted("devices", {}).items()) if not result["ok"]]  # fmt: skip
    if m.noted("devices_unknown"):
        left.append("no source tells which devices there are: update each (tsadmin update NAME)")
    left += [
        f"check {m.new.name}: its restore printed {line!r}" for line in m.noted("restored", {}).get("failures", ())
    ]
    left += [f"{row['name']}: was {row['was']}, is {row['has']}" for row in m.noted("parity", []) if not row["same"]]
    if m.noted("unconfirmed"):
        left.append(
            f"{m.old.name}: its timer could not be told; it stays away while {m.new.name} answers: power it off"
        )
    if m.noted("unpinned") and not m.noted("pinned"):
        where = f"once it is at {m.new.host.address} in the inventory: tscm-migrate host pin {m.new.name}"
        left.append(f"pin the keys of {m.new.name}: {m.noted('unpinned')}; {where}")
    if m.options.bypass_netconf:
        names = ", ".join(sorted(m.noted("devices", {}))) or "every device"
        left.append(f"point the logging of {names} to {m.new.host.address} (syslog, UDP 514)")
    return left


def kept_settings(record: Record) -> bool:
    """Whether the new one still has its former settings in its keeping, for a rollback."""
    kept = [step for step in ("restore-network", "restore") if record.undo.get(step, {}).get("kept")]
    return any(step in record.started for step in kept) and not record.notes.get("forgotten")


def may_have_kept(engine: Engine) -> bool:
    """Whether this run came so far that it may have kept them; else what is there is a later run's way back."""
    return bool({"take-offline", "old-absent", "restore-network"} & engine.m.journal.record.undo.keys())


def can_put_back(engine: Engine) -> bool:
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


def left_standing(record: Record) -> list[str]:
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


def not_reached(m: Migration) -> list[str]:
    """A line for each appliance that has this run's lock, should be there, and does not answer; each is tried once."""
    lines = []
    for one in m.there:
        if one.name not in m.journal.record.locked or (one is m.old and "take-offline" in m.journal.record.started):
            continue
        try:
            _ = one.shell
        except MigrateError as error:
            why = str(error).removeprefix(f"{one.name}: ")
            lines.append(
                f"{one.name}: was NOT REACHED at the end ({why}); this run's lock stays on it; "
                f"once it answers: tscm-migrate unlock {one.name}"
            )
    return lines


def lent_key(record: Record) -> list[str]:
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


def _rehearsing(record: Record) -> list[str]:
    """What an unfinished rehearsal has left on the new appliance."""
    if "rehearse-restore" not in record.started or record.notes.get("rehearsal"):
        return []
    what = f"is in the rehearsal of the restore: it may have devices of {record.old}, and its updates are PAUSED"
    return [f"{record.new}: {what}; to put it back: tscm-migrate rollback {record.run}"]


def plain_archives(appliance: Appliance, before: Facts) -> list[str]:
    """Return the paths of the archives in plain text that were not there when the facts were gathered."""
    known = {archive.path for archive in before.archives}
    found = archives.listed(appliance)
    return [archive.path for archive in found if not archive.encrypted and archive.path not in known]


def left_in_plain_text(m: Migration) -> list[str]:
    """Return a line for each archive in plain text that came during a run that encrypts, with the command to remove it.

    An appliance that is not connected is not asked: of the old one, what was seen right after the backup counts.
    """
    if m.passphrase is None or not m.options.encrypt:
        return []
    lines = []
    for one, facts in ((m.old, m.old_facts), (m.new, m.new_facts)):
        paths = m.noted("left_plain", []) if one is m.old else []
        if one in m.there and one.connected:
            with contextlib.suppress(MigrateError):
                paths = plain_archives(one, facts)
        lines += [
            f"{one.name}: {path} is NOT ENCRYPTED, and came during this run; to remove it: "
            f"{_login(one.host)} {quote(f'sudo rm -f {quote(path)}')}"
            for path in paths
        ]
    return lines


def _login(host: Host) -> str:
    port = f"-p {host.port} " if host.port != 22 else ""
    return f"ssh -t {port}{host.user}@{host.address}"


def standing(m: Migration, engine: Engine) -> tuple[str, ...]:
    """Every host that is not as it was and not as it should be, each with the command that mends it."""
    record = m.journal.record
    lines = []
    offline = "take-offline" in record.started
    held = "hold-updates" in record.started and record.undo.get("hold-updates", {}).get("in_place", False)
    finished = all(step.id in record.done for step in engine.steps)
    if finished:
        if m.kept is not None and m.restores_network:
            lines.append(f"{m.old.name} was dead: should it ever come back, it must not be at {m.old.host.address}")
        if offline:
            lines.append(
                f"{m.old.name} is off the network and its updates are held, on purpose: "
                f"should it ever come back, run: tscm-migrate rollback {m.run}"
            )
        if kept_settings(record):
            lines.append(
                f"{m.new.name}: what it was before (settings, host keys, devices) is kept on it for a rollback; "
                f"once that is not wanted any more: tscm-migrate forget {m.run}"
            )
        return tuple(lines)
    lines += lent_key(record)
    if held:
        entry, aside = m.old.paths.cron_entry, f"{m.old.paths.hold_dir}/held/"
        lines.append(
            f"{m.old.name}: its updates are HELD ({entry} is in {aside}); to release: tscm-migrate rollback {m.run}"
        )
    lines += _rehearsing(record)
    if m.kept is not None and engine.cut_over:
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
