"""The steps of a migration in their order, and the summary that the operator confirms. Pure."""

from tscm_migrate.migration import estimate
from tscm_migrate.migration.context import Migration
from tscm_migrate.migration.engine import Step
from tscm_migrate.migration.steps import after, cutover, last_checks, offline, rehearse, second_pass, staging
from tscm_migrate.util.text import duration_text, listed, range_text


def steps(*, dead: bool = False) -> tuple[Step, ...]:
    """Return all steps in their order, or those of disaster recovery; one that does not apply yields no actions."""
    before = _of_the_dead() if dead else _of_the_living()
    return (
        *before,
        cutover.RestoreNetwork(),
        cutover.Reboot(),
        cutover.ComeBack(),
        second_pass.Restore(),
        after.UpdateDevices(),
        after.ReleaseUpdates(),
        after.Parity(),
        after.Confirm(),
    )


def outline(*, dead: bool, only_rehearsal: bool = False) -> tuple[tuple[str, str], ...]:
    """Return ids and titles of a run's steps, in order; see `steps` and `steps_of`."""
    chosen = steps(dead=dead)
    return tuple((step.id, step.title) for step in (_to_rehearsal(chosen) if only_rehearsal else chosen))


def known() -> frozenset[str]:
    """Return the ids of all steps."""
    return frozenset(step.id for dead in (False, True) for step in steps(dead=dead))


def steps_of(m: Migration) -> tuple[Step, ...]:
    """Return the steps of one run; of one that only rehearses, those up to the rehearsal."""
    chosen = steps(dead=m.restore_source is not None)
    return _to_rehearsal(chosen) if m.only_rehearsal else chosen


def _to_rehearsal(chosen: tuple[Step, ...]) -> tuple[Step, ...]:
    last = next(number for number, step in enumerate(chosen, 1) if step.id == rehearse.RehearseRestore.id)
    return chosen[:last]


def _of_the_living() -> tuple[Step, ...]:
    return (
        staging.UpdatePackages(),
        staging.HoldUpdates(),
        staging.Backup(),
        staging.Transfer(),
        staging.Verify(),
        last_checks.Assure(),
        rehearse.RehearseRestore(),
        last_checks.PrepareNetwork(),
        last_checks.CheckWindow(),
        offline.Snapshot(),
        offline.TakeOffline(),
    )


def _of_the_dead() -> tuple[Step, ...]:
    return (
        staging.UpdatePackages(),
        staging.Fetch(),
        staging.Verify(),
        last_checks.CheckArchiveList(),
        rehearse.RehearseRestore(),
        last_checks.CheckWindow(),
        offline.Snapshot(),
        staging.OldAbsent(),
    )


def summary(m: Migration) -> list[str]:
    """Return the summary of a run as lines: the appliances, and every choice that was made."""
    o, old, new = m.options, m.old_facts, m.new_facts
    address = f"takes the address {m.old.host.address}" if m.restores_network else f"keeps {m.new.host.address}"
    ssh = "the old appliance's host keys" if o.restore_ssh else "its own host keys"
    cron = f"cron {'is' if o.restore_cron else 'is not'} restored"
    encryption = f"encrypted (passphrase from {m.passphrase.source})" if m.passphrase else "NOT encrypted"
    chosen = {"latest": "the newest archive", "all": "all archives"}.get(o.archive, f"the archive {o.archive}")
    archive = f"a fresh backup, {encryption}" if o.archive == "new" else chosen
    devices = "unknown until the restore" if old.devices is None else f"{len(old.devices)} ({listed(old.devices)})"
    if m.restore_source is not None:
        protected = f", encrypted (passphrase from {m.passphrase.source})" if m.passphrase else ""
        return [
            f"from  {m.restore_source.archive.folder}  {old.told_by}{protected}",
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


def consequence(m: Migration) -> str:
    """Return what goes offline and for how long, as it is shown above the question before a migration."""
    devices = m.old_facts.devices
    served = "" if devices is None else f" of its {len(devices)} devices ({listed(devices)})"
    expected = estimate.before_cutover(m.journal.record.notes)
    text = range_text(expected.get("downtime"), expected.get("least"), expected.get("most"))
    about = f"estimated downtime{served}: {text}"
    if m.restore_source is not None:
        return f"{m.new.name} takes the place of {m.old.name}; {about}, from the start of the restore"
    return f"{m.old.name} goes offline and is replaced by {m.new.name}; {about}"


def _leaving(m: Migration) -> str:
    """Describe how the old appliance goes offline, and whether it returns by itself."""
    mode = m.options.offline
    if mode == "isolate":
        return f"isolate: it returns by itself after {duration_text(m.revert_after)} unless the migration succeeds"
    return f"{mode}, by the hook `{m.hooks.offline}`" if m.hooks.offline else mode
