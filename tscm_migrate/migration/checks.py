"""Preflight checks: reasons not to start, from the facts of both appliances and the options. Pure."""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Literal, TypeAlias

from tscm_migrate.appliance.facts import SESSIONS, Facts
from tscm_migrate.appliance.parsers import version_key
from tscm_migrate.archive.select import newest
from tscm_migrate.errors import UsageError
from tscm_migrate.events import Checked
from tscm_migrate.inventory.inventory import is_ip
from tscm_migrate.model import Host
from tscm_migrate.options import MigrateOptions
from tscm_migrate.transfer import routing
from tscm_migrate.util.text import suggestion

OLDEST_CORE = "1.47"
CLOCK_LIMIT = 300.0  # seconds
_RED_HAT = {"rhel", "centos"}  # images of both exist for release 7; a release's updates are one base system
_SLACK = 4 << 20  # bytes beyond what the archive itself takes


@dataclass(frozen=True)
class Finding:
    """The result of a check. `firm`: an error that --allow cannot override, because the migration would fail."""

    name: str
    severity: Literal["ok", "info", "warning", "error"]
    text: str
    remedy: str = ""
    firm: bool = False


def checked(finding: Finding, allow: Collection[str]) -> Checked:
    """Return the event of a finding; `allow`: the names that were given to --allow."""
    allowed = finding.name in allow and not finding.firm and finding.severity != "ok"
    return Checked(finding.name, finding.severity, finding.text, finding.remedy, allowed, finding.firm)


@dataclass(frozen=True)
class PreflightInput:
    """The input of the checks; the last three are of a dead old appliance: see `gather_facts.HostSurvey`."""

    old: Facts
    new: Facts
    old_host: Host
    new_host: Host
    options: MigrateOptions
    answers: tuple[str, ...] = ()
    pinned: tuple[tuple[str, str], ...] = ()
    inside: tuple[str, ...] = ()

    @property
    def reachable(self) -> tuple[tuple[Facts, Host], ...]:
        """The appliances whose facts were read from themselves; of a dead one they are from its backup."""
        both = ((self.old, self.old_host), (self.new, self.new_host))
        return tuple(one for one in both if not one[0].told_by)


Check: TypeAlias = "Callable[[PreflightInput], Iterator[Finding]]"


def same_host(s: PreflightInput) -> Iterator[Finding]:
    """Refuse two names of the same machine."""
    where = (s.old_host.address, s.old_host.port) == (s.new_host.address, s.new_host.port)
    if where or (s.old.boot and s.old.boot == s.new.boot and s.old.hostname == s.new.hostname):
        text = f"{s.old.name} and {s.new.name} are the same machine"
        yield Finding("same-host", "error", text, "name two different hosts with --from and --to", firm=True)


def sessions(s: PreflightInput) -> Iterator[Finding]:
    """Warn of an sshd with a small MaxSessions: fewer devices are updated at the same time."""
    for facts, host in s.reachable:
        if 0 < facts.sessions < SESSIONS:
            text = (
                f"{facts.name}'s sshd allows {facts.sessions} sessions on a connection (MaxSessions): fewer devices "
                "are updated at the same time"
            )
            yield Finding(
                "sessions", "warning", text, f"MaxSessions 10 in sshd_config of {host.address} makes it faster"
            )


def core_version(s: PreflightInput) -> Iterator[Finding]:
    """Refuse a TSCM-Core before 1.47, which has no backup and restore; versions are compared as numbers."""
    yield from _before_upgrade(s, _cores(*(facts for facts, _ in s.reachable)))


def _before_upgrade(s: PreflightInput, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Turn errors that --update-packages may fix into warnings; versions are checked again after the upgrade."""
    for finding in findings:
        soft = s.options.update_packages and finding.severity == "error"
        yield replace(finding, severity="warning") if soft else finding


def _cores(*known: Facts) -> Iterator[Finding]:
    for facts in known:
        if not version_key(facts.core):
            reason = f" ({facts.version_error})" if facts.version_error else ""
            text = f"{facts.name} does not report its TSCM-Core version{reason}"
            yield Finding("version-unknown", "error", text, "check there: tsadmin version --all")
        elif version_key(facts.core) < version_key(OLDEST_CORE):
            text = f"{facts.name} has TSCM-Core {facts.core}; backup and restore need {OLDEST_CORE} or newer"
            yield Finding(
                "core-too-old",
                "error",
                text,
                "update it (sudo apt-get update && sudo apt-get dist-upgrade -y), or: --update-packages",
            )


def versions(old: Facts, new: Facts) -> list[Finding]:
    """Run the checks of versions alone, after an upgrade."""
    return [*_cores(*(one for one in (old, new) if not one.told_by)), *_order(old, new)]


def core_order(s: PreflightInput) -> Iterator[Finding]:
    """Refuse a restore into an older version."""
    yield from _before_upgrade(s, _order(s.old, s.new))


def _order(was: Facts, now: Facts) -> Iterator[Finding]:
    old, new = version_key(was.core), version_key(now.core)
    if old and new and new < old:
        text = f"{now.name} has TSCM-Core {now.core}, older than {was.core} on {was.name}"
        yield Finding("new-is-older", "error", text, f"update {now.name} first, or: --update-packages")


def login_group(s: PreflightInput) -> Iterator[Finding]:
    """Warn of a login other than root that is not in the group threatstop: tsadmin may refuse it."""
    for facts, host in s.reachable:
        if facts.vendor_group and facts.user not in ("root", "threatstop") and "threatstop" not in facts.groups:
            text = f"{host.user} is not in the group threatstop on {facts.name}: tsadmin may refuse to work for it"
            remedy = f"sudo usermod -aG threatstop {host.user} (on {facts.name}, then log in again)"
            yield Finding("login-group", "warning", text, remedy)


def modules(s: PreflightInput) -> Iterator[Finding]:
    """Warn of each module that the new appliance lacks: it cannot serve the devices of that module."""
    for module in lacking(s.old, s.new):
        text = f"{s.new.name} lacks the module {module} that {s.old.name} has"
        yield Finding("module-missing", "warning", text, f"install it on {s.new.name}; see: tsadmin version --all")


def lacking(old: Facts, new: Facts) -> list[str]:
    """List the modules of the old appliance that the new lacks; none if the new appliance lists no modules."""
    has = {module.lower() for module, _ in new.versions}
    return [module for module, _ in old.versions if has and module.lower() not in has | {"tscm-core"}]


def dns_outage(s: PreflightInput) -> Iterator[Finding]:
    """Warn that clients which resolve names through the old appliance have no DNS during the downtime."""
    if s.old.dns_server:
        why = ", ".join(s.old.dns_server)
        text = f"{s.old.name} is a DNS server ({why}): the downtime is a DNS outage for its clients"
        remedy = "choose the time with them, or give them a second DNS server first"
        yield Finding("dns-outage", "warning", text, remedy)


def operating_system(s: PreflightInput) -> Iterator[Finding]:
    """Refuse different base operating systems: the documents describe no migration between them."""
    old, new = (s.old.os_id, s.old.os_version), (s.new.os_id, s.new.os_version)
    text = f"{s.old.name} runs {s.old.os_pretty or ' '.join(old)}, {s.new.name} {s.new.os_pretty or ' '.join(new)}"
    if s.old.told_by:  # a manifest has the name alone, with a third number that grows with each update
        old, new = ((re.sub(r"(\d+\.\d+)\.\d+", r"\1", one.os_pretty), "-") for one in (s.old, s.new))
    elif {old[0], new[0]} <= _RED_HAT and old[1].split(".")[0] == new[1].split(".")[0] != "":
        if old[0] != new[0]:
            yield Finding("os-flavour", "warning", text, f"use a new appliance with {old[0]} if available")
        return
    if not all((*old, *new)):
        yield Finding("os-unknown", "warning", "one of the two appliances does not report its operating system")
    elif old != new:
        remedy = "use a new appliance with the same base operating system, or continue with: --allow os-differs"
        yield Finding("os-differs", "error", text, remedy)


def listings(s: PreflightInput) -> Iterator[Finding]:
    """Refuse an appliance whose archives cannot be listed: an empty list would be wrong."""
    for facts, host in s.reachable:
        if facts.unseen:
            text = f"the archives of {facts.name} in {host.paths.backup_dir} could not be listed: {facts.unseen}"
            look = host.ssh(f"ls -la {host.paths.backup_dir}")
            remedy = f"give {host.user} the permission to list them; check with: {look}"
            yield Finding("archives-unseen", "error", text, remedy)


def archive_estimate(facts: Facts) -> int:
    """Return how many bytes a backup may need: the size of the last backup, or of what it packs if that is more."""
    last = newest(facts.archives)
    return max(last.size if last else 0, facts.etc_size + facts.log_size)


def room_needed(old: Facts) -> int:
    """Return the bytes that must be free on both: for the archive, and for its unpacked or partial copy."""
    return 2 * archive_estimate(old) + _SLACK


def disk(s: PreflightInput) -> Iterator[Finding]:
    """Refuse an appliance without room for the archive and its unpacked or partial copy."""
    need = room_needed(s.old)
    for facts, host in s.reachable:
        free = facts.free_at(host.paths.backup_dir)
        if free is None and not facts.backup_dir_exists:
            free = facts.free_at("/")
        if free is None:
            yield Finding("disk-unknown", "warning", f"{facts.name} does not report its free disk space")
        elif free < need:
            text = (
                f"{facts.name} has {free / 1e6:.1f} MB free at {host.paths.backup_dir}, "
                f"the backup may need {need / 1e6:.1f} MB"
            )
            yield Finding("disk-full", "error", text, f"delete old archives or enlarge the disk of {facts.name}")


def resolve_interface(facts: Facts, host: Host, asked: str | None) -> str:
    """Return the interface for tsadmin: the option's, the inventory's, or that with the host's address; else ""."""
    names = list(dict.fromkeys(i.name for i in facts.interfaces))
    wanted = asked or host.interface
    if wanted:
        return wanted if wanted in names else ""
    return next((i.name for i in facts.interfaces if i.address == host.address), names[0] if len(names) == 1 else "")


def interface(s: PreflightInput) -> Iterator[Finding]:
    """Refuse an interface that does not exist, or differs between backup and restore."""
    names = []
    from_backup = ((s.old, s.old_host),) if s.old.told_by and s.old.interfaces else ()
    for facts, host in (*from_backup, *s.reachable):
        name = resolve_interface(facts, host, s.options.interface)
        names.append(name)
        if not name:
            there = ", ".join(sorted({i.name for i in facts.interfaces})) or "none seen"
            wanted = s.options.interface or host.interface or "any with the host's address"
            text = f"{facts.name} has no interface {wanted}; it has: {there}"
            yield Finding(
                "interface-missing", "error", text, "name it: --interface NAME, or `interface` in the inventory"
            )
    if all(names) and names[0] != names[-1]:
        text = f"the interface is {names[0]} on {s.old.name} but {names[-1]} on {s.new.name}"
        yield Finding("interface-differs", "error", text, "rename one, or continue with: --allow interface-differs")


def clocks(s: PreflightInput) -> Iterator[Finding]:
    """Refuse a clock that is wrong: archive names contain the time, and cron uses it."""
    for facts, _ in s.reachable:
        if not facts.clock:
            yield Finding("clock-unknown", "warning", f"{facts.name} does not report its time")
        elif abs(facts.clock_skew) > CLOCK_LIMIT:
            direction = "ahead of" if facts.clock_skew > 0 else "behind"
            text = f"the clock of {facts.name} is {abs(facts.clock_skew) / 60:.0f} min {direction} this workstation's"
            yield Finding("clock-off", "error", text, "set it there (timedatectl set-ntp true), or this workstation's")


def devices_on_new(s: PreflightInput) -> Iterator[Finding]:
    """Warn of devices on the new appliance: a restore overwrites those with the same name."""
    if s.new.devices:
        both = sorted(set(s.new.devices) & set(s.old.devices or ()))
        text = f"{s.new.name} has {len(s.new.devices)} device(s) already"
        text += f"; these will be overwritten: {', '.join(both)}" if both else ", none of the same name"
        yield Finding("devices-on-new", "warning", text, f"take a snapshot of {s.new.name} first")


def devices_asked(s: PreflightInput) -> Iterator[Finding]:
    """Refuse an unknown device name in --devices: devices are updated when the old appliance is offline."""
    if s.old.devices is None or isinstance(s.options.devices, str):
        return
    known = {*s.old.devices, *s.old_host.devices, *(s.new.devices or ())}
    for name in s.options.devices:
        if name not in known:
            text = f"{name!r} is not a device of {s.old.name}{suggestion(name, known)}"
            yield Finding("device-unknown", "error", text, f"its devices: {', '.join(sorted(known)) or 'none'}")


def address(s: PreflightInput) -> Iterator[Finding]:
    """Warn if the old address is not on an interface of the old appliance, or comes from DHCP."""
    own = {i.address for i in s.old.interfaces} if not s.old.told_by else set()
    if own and s.old_host.address not in own:
        text = f"{s.old.name} is reached at {s.old_host.address}, but has {', '.join(sorted(own))} itself"
        yield Finding(
            "address-differs", "warning", text, "unless it is behind NAT, put its own address into the inventory"
        )
    if s.old.dhcp and not s.options.bypass_netconf:
        text = f"{s.old.name} has its address by DHCP: the reservation must point to {s.new.name} before the reboot"
        yield Finding("dhcp", "warning", text, "move the DHCP reservation, or use static addresses")


def isolation(s: PreflightInput) -> Iterator[Finding]:
    """Refuse --offline isolate where the old appliance lacks what it needs."""
    if s.options.offline != "isolate" or s.old.told_by:
        return
    remedy = "--offline poweroff, or --offline manual"
    address, name = s.old_host.address, s.old.name
    if not is_ip(address):
        text = f"{name} can be isolated only by its IP address: {address} is a host name"
        yield Finding(
            "isolate-impossible", "error", text, f"put the IP address into the inventory; or {remedy}", firm=True
        )
        return
    own = {ip_address(i.address) for i in s.old.interfaces if is_ip(i.address)}
    if own and ip_address(address) not in own:
        text = f"{name} has no interface with {address}, so its timer cannot check whether another host is there"
        yield Finding("isolate-impossible", "error", text, remedy, firm=True)
    lacks = _missing_for_isolation(s.old.tools, address)
    if s.old.tools and lacks:
        text = f"{name} lacks {lacks}: it cannot leave its address, or check whether another host is there"
        yield Finding("isolate-impossible", "error", text, f"install it there; or {remedy}", firm=True)


def _missing_for_isolation(tools: Collection[str], address: str) -> str:
    """Return which programs an appliance lacks to leave its address, and to look whether another host is there."""
    if "ip" not in tools:
        return "ip"
    return "" if ":" in address or {"arping", "ping"} & {*tools} else "arping and ping"


def tools(s: PreflightInput) -> Iterator[Finding]:
    """Refuse an appliance without the programs that this tool needs."""
    for facts, _ in s.reachable:
        missing = [name for name in ("sha256sum", "stat", "dd") if name not in facts.tools]
        if missing and facts.tools:
            yield Finding(
                "tools-missing", "error", f"{facts.name} lacks {', '.join(missing)}", "install coreutils there"
            )


def transfer_method(s: PreflightInput) -> Iterator[Finding]:
    """Refuse a transfer for which no method works, and warn of another method than the requested one."""
    if not (s.old.tools and s.new.tools):
        return
    here, there = (frozenset({*facts.tools, "shell", "sftp"}) for facts in (s.old, s.new))
    try:
        choice = routing.choose(routing.RoutingInput(here, there, s.options.method, s.options.route))
    except UsageError as error:
        yield Finding("no-way", "error", str(error), error.remedy(), firm=True)
        return
    if choice.warn:
        text = f"the archive will be copied not by --method {s.options.method}, but by {choice.text()}"
        yield Finding("another-way", "warning", text, "install what is missing, or leave --method out")


def updates(s: PreflightInput) -> Iterator[Finding]:
    """Warn if the cron entry is missing: the updates were paused before, or the entry has another name."""
    if not s.old.cron_entry:
        text = (
            f"{s.old.name} has no {s.old_host.paths.cron_entry}: its updates are paused, or another entry starts them"
        )
        yield Finding(
            "updates-entry-missing",
            "warning",
            text,
            "set paths.cron_entry in the inventory, or resume its updates",
        )


# ------------------------------------------------------------------ disaster recovery: the old appliance is dead


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
    has_it = s.old_host.address in {one.address for one in s.new.interfaces}
    if s.answers and not s.options.bypass_netconf and not has_it:
        text = f"a host answers at {s.old_host.address}, the address of {s.old.name}: {', '.join(s.answers)}"
        remedy = "switch it off; if it is the old appliance, migrate from it: --from NAME"
        yield Finding("old-answers", "error", text, remedy, firm=True)


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
    same_host, sessions, core_version, core_order, modules, dns_outage, login_group, operating_system, listings, disk,
    interface, clocks, devices_on_new, devices_asked, address, isolation, tools, transfer_method, updates,
)  # fmt: skip
DISASTER_CHECKS = (
    backup_source, address_free, whose_backup, keys_known, sessions, core_version, core_order,
    modules, login_group, operating_system, disk, interface, clocks,
    devices_on_new, devices_asked, address, tools,
)  # fmt: skip


def idle(findings: list[Finding], allow: tuple[str, ...]) -> list[str]:
    """Return the names given to --allow that no check has found; those of the rehearsal come later."""
    known = {finding.name for finding in findings}
    return [name for name in allow if name not in known and not name.startswith("rehearsal-")]


def refusals(findings: list[Finding], allow: tuple[str, ...]) -> list[Finding]:
    """Return the errors that stop the run: the firm ones, and those that --allow does not name."""
    return [f for f in findings if f.severity == "error" and (f.firm or f.name not in allow)]
