"""What a run has left: files on an appliance, which are removed, and what the operator does next."""

import contextlib
import re
import time
from typing import Any

from tscm_migrate.appliance import archives, processes
from tscm_migrate.appliance.appliance import Appliance, quote
from tscm_migrate.appliance.facts import Facts
from tscm_migrate.errors import ApplianceError, MigrateError
from tscm_migrate.events import Message, Waiting
from tscm_migrate.migration import estimate
from tscm_migrate.migration.context import Migration
from tscm_migrate.migration.journal import RunRecord
from tscm_migrate.tsadmin import backup
from tscm_migrate.util.text import duration_text


def remaining_state(record: RunRecord, m: Migration | None = None) -> list[str]:
    """Return a line for each appliance that is paused, offline or half-migrated, with the command that fixes it.

    Args:
        record: of a run that has not ended.
        m: the run; None if it was killed and only its journal is known, so that its last change may not be done.
    """
    run, lines = record.run, lent_key(record)
    if "hold-updates" in record.started and record.undo.get("hold-updates", {}).get("in_place", False):
        where = f" ({m.old.paths.cron_entry} is in {m.old.paths.hold_dir}/held/)" if m else ", or about to be"
        lines.append(f"{record.old}: its updates are PAUSED{where}. Resume them: tscm-migrate rollback {run}")
    lines += _rehearsing(record)
    # After the start of a rollback a resume is not suggested.
    command = f"Undo it: tscm-migrate rollback {run}" if record.reverted else f"Continue: tscm-migrate resume {run}"
    if "kept" in record.notes and "restore-network" in record.started:
        lines.append(f"{record.new}: is half-migrated, and serves neither as {record.old} nor as before. {command}")
    if "take-offline" in record.started:
        isolated = m is not None and m.options.offline == "isolate"
        itself = f", and returns by itself after {duration_text(m.revert_after)}" if m and isolated else ""
        lines.append(f"{record.old}: is OFFLINE, or shutting down{itself}. {command}")
    return lines


def downtime(m: Migration) -> float | None:
    """Return the seconds from the old appliance's going offline to the last device update; None if unknown."""
    began: float | None = m.get_note("offline_began")
    ended: float | None = m.get_note("online_at")
    if began is None or ended is None or ended < began:  # the clock was set back meanwhile
        return None
    return round(ended - began, 1)


def left_to_do(record: RunRecord) -> list[str]:
    """Return what is left for the operator to do, as lines."""
    notes, old, new = record.notes, record.old, record.new
    address, left = notes.get("new_at") or notes.get("new_address", ""), _devices_to_update(notes)
    printed = (notes.get("restored") or {}).get("failures", ())
    left += [f"check {new}: its restore printed {line!r}" for line in printed]
    left += [f"{row['name']}: was {row['was']}, is {row['has']}" for row in notes.get("parity", []) if not row["same"]]
    if notes.get("unconfirmed"):
        left.append(f"{old}: its timer did not answer; it stays offline while {new} answers: power it off")
    if notes.get("unpinned") and not notes.get("pinned"):
        where = f"once it is at {address} in the inventory: tscm-migrate host pin {new}"
        left.append(f"pin the keys of {new}: {notes['unpinned']}; {where}")
    if record.options.get("bypass_netconf"):
        names = ", ".join(sorted(notes.get("devices", {}))) or "every device"
        left.append(f"point the logging of {names} to {address} (syslog, UDP 514)")
    return left


def _devices_to_update(notes: dict[str, Any]) -> list[str]:
    devices = sorted(notes.get("devices", {}).items())
    failed = [f"device {name}: {one.get('detail') or 'its update failed'}" for name, one in devices if not one["ok"]]
    unknown = ["the devices are unknown: update each of them (tsadmin update NAME)"]
    return failed + (unknown if notes.get("devices_unknown") else [])


def has_rollback_data(record: RunRecord) -> bool:
    """Whether the new appliance still has its former settings saved for a rollback."""
    kept = [step for step in ("restore-network", "restore") if record.undo.get(step, {}).get("kept")]
    return any(step in record.started for step in kept) and not record.notes.get("forgotten")


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
                paths = plain_archives(one, facts)
        lines += [
            f"{one.name}: {path} is NOT ENCRYPTED, and was made during this run; remove it: "
            + one.host.ssh(quote(f"sudo rm -f {quote(path)}"), terminal=True)
            for path in paths
        ]
    return lines


def figures(m: Migration) -> dict[str, Any]:
    """Return the fields of `RunFinished` that a completed migration has: address, devices and checks that are well."""
    devices, parity = m.get_note("devices", {}), m.get_note("parity", [])
    return {
        "host": m.new.name,
        "address": m.new.host.address,
        "devices": (sum(bool(result["ok"]) for result in devices.values()), len(devices)) if devices else None,
        "checks": (sum(bool(row["same"]) for row in parity), len(parity)) if parity else None,
        **estimated(m),
    }


def estimated(m: Migration) -> dict[str, float | None]:
    """Return the fields of `RunFinished` for the last estimate of the downtime before the cutover."""
    expected = estimate.before_cutover(m.journal.record.notes)
    return {
        "downtime_estimate": expected.get("downtime"),
        "downtime_least": expected.get("least"),
        "downtime_most": expected.get("most"),
    }


def after_rehearsal(m: Migration) -> tuple[str, ...]:
    """Return what the operator does after a successful rehearsal: prepare for the downtime, and migrate.

    A rehearsal for a change window is followed by the migration itself.
    """
    prepare = [f"prepare: {line}" for line in (m.get_note("rehearsal") or {}).get("prepare", [])]
    if m.options.has_window:
        return tuple(prepare)
    pair = f"--from {m.options.from_} --to {m.options.to}" if m.options.from_ else f"--to {m.options.to}"
    return (*prepare, f"migrate, with the options of this rehearsal: tscm-migrate migrate {pair}")


def next_steps(m: Migration) -> tuple[str, ...]:
    """Return what the operator does after a completed migration, in order."""
    old, new, run = m.old, m.new, m.run
    steps = []
    if m.get_note("inventory"):
        steps.append(f"record in the inventory that {new.name} has replaced {old.name}: tscm-migrate host adopt {run}")
    if m.restore_source is not None:
        if m.restores_network:
            steps.append(f"keep {old.name} off: {new.name} has its address {old.host.address} now")
    elif "take-offline" in m.journal.record.started:
        away = "powered off" if m.options.offline == "poweroff" else "offline"
        steps.append(
            f"keep {old.name} off: it is {away}, and its updates are paused "
            f"(only to undo the migration: tscm-migrate rollback {run})"
        )
    if has_rollback_data(m.journal.record):
        steps.append(f"when {new.name} works as it should, delete its rollback data: tscm-migrate run discard {run}")
    return tuple(steps)


STILL = 600.0  # seconds that a backup or restore may still run after its connection was lost


def clear_secrets(*appliances: Appliance) -> None:
    """Remove passphrase folders from connected appliances; warn of one that cannot be removed."""
    for appliance in appliances:
        if appliance.connected:
            try:
                backup.remove_leftovers(appliance)
            except MigrateError as error:
                where = f"{appliance.paths.tmpfs}/.tscm-migrate.*"
                appliance.emit(Message(f"{appliance.name}: {where} could not be removed: {error}", "warning"))


def parts(appliance: Appliance) -> int:
    """Return the size in bytes of the partial files of a transfer."""
    script = (
        f"find {quote(appliance.paths.backup_dir)} -maxdepth 1 -type f -name '.threatstop_*.part' "
        "-exec stat -c %s {} + 2>/dev/null || :"
    )
    listed = appliance.run(script, sudo=True, display="find partial files").stdout
    return sum(int(size) for size in re.findall(r"^[0-9]{1,18}$", listed, re.MULTILINE))


def clear_parts(appliance: Appliance) -> None:
    """Remove the partial files of a transfer; they are named `.ARCHIVE.part`."""
    script = (
        f"find {quote(appliance.paths.backup_dir)} -maxdepth 1 -type f -name '.threatstop_*.part' "
        "-exec rm -f {} + 2>/dev/null || :"
    )
    appliance.run(script, sudo=True, display="remove partial files")


def plain_archives(appliance: Appliance, before: Facts) -> list[str]:
    """Return the paths of the archives in plain text that were not there when the facts were gathered."""
    known = {archive.path for archive in before.archives}
    listed = archives.listed(appliance)
    return [archive.path for archive in listed if not archive.encrypted and archive.path not in known]


def settle(appliance: Appliance, *, timeout: float = STILL) -> None:
    """Wait until no backup or restore runs on the appliance, so that two never run at the same time.

    Raises:
        ApplianceError: one still runs after `timeout` seconds. ProcessesHidden: not every process can be seen.
    """
    began = time.monotonic()
    while running := _running(appliance):
        waited = time.monotonic() - began
        if waited > timeout:
            first = running[0]
            raise ApplianceError(
                appliance.name,
                f"pid {first.pid} still runs after {first.elapsed} s: {first.args[:120]}; end it there",
            )
        appliance.emit(Waiting(f"for pid {running[0].pid} to end", waited, timeout, appliance.name))
        time.sleep(1.0)


def end_restores(appliance: Appliance, *, within: float) -> None:
    """Wait for a restore whose terminal was closed; kill it after `within` seconds. The appliance has to be locked."""
    try:
        settle(appliance, timeout=within)
    except ApplianceError:
        for signal in ("TERM", "KILL"):
            pids = " ".join(str(process.pid) for process in _running(appliance))
            if pids:
                appliance.run(
                    f"kill -{signal} {pids}; sleep 2", sudo=True, check=False, display=f"kill -{signal} {pids}"
                )
        settle(appliance, timeout=within)


def _running(appliance: Appliance) -> list[processes.Process]:
    seen = processes.look(appliance, "does a backup or restore run?")
    everything = list(seen.processes)
    tsadmin = processes.updates_among(everything, seen.own, appliance.paths.tsadmin.rsplit("/", 1)[-1])
    ts_backup = processes.updates_among(everything, seen.own, appliance.paths.ts_backup.rsplit("/", 1)[-1])
    return [p for p in tsadmin if {"backup", "restore"} & set(p.args.split())] + ts_backup
