"""What a rehearsal tells a person: the estimated downtime, and what has to be prepared before the cutover."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscm_migrate.events import Estimated
from tscm_migrate.util.text import listed

if TYPE_CHECKING:
    from collections.abc import Collection

    from tscm_migrate.appliance.facts import Facts
    from tscm_migrate.migration.context import Migration
    from tscm_migrate.migration.estimate import Downtime
    from tscm_migrate.model import Host
    from tscm_migrate.options import MigrateOptions


def estimated(found: Downtime) -> Estimated:
    """Return the event of an estimated downtime; with a range where it is not known well."""
    least, most = (round(found.least, 1), round(found.most, 1)) if found.least < found.most else (0.0, 0.0)
    return Estimated("downtime", round(found.seconds, 1), found.basis, least, most)


def lines(m: Migration) -> list[str]:
    """Return what a person has to prepare for the cutover of a migration."""
    outage = any(c.get("name") == "dns-outage" and c.get("severity") != "ok" for c in m.get_note("checks", []))
    return to_prepare(m.old_facts, m.old.host, m.new.host, m.options, dns_outage=outage, moves=m.restores_network)


def to_prepare(
    old: Facts, old_host: Host, new_host: Host, options: MigrateOptions, *, dns_outage: bool, moves: bool
) -> list[str]:
    """Return one line for each thing to prepare. Pure.

    Args:
        old: facts of the old appliance.
        old_host: the old appliance in the inventory.
        new_host: the new appliance in the inventory.
        options: of the migration.
        dns_outage: whether clients resolve names through the old appliance.
        moves: whether its address moves to the new appliance.
    """
    names = tuple(old.devices or old_host.devices)
    found = []
    if dns_outage:
        found.append(
            f"DNS: give the clients of {old_host.address} another resolver for the downtime, or inform their users"
        )
    if moves:
        found.append(f"syslog: what devices send to {old_host.address} during the downtime is lost; the target stays")
    else:
        found.append(f"syslog: point the logging of {_listed(names)} to {new_host.address} (UDP 514)")
    if moves and old.dhcp:
        found.append(f"DHCP: reserve {old_host.address} for the new appliance's hardware address")
    if not names:
        found.append("devices: unknown; prepare their names, and update each: tsadmin update NAME")
    chosen = {"all": names, "none": ()}.get(str(options.devices), options.devices)
    left = [name for name in names if name not in chosen]
    if left:
        found.append(f"devices: update manually after the migration: {_listed(left)}")
    if options.offline == "manual":
        found.append(f"an operator has to take {old_host.name} offline when the cutover asks for it")
    return found


def _listed(names: Collection[str]) -> str:
    if not names:
        return "every device"
    return listed(names)
