"""What a run wants from `tsadmin`, the values that questions ask for, and how a question was understood. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tscm_migrate.tsadmin.dialect import Kind

if TYPE_CHECKING:
    from tscm_migrate.model import Secret


IPV4 = r"(?:\d{1,3}\.){3}\d{1,3}"
DEFAULTS = {  # allowed defaults of a value; with another default it is another question
    Kind.ARCHIVE: r"\d{1,6}|[A-Za-z]|\S*threatstop_backup_\S+",
    Kind.ARCHIVE_NAME: r"\S*threatstop_backup_\S+",
    Kind.ARCHIVE_PATH: r"/\S*threatstop_backup_\S+",
    Kind.OFFERED_NAME: r"(?:/\S*/)?threatstop_backup_\d{4}-\d\d-\d\d_\d\d_\d\d_\d\d\.tsbak(?:\.gpg)?",
    Kind.METHOD: "dhcp|static",
    Kind.CIDR: rf"{IPV4}/\d{{1,2}}",
    Kind.PREFIX: r"\d{1,2}",
    Kind.HOSTNAME: r"[\w.-]+",
    Kind.INTERFACE: r"[A-Za-z][\w.-]*",
    Kind.LITERAL: r"\S+",
    Kind.KEY: "ctrl-c|enter",
}
TIMES = {Kind.PAGER: 5000, Kind.SUDO: 200, Kind.KEY: 20, Kind.DNS: 8, Kind.MORE_DNS: 8, Kind.DEVICES: 5000,
          Kind.DEVICES_EXIST: 4, Kind.PROCEED: 4, Kind.APPLY: 4, Kind.PASSPHRASE: 4, Kind.LITERAL: 1000}  # fmt: skip


@dataclass(frozen=True)
class Intent:
    """What the run wants, and the values that questions ask for; None: not known."""

    address: str = "10.1.1.43"
    prefix: int = 24
    here: str = "10.1.1.50"
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    dhcp: bool | None = None
    hostname: str | None = None
    interface: str | None = None
    archive: str | None = None
    folder: str = "/opt/threatstop/backup"
    there: frozenset[str] = frozenset()
    passphrase: Secret | None = None
    sudo: Secret | None = None
    restore_ssh: bool = False
    restore_cron: bool = False
    bypass_netconf: bool = False
    encrypt: bool = True
    continues: bool = False  # this run has started the restore that is in progress

    def wants(self, kind: Kind) -> bool | None:
        """Return whether the run wants the action of a question of this kind."""
        return {
            Kind.NETWORK: not self.bypass_netconf, Kind.APPLY: None if self.bypass_netconf else True, Kind.SSH: self.restore_ssh,
            Kind.CRON: self.restore_cron, Kind.ENCRYPT: self.encrypt, Kind.DHCP: self.dhcp,
            Kind.STATIC: None if self.dhcp is None else not self.dhcp, Kind.UNDER_WAY: True if self.continues else None,
        }.get(kind, True)  # fmt: skip

    def may_show(self, shown: str, role: str) -> bool:
        """Return whether a question may show this address in this role."""
        return {
            "address": shown == self.address, "here": shown != self.address or self.here == self.address,
            "network": shown in (self.address, self.here), "gateway": self.gateway in (None, shown),
            "netmask": shown == self.value(Kind.NETMASK, 0),
        }.get(role, True)  # fmt: skip

    def value(self, kind: Kind, given: int) -> str | Secret | None:
        """Return the answer to a question for a value; `given`: how often this kind was answered."""
        network = ipaddress.ip_interface(f"{self.address}/{self.prefix}").network
        values: dict[Kind, str | Secret | None] = {
            Kind.PASSPHRASE: self.passphrase, Kind.SUDO: self.sudo, Kind.ARCHIVE_NAME: self.archive,
            Kind.ARCHIVE_PATH: f"{self.folder}/{self.archive}" if self.archive else None, Kind.OFFERED_NAME: "",
            Kind.METHOD: None if self.dhcp is None else "dhcp" if self.dhcp else "static", Kind.ADDRESS: self.address,
            Kind.CIDR: f"{self.address}/{self.prefix}", Kind.PREFIX: str(self.prefix), Kind.NETMASK: str(network.netmask),
            Kind.NETWORK_ADDRESS: str(network.network_address), Kind.BROADCAST: str(network.broadcast_address),
            Kind.GATEWAY: self.gateway or None, Kind.DNS: (*self.dns, "")[min(given, len(self.dns))] if self.dns else None,
            Kind.DNS_LIST: ",".join(self.dns) or None, Kind.HOSTNAME: self.hostname or None,
            Kind.INTERFACE: self.interface or None, Kind.KEY: "", Kind.PAGER: " ",
        }  # fmt: skip
        return values[kind]


@dataclass(frozen=True)
class Understood:
    """How a question was understood; `kind` None: no row knows it, or it must not be answered now.

    Attributes:
        question: the complete question.
        kind: what it asks for.
        dialect: name of the dialect that knows it.
        row: text of the matching row.
        answer: what is typed; never shown in a repr.
        secret: the answer is a secret.
        suggestion: proposed answer for a person.
        why: reason in words.
    """

    question: str
    kind: Kind | None = None
    dialect: str = ""
    row: str = ""
    answer: str | None = field(default=None, repr=False)
    secret: bool = False
    suggestion: str | None = None
    suggested: Kind | None = None  # the kind of the row of the suggestion
    bare: bool = False  # it has no content of its own, and the lines above it are not known
    why: str = ""
    not_listed: str = ""  # message if the list is shown and the archive is not in it

    @property
    def rule(self) -> str:
        """Name of the rule in a journal: its kind, and the row of a taught text."""
        return f"{self.kind}:{self.row}" if self.kind is Kind.LITERAL else str(self.kind or "")

    @property
    def shown(self) -> str | None:
        """The answer for display."""
        return "(secret)" if self.secret else self.answer
