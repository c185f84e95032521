"""Which steps a migration has, in order; and what the operator is told before being asked. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscm_migrate.migration.steps import (
    after,
    cutover,
    last_checks,
    offline,
    rehearse,
    rescue,
    staging,
)

if TYPE_CHECKING:
    from tscm_migrate.migration.context import Migration
    from tscm_migrate.migration.engine import Step


def steps(*, dead: bool = False) -> tuple[Step, ...]:
    """All steps in their order; a step that does not apply to a run yields no actions.

    Args:
        dead: the old one is, and is restored from what has outlived it: nothing is asked of it.
    """
    before = _of_the_dead() if dead else _of_the_living()
    return (
        *before,
        cutover.RestoreNetwork(),
        cutover.Reboot(),
        cutover.ComeBack(),
        cutover.Restore(),
        after.UpdateDevices(),
        after.ReleaseUpdates(),
        after.Parity(),
        after.Confirm(),
    )


def known() -> frozenset[str]:
    """The ids of all steps that there are."""
    return frozenset(step.id for dead in (False, True) for step in steps(dead=dead))


def steps_of(m: Migration) -> tuple[Step, ...]:
    """The steps of one run; of one that only rehearses, those up to the rehearsal."""
    found = steps(dead=m.restore_source is not None)
    last = next(number for number, step in enumerate(found, 1) if step.id == rehearse.RehearseRestore.id)
    return found[:last] if m.only_rehearsal else found


def _of_the_living() -> tuple[Step, ...]:
    return (
        staging.UpdatePackages(),
        staging.HoldUpdates(),
        staging.Backup(),
        staging.Transfer(),
        staging.Verify(),
        last_checks.Assure(),
        rehearse.RehearseRestore(),
        last_checks.CheckWindow(),
        offline.Snapshot(),
        offline.TakeOffline(),
    )


def _of_the_dead() -> tuple[Step, ...]:
    return (
        staging.UpdatePackages(),
        rescue.Fetch(),
        staging.Verify(),
        last_checks.CheckArchiveList(),
        rehearse.RehearseRestore(),
        last_checks.CheckWindow(),
        offline.Snapshot(),
        rescue.OldAbsent(),
    )


def summary(m: Migration) -> list[str]:
    """What is about to be done, as lines: who moves where, and every choice that was made for it."""
    o, old, new = m.options, m.old_facts, m.new_facts
    address = f"takes the address {m.old.host.address}" if m.restores_network else f"keeps {m.new.host.address}"
    ssh = "the old one's host keys" if o.restore_ssh else "its own host keys"
    cron = f"cron {'is' if o.restore_cron else 'is not'} restored"
    encryption = f"encrypted (passphrase from {m.passphrase.source})" if m.passphrase else "NOT encrypted"
    chosen = {"latest": "the newest archive", "all": "all archives"}.get(o.archive, f"the archive {o.archive}")
    archive = f"a fresh backup, {encryption}" if o.archive == "new" else chosen
    devices = (
        "unknown until the restore" if old.devices is None else f"{len(old.devices)} ({', '.join(old.devices[:8])})"
    )
    if m.restore_source is not None:
        sealed = f", encrypted (passphrase from {m.passphrase.source})" if m.passphrase else ""
        return [
            f"from  {m.restore_source.archive.folder}  {old.told_by}{sealed}",
            f"of    {m.old.name}  {m.old.host.address}  (dead)  TSCM-Core {old.core or 'unknown'}  {old.os_pretty}",
            f"to    {m.new.name}  {m.new.host.address}  TSCM-Core {new.core}  {new.os_pretty}",
            f"then  {m.new.name} {address} and has {ssh}; {cron}; devices: {devices}",
        ]
    return [
        f"from  {m.old.name}  {m.old.host.address}  TSCM-Core {old.core}  {old.os_pretty}",
        f"to    {m.new.name}  {m.new.host.address}  TSCM-Core {new.core}  {new.os_pretty}",
        f"moves {archive}; devices: {devices}",
        (f"then  {m.old.name} goes offline ({_leaving(m)}); {m.new.name} {address} and has {ssh}; {cron}"),
    ]


def _leaving(m: Migration) -> str:
    """How the old one goes, and whether it can come back by itself."""
    mode = m.options.offline
    if mode == "isolate":
        return f"isolate: it comes back by itself after {m.revert_after:.0f} s unless all went well"
    return f"{mode}, by the hook `{m.hooks.offline}`" if m.hooks.offline else mode
