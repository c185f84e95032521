"""--update-packages: both appliances brought up to date, before anything is held (fact 25)."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from tscm_migrate.appliance import facts, network, packages
from tscm_migrate.errors import Refused
from tscm_migrate.events import Checked, Said
from tscm_migrate.migration import checks
from tscm_migrate.migration.context import Action
from tscm_migrate.migration.steps.base import Plain

if TYPE_CHECKING:
    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.appliance.facts import Facts
    from tscm_migrate.migration.context import Actions, Migration


class UpdatePackages(Plain):
    """The packages of both, a restart where one is due, and the versions read again.

    An upgrade may lay cron's entry back, so it comes before the hold, which puts away what it finds.
    """

    id = "update-packages"
    title = "Update the packages of both"

    def apply(self, m: Migration) -> Actions:
        """One after the other: while one restarts, the other serves."""
        if not m.options.update_packages or m.noted("packages"):
            return
        for one in reversed(m.there):
            known = m.old_facts if one is m.old else m.new_facts
            manager = packages.manager_of(known.tools)
            yield Action(
                one.name, f"update all packages ({manager or 'no package manager was found'}), restart if it is due",
                lambda a=one, k=known, n=manager: self._one(m, a, k, n),  # type: ignore[misc]
            )  # fmt: skip
        yield Action(m.new.name, "read the versions again", lambda: self._again(m))

    def _one(self, m: Migration, appliance: Appliance, known: Facts, manager: str) -> None:
        was = network.boot_of(appliance.shell)
        if packages.upgrade(appliance, manager).reboot_wanted:
            m.emit(Said(f"{appliance.name} wants a restart"))
            network.reboot(appliance, was=was, soon=False)
            keys = [key for _, key in known.host_keys] + list(
                m.noted("old_keys" if appliance is m.old else "new_keys", [])
            )
            found = network.wait_for(
                m.dial, places=(appliance.host,), expect=keys, old_boot=was, timeout=m.policy.reboot_timeout,
                emit=m.emit,
            )  # fmt: skip
            appliance.moved(found.host, found.shell)

    def _again(self, m: Migration) -> None:
        m.new_facts = facts.gather(m.new)
        if m.old in m.there:
            m.old_facts = facts.gather(m.old)
        m.note("facts", {"old": asdict(m.old_facts), "new": asdict(m.new_facts)})
        m.note("packages", {"old": m.old_facts.core, "new": m.new_facts.core})
        found = checks.versions(m.old_facts, m.new_facts)
        for finding in found:
            m.emit(
                Checked(finding.name, finding.severity, finding.text, finding.remedy, finding.name in m.options.allow)
            )
        refused = checks.refusals(found, m.options.allow)
        if refused:
            raise Refused(tuple(finding.name for finding in refused))
