"""The name and value that each passed preflight check has read, for the plan, the report and JSON."""

from collections.abc import Callable, Iterator, Sequence

from tscm_migrate.appliance.facts import SESSIONS, Facts
from tscm_migrate.archive.select import newest
from tscm_migrate.errors import UsageError
from tscm_migrate.migration import checks
from tscm_migrate.transfer import routing


def run(situation: checks.PreflightInput, chosen: Sequence[checks.Check]) -> list[checks.Finding]:
    """Run the checks in their order; each has at least one row: what it found, or what it saw where all was well.

    If both appliances are the same machine, only that is reported.
    """
    if checks.same_host in chosen and (same := list(checks.same_host(situation))):
        return same
    return [row for check in chosen for row in _rows(check, situation)]


def _rows(check: checks.Check, situation: checks.PreflightInput) -> Iterator[checks.Finding]:
    findings = list(check(situation))
    yield from findings
    if not findings:
        name = check.__name__.replace("_", "-")
        yield checks.Finding(name, "ok", SEEN[check](situation) if check in SEEN else "no problem was found")


def _each(s: checks.PreflightInput, value: Callable[[Facts], str]) -> str:
    """Return "HOST: VALUE" of each appliance that can be reached."""
    return ", ".join(f"{facts.name}: {value(facts)}" for facts, _ in s.reachable)


def _disks(s: checks.PreflightInput) -> str:
    free = ", ".join(
        f"{facts.name}: {(facts.free_at(host.paths.backup_dir) or facts.free_at('/') or 0) / 1e6:.0f} MB free"
        for facts, host in s.reachable
    )
    return f"{free}; the backup may need {checks.room_needed(s.old) / 1e6:.0f} MB"


def _archives(facts: Facts) -> str:
    last = newest(facts.archives)
    return f"{len(facts.archives)} (newest {last.name})" if last else "no archives"


def _sessions(facts: Facts) -> str:
    number = f"at least {facts.sessions}" if facts.sessions >= SESSIONS else facts.sessions or "an unknown number of"
    return f"{number} sessions on a connection"


def _asked_devices(s: checks.PreflightInput) -> str:
    if isinstance(s.options.devices, str):
        return f"--devices {s.options.devices}"
    return ", ".join(s.options.devices)


def _address(s: checks.PreflightInput) -> str:
    stays = s.options.bypass_netconf
    return f"{s.new.name} keeps {s.new_host.address}" if stays else f"{s.old_host.address} moves to {s.new.name}"


def _transfer(s: checks.PreflightInput) -> str:
    if not (s.old.tools and s.new.tools):
        return f"--method {s.options.method}"
    here, there = (frozenset({*facts.tools, "shell", "sftp"}) for facts in (s.old, s.new))
    try:
        size = checks.archive_estimate(s.old)
        choice = routing.choose(routing.RoutingInput(here, there, s.options.method, s.options.route, size=size))
    except UsageError:
        return f"--method {s.options.method}"
    return f"{choice.method}, {choice.route}"


SEEN: dict[checks.Check, Callable[[checks.PreflightInput], str]] = {
    checks.same_host: lambda s: f"{s.old.name} is {s.old_host.address}, {s.new.name} is {s.new_host.address}",
    checks.sessions: lambda s: _each(s, _sessions),
    checks.core_version: lambda s: f"{_each(s, lambda f: f.core)} (at least {checks.OLDEST_CORE})",
    checks.core_order: lambda s: f"{s.old.name}: {s.old.core}, {s.new.name}: {s.new.core}",
    checks.modules: lambda s: f"{s.new.name} has all {len(s.old.versions)} modules of {s.old.name}",
    checks.dns_outage: lambda s: f"{s.old.name} is not a DNS server",
    checks.login_group: lambda s: _each(s, lambda f: f.user or "login user"),
    checks.operating_system: lambda s: ", ".join(f"{f.name}: {f.os_pretty or f.os_id}" for f in (s.old, s.new)),
    checks.listings: lambda s: _each(s, _archives),
    checks.disk: _disks,
    checks.interface: lambda s: checks.resolve_interface(s.new, s.new_host, s.options.interface),
    checks.clocks: lambda s: _each(s, lambda f: f"{f.clock_skew:+.0f} s from this workstation's clock"),
    checks.devices_on_new: lambda s: f"{s.new.name} has no devices yet",
    checks.devices_asked: _asked_devices,
    checks.address: _address,
    checks.isolation: lambda s: f"--offline {s.options.offline}",
    checks.tools: lambda s: _each(s, lambda _: "sha256sum, stat, dd"),
    checks.transfer_method: _transfer,
    checks.updates: lambda s: f"{s.old.name}: {s.old_host.paths.cron_entry}",
    checks.address_free: lambda s: f"no host answers at {s.old_host.address}",
    checks.whose_backup: lambda s: f"the archive is of {s.old.name}",
    checks.keys_known: lambda s: f"{len(s.old.host_keys) or len(s.pinned)} host keys of {s.old.name}",
}
