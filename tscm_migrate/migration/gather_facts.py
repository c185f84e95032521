"""Identify both appliances, side by side and without changing anything."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tscm_migrate.appliance import facts, network
from tscm_migrate.appliance.facts import Facts
from tscm_migrate.appliance.parsers import Interface
from tscm_migrate.errors import (
    AuthFailed,
    HostKeyError,
    MigrateError,
    NoTerminal,
    NotRun,
    SshError,
    SudoFailed,
    UsageError,
)
from tscm_migrate.events import Said
from tscm_migrate.migration import checks
from tscm_migrate.migration.checks import Finding
from tscm_migrate.ssh import known_hosts
from tscm_migrate.tsadmin import devices

if TYPE_CHECKING:
    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.archive.inspect import ArchiveFacts
    from tscm_migrate.events import Emit
    from tscm_migrate.inventory.inventory import Inventory
    from tscm_migrate.migration.participants import Participants
    from tscm_migrate.model import Host
    from tscm_migrate.offsite.restore_source import RestoreSource
    from tscm_migrate.options import MigrateOptions


@dataclass(frozen=True)
class HostSurvey:
    """What was learned of one appliance; `findings` are what stood in the way. `shown`: the host key's fingerprint.

    Of one that is dead, and that a backup tells of: `answers` is what answers at its address all the same, `pinned`
    are its keys in known_hosts (type, fingerprint), `inside` the addresses that the backup says it had.
    """

    facts: Facts
    shown: str = ""
    files: dict[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    answers: tuple[str, ...] = ()
    pinned: tuple[tuple[str, str], ...] = ()
    inside: tuple[str, ...] = ()


def survey(*appliances: Appliance) -> list[HostSurvey]:
    """Learn the facts of all, each over its one connection, at the same time.

    Raises:
        HostKeyError: that is no finding to be acknowledged, and it has an exit code of its own.
    """
    with ThreadPoolExecutor(len(appliances), thread_name_prefix="identify") as pool:
        return list(pool.map(_one, appliances))


def _one(appliance: Appliance) -> HostSurvey:
    try:
        shown = appliance.shell.server_fingerprint()
        learned = facts.gather(appliance)
        appliance.shell.sudo_ready()
        appliance.shell.terminal_ready()
        return HostSurvey(learned, shown, devices.file_hashes(appliance))
    except HostKeyError:
        raise
    except SshError as error:
        return HostSurvey(facts.Facts(appliance.name), findings=(_finding(appliance, error),))


def _finding(appliance: Appliance, error: MigrateError) -> Finding:
    names = {SudoFailed: "no-sudo", AuthFailed: "login", NotRun: "login", NoTerminal: "no-terminal"}
    name = next((name for kind, name in names.items() if isinstance(error, kind)), "unreachable")
    remedy = error.remedy() or f"check {appliance.name} by hand: ssh {appliance.host.user}@{appliance.host.address}"
    return Finding(name, "error", str(error), remedy, firm=True)


def gather_both(sides: Participants, options: MigrateOptions, inventory: Inventory, emit: Emit) -> list[HostSurvey]:
    """The facts of both, the old one's first; nothing is changed.

    Raises:
        OffsiteError: what is kept cannot be opened to its end, or is not what its manifest says.
        UsageError: nothing tells which address the dead one had.
    """
    if sides.restore_source is None:
        return survey(sides.old, sides.new)
    emit(Said(f"reading {sides.restore_source.archive.name} to its end, in memory"))
    found = sides.restore_source.read(sides.old.paths, sides.passphrase)
    if found.why:
        emit(
            Said(
                f"{sides.restore_source.archive.name}: {found.why}; the inventory has to tell what it could", "warning"
            )
        )
    (new,) = survey(sides.new)
    host = _addressed(sides.old.host, found, sides.restore_source, inventory)
    sides.old.moved(host)
    answers: tuple[str, ...] = ()
    if not new.findings and not options.bypass_netconf:  # else nobody is to take that address
        interface = checks.resolve_interface(new.facts, sides.new.host, None)
        answers = network.who_answers(sides.new, host.address, host.port, interface)
    old = HostSurvey(
        facts_from_backup(sides.restore_source, found, host), files=dict(found.files), answers=answers,
        pinned=_pinned(host) if host.address != sides.new.host.address else (),  # there it may be the new one's by now
        inside=tuple(one.address for one in found.network.interfaces),
    )  # fmt: skip
    return [old, new]


def _addressed(host: Host, found: ArchiveFacts, kept: RestoreSource, inventory: Inventory) -> Host:
    """With the address that it had: the inventory's, else the one that the archive's network settings have."""
    if host.address:
        return host
    inside = [one.address for one in found.network.interfaces]
    if not inside:
        text = f"nothing tells which address {host.name} had: neither the inventory nor {kept.archive.name}"
        raise UsageError(text, f"put {host.name} into the inventory, with its address")
    if kept.host:
        return replace(host, address=inside[0])
    same = [one for one in inventory.hosts.values() if one.address in inside]
    return same[0] if same else replace(host, name=inside[0], address=inside[0])


def _pinned(host: Host) -> tuple[tuple[str, str], ...]:
    """What known_hosts says of the dead one: (type, fingerprint)."""
    found = known_hosts.load(host.known_hosts).pinned(known_hosts.name_of_host(host))
    return tuple((entry.type, entry.fingerprint) for entry in found)


def facts_from_backup(kept: RestoreSource, found: ArchiveFacts, host: Host) -> Facts:
    """What the dead one would say, as far as its backup, its manifest and known_hosts tell."""
    saved = found.network
    interfaces = saved.interfaces or ((Interface(host.interface, host.address, 24),) if host.interface else ())
    when = f"{kept.taken_at:%Y-%m-%d %H:%M}Z"
    return Facts(
        host.name,
        hostname=found.hostname,
        os_pretty=kept.os,
        versions=tuple(kept.versions.items()),
        interfaces=interfaces,
        gateway=saved.gateway,
        dns=saved.dns,
        dhcp=saved.dhcp,
        archives=(kept.archive,),
        devices=found.devices or None,
        device_source="the archive" if found.devices else "",
        host_keys=found.host_keys,
        cron_entry=bool(found.cron_text),
        cron_text=found.cron_text,
        told_by=f"{kept.archive.name} of {when} ({kept.proof})",
    )


def interface_of(both: Participants, found: list[HostSurvey], options: MigrateOptions) -> str:
    """The interface to hand to tsadmin: the old one's; the new one's where no backup tells which that was."""
    name = checks.resolve_interface(found[0].facts, both.old.host, options.interface)
    return name or checks.resolve_interface(found[1].facts, both.new.host, options.interface)
