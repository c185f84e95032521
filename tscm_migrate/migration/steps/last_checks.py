"""The last checks before the cutover: the archive is of the right host, and the restore lists it."""

import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from tscm_migrate.appliance import archives, prepared_network
from tscm_migrate.archive.network_config import WantedNetwork
from tscm_migrate.errors import ApplianceError, Cancelled, TransferError
from tscm_migrate.events import Message
from tscm_migrate.migration import estimate, window
from tscm_migrate.migration.context import Action, Actions, Migration
from tscm_migrate.migration.engine import Step, refusing_unknown
from tscm_migrate.migration.steps.cutover import request_of
from tscm_migrate.migration.steps.staging import check_alone, the_archive
from tscm_migrate.tsadmin import restore
from tscm_migrate.util.text import range_text

_RECENT = 600.0  # seconds for which a check that one host has the old address is not repeated


class Assure(Step):
    """Check what would otherwise fail when the old appliance is offline."""

    id = "assure"
    title = "Check that the restore lists the archive"

    def apply(self, m: Migration) -> Actions:
        """Check the old address, the host of an existing archive, and the list that the restore shows."""
        if not 0 <= time.time() - m.get_note("alone_at", 0.0) < _RECENT:
            yield check_alone(m)
        if m.options.archive != "new":
            yield Action(
                m.new.name, "compare the identity in the archive with the old appliance's", lambda: self._whose(m)
            )
        yield from listed(m)

    def _whose(self, m: Migration) -> None:
        copy = replace(the_archive(m), folder=m.new.paths.backup_dir)
        inside = archives.identity_in(m.new, copy, m.passphrase)
        if not inside.host_keys and not inside.addresses:
            m.emit(Message(f"{copy.name}: it does not identify its host", "warning"))
        elif not ({*m.keys_of("old")} & set(inside.host_keys) or m.old.host.address in inside.addresses):
            where = f" (its address was {', '.join(inside.addresses)})" if inside.addresses else ""
            raise TransferError(
                f"{copy.name} is the backup of another host than {m.old.name}{where}",
                f"name an archive of {m.old.name}: --archive NAME, or omit --archive for a new backup",
            )


class CheckArchiveList(Step):
    """Check that the restore lists the archive that was fetched."""

    id = "listed"
    title = "Check that the restore lists the archive"

    def apply(self, m: Migration) -> Actions:
        """Start the restore, read its list, and abort."""
        yield from listed(m)


def listed(m: Migration) -> Actions:
    """Start the restore, read its list, and abort; not if the restore is rehearsed anyway."""
    if m.options.rehearsal:
        return
    command = f"{m.new.paths.tsadmin} restore --bypass_netconf=1"
    yield Action(m.new.name, f"start `{command}`, read the archive list, and abort", lambda: _look_at_list(m))


def _look_at_list(m: Migration) -> None:
    """Find the archive in the list of the restore.

    Raises:
        RestoreFailed: the list does not contain it. RehearsalUnknownPrompt: an unknown question comes before the list.
    """
    with refusing_unknown(m):
        asked = restore.look_at_list(m.new, request_of(m))
    if asked:
        text = f"{m.new.name}: its restore asks {asked!r} before it shows its list; the list could not be checked"
        m.emit(Message(text, "warning"))


class PrepareNetwork(Step):
    """Write the old appliance's network settings on the new appliance, inactive until the cutover, if requested."""

    id = "prepare-network"
    title = "Prepare the old appliance's network settings on the new appliance"
    revert_summary = "remove the prepared network settings from {new}"

    def apply(self, m: Migration) -> Actions:
        """Stage the file and check it; it has no effect before it is moved into place."""
        if not (m.options.prepares_network and m.restores_network) or m.get_note("prepared_network"):
            return
        yield Action(
            m.new.name, f"write the settings of {m.old.host.address} beside its network files, and check them",
            lambda: _prepare(m),
        )  # fmt: skip

    def revert(self, m: Migration, _undo: dict[str, Any]) -> Actions:
        """Remove the staged file."""
        if made := m.get_note("prepared_network") or m.get_note("preparing_network"):
            yield Action(
                m.new.name, "remove the prepared network settings",
                lambda: prepared_network.unstage(m.new, prepared_network.PreparedNetwork(**made)),
            )  # fmt: skip


def _prepare(m: Migration) -> None:
    """Stage the old appliance's settings.

    Raises:
        ApplianceError: its address is leased, or the settings cannot be written for certain.
    """
    was = m.old_facts
    if was.dhcp:
        detail = "its address is leased by DHCP, so it cannot be written as a setting; use --network restore"
        raise ApplianceError(m.old.name, detail)
    prefix = next((i.prefix for i in was.interfaces if i.address == m.old.host.address), 24)
    wanted = WantedNetwork(m.old.host.address, prefix, was.gateway, was.dns)
    interface = next((i.name for i in m.new_facts.interfaces if i.address == m.new_facts_address), m.interface)
    made = prepared_network.stage(
        m.new, interface, wanted, announce=lambda one: m.set_note("preparing_network", asdict(one))
    )
    m.set_note("prepared_network", asdict(made))
    how = f"checked by {made.checked}" if made.checked else "not checked there: the appliance has no program for it"
    m.emit(Message(f"{m.new.name}: {made.staged} is ready, {how}"))


class CheckWindow(Step):
    """Refuse a cutover that would not end inside the window; ask the operator where --pause-before is given."""

    id = "check-window"
    title = "Check the change window"

    def apply(self, m: Migration) -> Actions:
        """Check, then ask; nothing is changed on an appliance."""
        if m.options.not_after:
            yield Action(m.old.name, f"check that the downtime ends before {m.options.not_after}", lambda: _fits(m))
        if m.options.pause_before:
            yield Action(m.old.name, "ask the operator whether to begin the cutover", lambda: _ask(m))


def _fits(m: Migration) -> None:
    zone = window.zone_of(m.policy.zone)
    limit = window.Window(None, window.moment(window.parse("--not-after", m.options.not_after or ""), zone, _now()))
    limit.require(_now(), estimate.cutover(m).most, zone)


def _ask(m: Migration) -> None:
    """Ask; the rest of the run is undone after a no.

    Raises:
        Cancelled: the answer was no, or there is no terminal to ask at.
    """
    downtime = estimate.estimated(estimate.cutover(m))
    expected = range_text(downtime.seconds, downtime.least, downtime.most)
    if not m.operator.confirm(f"Take {m.old.name} offline now (estimated downtime {expected})?"):
        raise Cancelled(undone=True)


def _now() -> datetime:
    return datetime.now(UTC)
