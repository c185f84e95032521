"""Identify both appliances, side by side and without changing anything."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tscm_migrate.appliance import facts
from tscm_migrate.errors import AuthFailed, HostKeyError, MigrateError, NoTerminal, NotRun, SshError, SudoFailed
from tscm_migrate.migration.checks import Finding
from tscm_migrate.tsadmin import devices

if TYPE_CHECKING:
    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.appliance.facts import Facts


@dataclass(frozen=True)
class Identity:
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


def identify(*appliances: Appliance) -> list[Identity]:
    """Learn the facts of all, each over its one connection, at the same time.

    Raises:
        HostKeyError: that is no finding to be acknowledged, and it has an exit code of its own.
    """
    with ThreadPoolExecutor(len(appliances), thread_name_prefix="identify") as pool:
        return list(pool.map(_one, appliances))


def _one(appliance: Appliance) -> Identity:
    try:
        shown = appliance.shell.server_fingerprint()
        learned = facts.gather(appliance)
        appliance.shell.sudo_ready()
        appliance.shell.terminal_ready()
        return Identity(learned, shown, devices.file_hashes(appliance))
    except HostKeyError:
        raise
    except SshError as error:
        return Identity(facts.Facts(appliance.name), findings=(_finding(appliance, error),))


def _finding(appliance: Appliance, error: MigrateError) -> Finding:
    names = {SudoFailed: "no-sudo", AuthFailed: "login", NotRun: "login", NoTerminal: "no-terminal"}
    name = next((name for kind, name in names.items() if isinstance(error, kind)), "unreachable")
    remedy = error.remedy() or f"check {appliance.name} by hand: ssh {appliance.host.user}@{appliance.host.address}"
    return Finding(name, "error", str(error), remedy, firm=True)
