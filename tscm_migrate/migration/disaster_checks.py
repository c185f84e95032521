"""Preflight checks for disaster recovery: the backup must be of the right host, and its address must be free. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscm_migrate.migration import checks
from tscm_migrate.migration.checks import Finding, PreflightInput

if TYPE_CHECKING:
    from collections.abc import Iterator


def backup_source(s: PreflightInput) -> Iterator[Finding]:
    """Report the backup that is restored: the new appliance can be compared with nothing else."""
    text = f"{s.old.name} is treated as dead: {s.old.told_by} is restored; later changes are lost"
    yield Finding("old-is-dead", "info", text)
    if not (s.old.devices or s.old.host_keys):
        text = (
            f"neither a device nor a host key was seen in the archive of {s.old.name}: there is little to compare with"
        )
        yield Finding("archive-unread", "warning", text)


def address_free(s: PreflightInput) -> Iterator[Finding]:
    """Refuse to start while a host answers at the old address."""
    if s.answers and not s.options.bypass_netconf and not _has_it(s):
        text = f"a host answers at {s.old_host.address}, the address of {s.old.name}: {', '.join(s.answers)}"
        remedy = "switch it off; if it is the old appliance, migrate from it: --from NAME"
        yield Finding("old-answers", "error", text, remedy, firm=True)


def _has_it(s: PreflightInput) -> bool:
    return s.old_host.address in {interface.address for interface in s.new.interfaces}


def whose_backup(s: PreflightInput) -> Iterator[Finding]:
    """Refuse a backup of another host: a store is not trusted."""
    keys = {key for _, key in s.old.host_keys}
    pinned = {key for _, key in s.pinned}
    same_key, same_address = bool(keys & pinned), s.old_host.address in s.inside
    if same_key or (same_address and not (keys and pinned)):
        return
    if keys and pinned:
        text = f"the archive has other host keys than those that known_hosts has of {s.old.name}"
        remedy = "name an archive of this host; or, if its keys were changed since: --allow archive-other-keys"
        yield Finding("archive-other-keys", "error", text, remedy)
    elif s.inside:
        text = f"the archive is of a host at {', '.join(s.inside)}; {s.old.name} had {s.old_host.address}"
        remedy = "name an archive of this host; or, if its address was changed: --allow archive-other-address"
        yield Finding("archive-other-address", "error", text, remedy)


def keys_known(s: PreflightInput) -> Iterator[Finding]:
    """Refuse --restore-ssh if the old host keys are unknown: the new appliance could not be identified by them."""
    if s.options.restore_ssh and not (s.old.host_keys or s.pinned):
        text = f"the host keys of {s.old.name} are known neither from the archive nor from known_hosts"
        remedy = "add its line to known_hosts from a copy; or keep the new appliance's own keys: --no-restore-ssh"
        yield Finding("old-keys-unknown", "error", text, remedy, firm=True)


CHECKS = (
    backup_source, address_free, whose_backup, keys_known, checks.sessions, checks.core_version, checks.core_order,
    checks.modules, checks.login_group, checks.operating_system, checks.disk, checks.interface, checks.clocks,
    checks.devices_on_new, checks.devices_asked, checks.address, checks.tools,
)  # fmt: skip
