"""Gather the facts of both appliances at the same time; nothing is changed."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from tscm_migrate import errors
from tscm_migrate.appliance import facts, network
from tscm_migrate.appliance.appliance import Appliance
from tscm_migrate.appliance.facts import Facts
from tscm_migrate.appliance.parsers import Interface
from tscm_migrate.archive.inspect import ArchiveFacts
from tscm_migrate.events import Emit, Message
from tscm_migrate.inventory.inventory import Inventory
from tscm_migrate.migration import checks
from tscm_migrate.migration.participants import Participants
from tscm_migrate.model import Host
from tscm_migrate.offsite.restore_source import RestoreSource
from tscm_migrate.options import MigrateOptions
from tscm_migrate.ssh import known_hosts
from tscm_migrate.tsadmin import devices
from tscm_migrate.tsadmin.reader import dialects


@dataclass(frozen=True)
class HostSurvey:
    """The facts of one appliance, or the findings that prevented reading them.

    `shown`: fingerprint of the host key that it showed; `files`: path of a device file → SHA-256. Of a dead appliance,
    whose facts come from a backup: `answers` is what answers at its address, `pinned` are its keys in known_hosts
    (type, fingerprint), `inside` are its addresses in the backup.
    """

    facts: Facts
    shown: str = ""
    files: dict[str, str] = field(default_factory=dict)
    findings: tuple[checks.Finding, ...] = ()
    answers: tuple[str, ...] = ()
    pinned: tuple[tuple[str, str], ...] = ()
    inside: tuple[str, ...] = ()


def survey(*appliances: Appliance) -> list[HostSurvey]:
    """Gather the facts of all appliances at the same time, each over one connection; meanwhile load their dialects.

    Raises:
        HostKeyError: not a finding that --allow could override; it has its own exit code.
        DialectError: the dialect of a site has an error, which would stop a run after its first changes.
    """
    with ThreadPoolExecutor(len(appliances), thread_name_prefix="identify") as pool:
        surveys = pool.map(_one, appliances)
        dialects(*(one.host.dialect for one in appliances))
        return list(surveys)


def _one(appliance: Appliance) -> HostSurvey:
    try:
        shown = appliance.shell.server_fingerprint()
        learned = facts.gather(appliance)
        appliance.shell.sudo_ready()
        appliance.shell.terminal_ready()
        return HostSurvey(learned, shown, devices.file_hashes(appliance))
    except errors.HostKeyError:
        raise
    except errors.SshError as error:
        return HostSurvey(facts.Facts(appliance.name), findings=(_finding(appliance, error),))


def _finding(appliance: Appliance, error: errors.MigrateError) -> checks.Finding:
    names = {
        errors.SudoFailed: "no-sudo",
        errors.AuthFailed: "login",
        errors.CommandNotRun: "login",
        errors.NoTerminal: "no-terminal",
    }
    name = next((name for kind, name in names.items() if isinstance(error, kind)), "unreachable")
    remedy = error.remedy() or f"check {appliance.name} yourself: {appliance.host.ssh()}"
    return checks.Finding(name, "error", str(error), remedy, firm=True)


def gather_both(both: Participants, options: MigrateOptions, inventory: Inventory, emit: Emit) -> list[HostSurvey]:
    """Gather the facts of both appliances, the old first: from itself, or from the backup that is restored.

    Raises:
        OffsiteError: the backup cannot be read to its end, or differs from its manifest.
        UsageError: the address of the dead appliance is unknown.
    """
    if both.restore_source is None:
        return survey(both.old, both.new)
    emit(Message(f"reading {both.restore_source.archive.name} in memory"))
    inside = both.restore_source.read(both.old.paths, both.passphrase)
    if inside.why:
        emit(
            Message(
                f"{both.restore_source.archive.name}: {inside.why}; what is missing has to be in the inventory",
                "warning",
            )
        )
    (new,) = survey(both.new)
    host = _addressed(both.old.host, inside, both.restore_source, inventory)
    both.old.moved(host)
    answers: tuple[str, ...] = ()
    if not new.findings and not options.bypass_netconf:  # else no host will take that address
        interface = checks.resolve_interface(new.facts, both.new.host, None)
        answers = network.who_answers(both.new, host.address, host.port, interface)
    old = HostSurvey(
        facts_from_backup(both.restore_source, inside, host), files=dict(inside.files), answers=answers,
        pinned=_pinned(host) if host.address != both.new.host.address else (),  # else the new appliance's
        inside=tuple(one.address for one in inside.network.interfaces),
    )  # fmt: skip
    return [old, new]


def _addressed(host: Host, archive: ArchiveFacts, kept: RestoreSource, inventory: Inventory) -> Host:
    """Return the dead host with its address: the inventory's, else that in the archive's network settings."""
    if host.address:
        return host
    inside = [one.address for one in archive.network.interfaces]
    if not inside:
        text = f"the address of {host.name} is neither in the inventory nor in {kept.archive.name}"
        raise errors.UsageError(text, f"put {host.name} into the inventory, with its address")
    if kept.host:
        return replace(host, address=inside[0])
    same = [one for one in inventory.hosts.values() if one.address in inside]
    return same[0] if same else replace(host, name=inside[0], address=inside[0])


def _pinned(host: Host) -> tuple[tuple[str, str], ...]:
    """Return the host keys of the dead appliance in known_hosts: (type, fingerprint)."""
    entries = known_hosts.load(host.known_hosts).pinned(known_hosts.name_of_host(host))
    return tuple((entry.type, entry.fingerprint) for entry in entries)


def facts_from_backup(kept: RestoreSource, inside: ArchiveFacts, host: Host) -> Facts:
    """Return the facts of a dead appliance, as far as its backup and the manifest contain them."""
    saved = inside.network
    interfaces = saved.interfaces or ((Interface(host.interface, host.address, 24),) if host.interface else ())
    when = f"{kept.taken_at:%Y-%m-%d %H:%M}Z"
    return Facts(
        host.name,
        hostname=inside.hostname,
        os_pretty=kept.os,
        versions=tuple(kept.versions.items()),
        interfaces=interfaces,
        gateway=saved.gateway,
        dns=saved.dns,
        dhcp=saved.dhcp,
        archives=(kept.archive,),
        devices=inside.devices or None,
        device_source="the archive" if inside.devices else "",
        host_keys=inside.host_keys,
        cron_entry=bool(inside.cron_text),
        cron_text=inside.cron_text,
        told_by=f"{kept.archive.name} of {when} ({kept.proof})",
    )


def interface_of(both: Participants, surveys: list[HostSurvey], options: MigrateOptions) -> str:
    """Return the interface for tsadmin: that of the old appliance, or of the new if the old is unknown."""
    name = checks.resolve_interface(surveys[0].facts, both.old.host, options.interface)
    return name or checks.resolve_interface(surveys[1].facts, both.new.host, options.interface)
