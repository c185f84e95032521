"""Which steps a migration has, in order; and what the operator is told before being asked. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscm_migrate.migration.steps import after, assure, confirm, cutover, offline, packages, staging

if TYPE_CHECKING:
    from tscm_migrate.migration.context import Migration
    from tscm_migrate.migration.engine import Step


def steps() -> tuple[Step, ...]:
    """All steps in their order; a step that does not apply to a run yields no actions."""
    return (
        packages.UpdatePackages(),
        staging.HoldUpdates(),
        staging.Backup(),
        staging.Transfer(),
        staging.Verify(),
        assure.Assure(),
        offline.Snapshot(),
        offline.TakeOffline(),
        cutover.RestoreNetwork(),
        cutover.Reboot(),
        cutover.ComeBack(),
        cutover.Restore(),
        after.UpdateDevices(),
        after.ReleaseUpdates(),
        after.Parity(),
        confirm.Confirm(),
    )


def summary(m: Migration) -> list[str]:
    """What is about to be done, as lines: who moves where, and every choice that was made for it."""
    o, old, new = m.options, m.old_facts, m.new_facts
    address = f"takes the address {m.old.host.address}" if m.restores_network else f"keeps {m.new.host.address}"
    ssh = "the old one's host keys" if o.restore_ssh else "its own host keys"
    encryption = f"encrypted (passphrase from {m.passphrase.source})" if m.passphrase else "NOT encrypted"
    archive = f"a fresh backup, {encryption}" if o.archive == "new" else f"the archive {o.archive}"
    devices = (
        "unknown until the restore" if old.devices is None else f"{len(old.devices)} ({', '.join(old.devices[:8])})"
    )
    return [
        f"from  {m.old.name}  {m.old.host.address}  TSCM-Core {old.core}  {old.os_pretty}",
        f"to    {m.new.name}  {m.new.host.address}  TSCM-Core {new.core}  {new.os_pretty}",
        f"moves {archive}; devices: {devices}",
        (
            f"then  {m.old.name} goes offline ({_leaving(m)}); {m.new.name} {address} and has {ssh}; "
            f"cron {'is' if o.restore_cron else 'is not'} restored"
        ),
    ]


def _leaving(m: Migration) -> str:
    """How the old one goes, and whether it can come back by itself."""
    mode = m.options.offline
    if mode == "isolate":
        return f"isolate: it comes back by itself after {m.revert_after:.0f} s unless all went well"
    return f"{mode}, by the hook `{m.hooks.offline}`" if m.hooks.offline else mode
