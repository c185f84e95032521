"""Make one backup of an appliance without a migration: no update runs meanwhile, encrypted, verified.

Nothing on the appliance is paused, so a backup that is killed leaves nothing to undo. An update that ran during the
backup is seen afterwards, and the backup is then made once more.
"""

from dataclasses import dataclass

from tscm_migrate.appliance import archives, cron_hold, facts
from tscm_migrate.appliance.appliance import Appliance
from tscm_migrate.archive.devices import recognise
from tscm_migrate.errors import BackupFailed
from tscm_migrate.events import Message
from tscm_migrate.migration import checks, locks
from tscm_migrate.model import Archive, Policy, Secret
from tscm_migrate.tsadmin import backup, devices
from tscm_migrate.tsadmin.session import Limits, OperatorPort

_ATTEMPTS = 3


@dataclass(frozen=True)
class Made:
    """A verified backup: its archive with the SHA-256, how many members it lists, and which devices are in it."""

    archive: Archive
    members: int
    devices: tuple[str, ...]


def make(
    appliance: Appliance, *, passphrase: Secret | None, interface: str | None, operator: OperatorPort, policy: Policy
) -> Made:
    """Wait until no update runs, make a backup, and prove that it can be opened.

    Without a passphrase it is not encrypted; without an interface, the inventory's is used, else that of its address.

    Raises:
        Locked: a run works on the appliance. DrainTimeout: an update does not end.
        BackupFailed: none could be made while no update ran, or it cannot be opened.
    """
    with locks.alone(appliance, "backup"):
        known = facts.gather(appliance)
        wanted = backup.BackupRequest(
            interface=checks.resolve_interface(known, appliance.host, interface), passphrase=passphrase,
            limits=Limits(policy.tsadmin_silence, policy.tsadmin_timeout),
        )  # fmt: skip
        archive = archives.hashed(appliance, _undisturbed(appliance, wanted, operator, policy))
        proof = archives.prove(appliance, archive, passphrase)
        if not proof.opened:
            raise BackupFailed(appliance.name, f"{archive.path} cannot be opened: {proof.why_not}")
        inside = recognise(proof.members, appliance.paths, listed=known.devices or ()).names
        return Made(archive, len(proof.members), inside)


def _undisturbed(appliance: Appliance, wanted: backup.BackupRequest, operator: OperatorPort, policy: Policy) -> Archive:
    for attempt in range(1, _ATTEMPTS + 1):
        cron_hold.drain(appliance, timeout=policy.drain_timeout)
        before = devices.file_hashes(appliance)
        made = backup.create(appliance, wanted, operator)
        running = cron_hold.look(appliance).running
        if not running and devices.file_hashes(appliance) == before:
            return made
        what = f"ts-update (pid {running[0].pid}) runs" if running else "device files have changed"
        text = f"{appliance.name}: {what} after the backup {made.name}; attempt {attempt} of {_ATTEMPTS}"
        appliance.emit(Message(text, "warning"))
    raise BackupFailed(
        appliance.name,
        f"an update ran during each of {_ATTEMPTS} backups; these archives are kept, and may contain a partial update",
    )
