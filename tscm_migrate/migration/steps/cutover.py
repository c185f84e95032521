"""The first part of the cutover: restore the network settings and restart the new appliance at the old address."""

from __future__ import annotations

import contextlib
import functools
import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tscm_migrate import errors
from tscm_migrate.appliance import archives, lockfile, network, prepared_network
from tscm_migrate.archive import network_config
from tscm_migrate.events import Message
from tscm_migrate.migration import final_state, saved_settings, undo_cutover
from tscm_migrate.migration.context import Action, Actions, Migration, Operator
from tscm_migrate.migration.engine import Step
from tscm_migrate.migration.steps import offline
from tscm_migrate.migration.steps.staging import the_archive
from tscm_migrate.tsadmin import restore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tscm_migrate.tsadmin.dialect import Kind
    from tscm_migrate.tsadmin.intent import Understood
    from tscm_migrate.tsadmin.session import OperatorPort

_ENDS_WITHIN = 30.0  # seconds until a restore whose terminal was closed is killed


def request_of(m: Migration) -> restore.RestoreRequest:
    """Return the request of both passes; in a plan the archive's name is a placeholder."""
    was = m.old_facts
    planned = "planned.tsbak.gpg" if m.passphrase else "planned.tsbak"
    prefix = next((i.prefix for i in was.interfaces if i.address == m.old.host.address), 24)
    return restore.RestoreRequest(
        archive=the_archive(m).name if m.get_note("archive") else planned,
        folder=m.new.paths.backup_dir,
        passphrase=m.passphrase,
        interface=m.interface,
        restore_ssh=m.options.restore_ssh,
        restore_cron=m.options.restore_cron,
        bypass_netconf=m.options.bypass_netconf or m.options.prepares_network,
        force_apply_netconf=m.options.force_apply_netconf,
        debug=m.options.debug,
        leave_tmp_files=m.options.leave_tmp_files,
        address=m.old.host.address,
        prefix=prefix,
        gateway=was.gateway,
        dns=was.dns,
        dhcp=was.dhcp,
        hostname=was.hostname,
        devices=(*(was.devices or ()), *m.old.host.devices),
        continues=bool(m.get_note("archive_chosen") or m.get_note("first_pass")),
        limits=m.limits,
    )


def run_pass(m: Migration, operator: OperatorPort | None = None) -> restore.RestoreOutcome:
    """Run one pass on the new appliance; note when the archive is chosen."""

    def chosen() -> None:
        m.set_note("archive_chosen", value=True)

    return restore.run(m.new, request_of(m), operator or m.operator, chosen=chosen)


@dataclass(frozen=True)
class _UntilSaved:
    """An operator who is no longer asked after the new appliance has saved the wanted network settings."""

    operator: Operator
    saved: Callable[[], bool]

    @property
    def attended(self) -> bool:
        """Whether there is an operator at the terminal."""
        return self.operator.attended

    def answer(self, host: str, understood: Understood, shown: Sequence[str], *, unseen: bool = False) -> str | None:
        """Return the answer to type, or None to stop."""
        return None if self.saved() else self.operator.answer(host, understood, shown, unseen=unseen)

    def remember(self, host: str, question: str, kinds: Sequence[Kind]) -> Kind | None:
        """Ask the operator whether to remember an answer."""
        return self.operator.remember(host, question, kinds)

    def inform(self, text: str, question: str = "", *, saved: bool = True) -> None:
        """Show a text to the operator."""
        self.operator.inform(text, question, saved=saved)


def _has_saved(m: Migration, before: str) -> bool:
    """Whether the new appliance has saved the wanted network settings since `before`, as its files show."""
    if network.saved_settings(m.new) == before:
        return False
    wanted, now = request_of(m), network_config.settings(network.saved_files(m.new))
    if wanted.dhcp:
        return now.dhcp is True
    addresses = {(one.address, one.prefix) for one in now.interfaces}
    others = {address for address, _ in addresses} & {m.new_facts_address}
    right = not now.gateway or not wanted.gateway or now.gateway == wanted.gateway
    return now.dhcp is False and (wanted.address, wanted.prefix) in addresses and not others and right


def pass_failed(m: Migration, detail: str) -> errors.RestoreFailed:
    """Return the error of a failed pass; say so if the copy was damaged since, for then a resume cannot help."""
    archive = the_archive(m)
    copy = replace(archive, folder=m.new.paths.backup_dir, sha256="")
    with contextlib.suppress(errors.MigrateError):
        if archives.hashed(m.new, copy).sha256 != archive.sha256:
            why = (
                f"{copy.path} was damaged after its verification, and {m.old.name} is offline: roll the migration back"
            )
            detail = f"{why} ({detail})"
    return errors.RestoreFailed(m.new.name, detail)


def _or_restarts(m: Migration, look: Callable[[], object]) -> bool:
    """Return whether `look` finds something; also True if the appliance restarts meanwhile, as a restore may do."""
    try:
        return bool(look())
    except (errors.ConnectionLost, errors.Unreachable):
        if _goes_down(m):
            return True
        raise


def _goes_down(m: Migration) -> bool:
    return network.goes_down(m.new, was=m.get_note("boot_before", m.new_facts.boot))


class RestoreNetwork(Step):
    """Restore the old appliance's network settings on the new appliance, in the first pass."""

    id = "restore-network"
    title = "Restore network settings (pass 1)"
    cutover = True
    revert_summary = "restore {new}'s own network settings, and remove it from {address}"

    def capture(self, m: Migration) -> dict[str, Any]:
        """Save the new appliance's settings on itself for a rollback; return the MAC addresses of both."""
        kept = m.restores_network and saved_settings.save(m.new)
        return {"kept": kept, **undo_cutover.known_macs(m)}

    def revert(self, m: Migration, undo: dict[str, Any]) -> Actions:
        """Remove the new appliance from the old address before the old appliance returns."""
        if m.restores_network and m.get_note("first_pass_began"):
            yield Action(
                m.new.name, f"remove it from {m.old.host.address}: restore its own settings, and restart it",
                lambda: undo_cutover.move_new_away(m, undo),
            )  # fmt: skip

    def apply(self, m: Migration) -> Actions:
        """Skip this with --bypass-netconf, or if the new appliance has the old address: then one pass is enough."""
        if not m.restores_network or m.get_note("first_pass"):
            return
        if m.new.host.address == m.old.host.address:  # after a resume: the pass and the restart are done
            m.set_note("first_pass", {"lost": True, "answered": [], "status": None})
            return
        if m.options.prepares_network:
            address = m.old.host.address
            yield Action(m.new.name, f"move the prepared settings of {address} into place", lambda: self._move(m))
            return
        command = restore.command(m.new, request_of(m))
        yield Action(m.new.name, f"run `{command}` and answer its questions", lambda: self._pass(m))

    def _move(self, m: Migration) -> None:
        m.set_note("boot_before", network.boot_of(m.new.shell))
        m.set_note("first_pass_began", value=True)
        if m.options.offline == "isolate":
            offline.keep_away(
                m
            )  # else the look right before the restart is enough: until then nothing takes the address
        prepared_network.move(m.new, prepared_network.PreparedNetwork(**m.get_note("prepared_network")))
        m.set_note("first_pass", {"lost": False, "answered": [], "status": None, "prepared": True})

    def _pass(self, m: Migration) -> None:
        m.set_note("boot_before", network.boot_of(m.new.shell))
        m.set_note("first_pass_began", value=True)
        offline.keep_away(m)
        before = network.saved_settings(m.new)
        try:
            outcome = run_pass(m, _UntilSaved(m.operator, lambda: _has_saved(m, before)))
        except errors.UnknownPrompt as unknown:
            if not _or_restarts(m, lambda: _has_saved(m, before)):
                raise
            self._hung_up(m, unknown)
            return
        asked = outcome.did("network", "address", "cidr", "dhcp", "apply", "static", "method", "under-way")
        # The site's dialect or the operator may have answered its questions; or it asked none.
        failed = bool(outcome.printed.failures)
        changed = outcome.lost or (asked and not failed)
        if not changed and not _or_restarts(m, lambda: network.saved_settings(m.new) != before):
            what = "it did not change the network settings" if asked else "it did not ask about the network"
            raise pass_failed(m, f"{what}, and ended with exit status {outcome.status}: {outcome.gist}")
        outcome.printed.tell(m.emit, m.new.name)
        m.set_note("first_pass", {"lost": outcome.lost, "answered": list(outcome.answered), "status": outcome.status})

    def _hung_up(self, m: Migration, unknown: errors.UnknownPrompt) -> None:
        """End a restore at an unknown question after the settings were saved: only the restart is left."""
        # at the hang-up it may have restarted by itself
        with contextlib.suppress(errors.ConnectionLost, errors.Unreachable):
            final_state.end_restores(m.new, within=_ENDS_WITHIN)
        text = (
            f"{m.new.name}: its network settings are saved, so it is restarted without an answer to {unknown.prompt!r}"
        )
        m.emit(Message(text, "warning"))
        # The earlier answers are unknown here: host keys may have been restored.
        m.set_note(
            "first_pass", {"lost": False, "answered": ["operator"], "status": None, "unanswered": unknown.prompt}
        )


class Reboot(Step):
    """Restart the new appliance with the old appliance's network settings."""

    id = "reboot"
    title = "Reboot the new appliance at the old address"
    cutover = True

    def apply(self, m: Migration) -> Actions:
        """Reboot it, unless the restore has done so or is about to."""
        if not m.restores_network or m.get_note("rebooted"):
            return
        first: dict[str, Any] = m.get_note("first_pass", {})
        # After a resume it may have restarted already; check before the command is repeated.
        if first.get("lost") or (m.get_note("reboot_told") is not None and self._has_restarted(m)):
            m.set_note("rebooted", "by the restore" if first.get("lost") else "by our command")
            return
        yield Action(m.new.name, f"reboot (`{m.new.host.commands.reboot}`)", lambda: self._reboot(m))

    def _has_restarted(self, m: Migration) -> bool:
        try:
            return bool(network.boot_of(m.new.shell) != m.get_note("boot_before"))
        except errors.SshError:  # it may be going down just now
            return False

    def _reboot(self, m: Migration) -> None:
        if self._restarts_by_itself(m):
            m.new.close()
            m.set_note("rebooted", "by itself")
            return
        m.set_note("reboot_told", time.time())
        m.set_note("rebooted", network.reboot(m.new))

    def _restarts_by_itself(self, m: Migration) -> bool:
        """Return whether the restore has restarted it; if not, check that the old address is still free.

        First the announced restart: the connection might be lost in the middle of that check.
        """
        announced = "reboot" in m.get_note("first_pass", {}).get("answered", [])
        if (announced or m.get_note("reboot_told") is not None) and _goes_down(m):
            return True
        return _or_restarts(m, functools.partial(offline.still_away, m))


class ComeBack(Step):
    """Wait until the new appliance answers at the old address, with its own host key and another boot id."""

    id = "come-back"
    title = "Wait for the new appliance at the old address"
    cutover = True

    def apply(self, m: Migration) -> Actions:
        """Wait for its own host key: the SSH configuration is restored in the second pass."""
        if not m.restores_network:
            return
        yield Action(
            m.new.name,
            f"wait for it at {m.old.host.address}, with its own host key and another boot id",
            lambda: self._wait(m),
        )

    def _wait(self, m: Migration) -> None:
        # If SSH was asked about in the first pass, it may have been restored already.
        theirs = self._theirs(m)
        keys = [*m.keys_of("new"), *theirs]
        back = network.wait_for(
            m.dial,
            places=network.places(m.new.host, m.old.host, was_at=m.new_facts_address),
            expect=tuple(dict.fromkeys(keys)),
            old_boot=m.get_note("boot_before", m.new_facts.boot),
            timeout=m.policy.reboot_timeout,
            emit=m.emit,
            again=lambda: self._restart(m),
        )
        if back.host.address != m.old.host.address:
            back.shell.close()
            raise errors.NotReachableAgain(
                m.new.name,
                f"it restarted, but is at {back.host.address} and not at {m.old.host.address}: "
                "the network settings of the backup were not applied",
            )
        m.new.moved(back.host, back.shell)
        if back.shell.server_fingerprint() in theirs:
            prove_new(m)
        m.expect_keys(back.host.address, keys)
        m.set_note("new_at", back.host.address)

    def _restart(self, m: Migration) -> None:
        """Send the command again, if no host has taken the old address meanwhile."""
        offline.still_away(m)
        network.reboot(m.new)

    def _theirs(self, m: Migration) -> list[str]:
        """Return the old host keys if the first pass may have restored them."""
        asked = [
            rule
            for rule in m.get_note("first_pass", {}).get("answered", [])
            if re.match(r"ssh$|parts$|operator$|inv", rule)
        ]
        return m.keys_of("old") if m.options.restore_ssh and asked else []


def prove_new(m: Migration) -> None:
    """Check the lock: the old host key at the old address may also be shown by the old appliance itself."""
    lock = lockfile.read(m.new)
    if lock is None or (lock.run, lock.role) != (m.run, "new"):
        m.new.close()
        raise errors.NotReachableAgain(
            m.new.name, f"the host at {m.old.host.address} has the old host key, but is not {m.new.name}"
        )
