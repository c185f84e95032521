"""The end of a completed migration: the figures that prove it, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tscm_migrate.appliance import device_discovery
from tscm_migrate.migration import estimate

if TYPE_CHECKING:
    from tscm_migrate.migration.context import Migration
    from tscm_migrate.migration.parity import After, Before


def figures(m: Migration) -> dict[str, Any]:
    """Return the fields of `RunFinished` that a completed migration has: address, devices and checks that are well."""
    devices, parity = m.get_note("devices", {}), m.get_note("parity", [])
    expected = estimate.before_cutover(m.journal.record.notes)
    return {
        "host": m.new.name,
        "address": m.new.host.address,
        "devices": (sum(bool(result["ok"]) for result in devices.values()), len(devices)) if devices else None,
        "checks": (sum(bool(row["same"]) for row in parity), len(parity)) if parity else None,
        "downtime_estimate": expected.get("downtime"),
        "downtime_least": expected.get("least"),
        "downtime_most": expected.get("most"),
    }


def next_steps(m: Migration, *, rollback_data: bool) -> tuple[str, ...]:
    """Return what the operator does after a completed migration, in order.

    Args:
        m: the run.
        rollback_data: whether the new appliance still has its former settings.
    """
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
    if rollback_data:
        steps.append(f"when {new.name} works as it should, delete its rollback data: tscm-migrate run discard {run}")
    return tuple(steps)


def device_table(before: Before, after: After) -> dict[str, dict[str, str]]:
    """Compare each device on the old appliance with the same one on the new appliance.

    Returns:
        By device name: `before` and `now` ("present", "missing", or "" where no list was to be had), and `files`, how
        many of its files are the same.
    """
    was, has = before.old.devices, after.new.devices
    names = {*(was or ()), *(has or ())}
    return {
        name: {
            "before": "" if was is None else "present" if name in was else "missing",
            "now": "" if has is None else "present" if name in has else "missing",
            "files": _files(name, before, after),
        }
        for name in sorted(names)
    }


def _files(name: str, before: Before, after: After) -> str:
    own = {path: digest for path, digest in before.files.items() if name in device_discovery.in_tree([path])}
    same = sum(after.files.get(path) == digest for path, digest in own.items())
    return f"{same} of {len(own)} the same" if own else ""
