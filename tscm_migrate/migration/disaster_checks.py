"""Preflight where the old one is dead: what its backup says is doubted, and its address must be nobody's. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscm_migrate.migration import checks
from tscm_migrate.migration.checks import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tscm_migrate.migration.checks import PreflightInput


def told_by(s: PreflightInput) -> Iterator[Finding]:
    """Say what stands for the old one: parity can be compared with nothing else."""
    text = f"{s.old.name} is dead for this run: {s.old.told_by} stands for it; what was changed there later is lost"
    yield Finding("old-is-dead", "info", text)
    if not (s.old.devices or s.old.host_keys):
        text = (
            f"neither a device nor a host key was seen in the archive of {s.old.name}: there is little to compare with"
        )
        yield Finding("archive-unread", "warning", text)


def nobody_there(s: PreflightInput) -> Iterator[Finding]:
    """Two at one address break both: whoever answers there has to go first."""
    if s.answers and not s.options.bypass_netconf and not _has_it(s):
        text = f"somebody is at {s.old_host.address}, the address of {s.old.name}: {', '.join(s.answers)} answers"
        remedy = "switch it off; if it is the old one and alive, migrate from it: --from NAME"
        yield Finding("old-answers", "error", text, remedy, firm=True)


def _has_it(s: PreflightInput) -> bool:
    return s.old_host.address in {interface.address for interface in s.new.interfaces}


def whose_backup(s: PreflightInput) -> Iterator[Finding]:
    """A store is not trusted: what it gives has to be of the host that is meant."""
    keys = {key for _, key in s.old.host_keys}
    pinned = {key for _, key in s.pinned}
    same_key, same_address = bool(keys & pinned), s.old_host.address in s.inside
    if same_key or (same_address and not (keys and pinned)):
        return
    if keys and pinned:
        text = f"the archive has other host keys than those that known_hosts has of {s.old.name}"
        remedy = "name an archive of this host; or, where its keys were changed in between: --allow archive-other-keys"
        yield Finding("archive-other-keys", "error", text, remedy)
    elif s.inside:
        text = f"the archive is of a host at {', '.join(s.inside)}; {s.old.name} had {s.old_host.address}"
        remedy = "name an archive of this host; or, where its address was changed: --allow archive-other-address"
        yield Finding("archive-other-address", "error", text, remedy)


def keys_known(s: PreflightInput) -> Iterator[Finding]:
    """With SSH restored the new one shows the old one's keys; which those are has to be known before."""
    if s.options.restore_ssh and not (s.old.host_keys or s.pinned):
        text = f"the host keys of {s.old.name} are known neither from the archive nor from known_hosts"
        remedy = "put its line into known_hosts, from a copy of yours; or keep the new one's own keys: --no-restore-ssh"
        yield Finding("old-keys-unknown", "error", text, remedy, firm=True)


CHECKS = (
    told_by, nobody_there, whose_backup, keys_known, checks.sessions, checks.core_version, checks.core_order,
    checks.modules, checks.login_group, checks.operating_system, checks.disk, checks.interface, checks.clocks,
    checks.devices_on_new, checks.devices_asked, checks.address, checks.tools,
)  # fmt: skip
