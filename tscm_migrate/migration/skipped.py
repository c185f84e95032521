"""Say why a step of a run had nothing to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tscm_migrate.migration.context import Migration


def _address_stays(m: Migration) -> str:
    return "" if m.restores_network else f"{m.new.name} keeps its own address"


def _no_devices(m: Migration) -> str:
    return "--devices none was given" if m.options.devices == "none" else "no source names a device"


_REASONS: dict[str, Callable[[Migration], str]] = {
    "update-packages": lambda m: "" if m.options.update_packages else "--update-packages was not given",
    "rehearse-restore": lambda m: "" if m.options.rehearsal else "--no-rehearsal was given",
    "snapshot": lambda m: "" if m.hooks.snapshot else "the inventory has no hook `snapshot`",
    "check-window": lambda m: "" if m.options.not_after else "--not-after was not given",
    "restore-network": _address_stays,
    "reboot": _address_stays,
    "come-back": _address_stays,
    "update-devices": _no_devices,
    "release-updates": lambda _: "there is no cron entry of updates to put in place",
}


def reason(m: Migration, step: str) -> str:
    """Return why `step` yielded no action.

    Args:
        m: the run.
        step: the step's id.
    """
    found = _REASONS.get(step)
    return (found(m) if found else "") or "it is done already"
