"""The second pass of the restore, at the old address: devices, and SSH and cron as requested."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from tscm_migrate import errors
from tscm_migrate.appliance import device_discovery, facts, network
from tscm_migrate.events import Message
from tscm_migrate.migration import final_state, host_keys, saved_settings, undo_cutover
from tscm_migrate.migration.context import Action, Actions, Migration
from tscm_migrate.migration.engine import Step
from tscm_migrate.migration.steps import cutover
from tscm_migrate.tsadmin import devices, restore

T = TypeVar("T")
_FINDS = 3  # how often the connection may be lost after the pass


class Restore(Step):
    """Restore devices, and SSH and cron as requested, in the second pass."""

    id = "restore"
    title = "Restore SSH, cron and devices (pass 2)"
    cutover = True
    revert_summary = "restore {new}'s original devices, host keys and cron entries"

    def capture(self, m: Migration) -> dict[str, Any]:
        """Save the new appliance's settings, unless the first pass has saved them."""
        return {} if m.restores_network else {"kept": saved_settings.save(m.new), **undo_cutover.known_macs(m)}

    def revert(self, m: Migration, undo: dict[str, Any]) -> Actions:
        """Restore its settings; after a first pass the revert of that step restores all."""
        if m.get_note("restore_began") and undo.get("kept"):
            yield Action(
                m.new.name, "restore its own devices, host keys and cron entries",
                lambda: undo_cutover.restore_new(m, undo),
            )  # fmt: skip

    def apply(self, m: Migration) -> Actions:
        """Run the pass, unless the journal or the appliance shows that it has ended."""
        # An interrupted pass has ended well where everything is in place; cron entries cannot be compared.
        begun = m.get_note("restore_began") and not m.get_note("restored") and not m.options.restore_cron
        if begun and self._in_place(m):
            m.set_note("restored", {"answered": [], "status": None, "complaints": [], "seen": True})
        if not m.get_note("restored"):
            yield from self._restore(m)
        if m.options.restore_ssh and not m.get_note("restored_identity"):
            yield Action(m.new.name, "expect the old host keys from now on", lambda: self._reconnect(m))

    def _in_place(self, m: Migration) -> bool:
        """Whether every device file and host key is the same as on the old appliance."""
        if not m.get_note("old_files"):
            return False  # nothing to compare
        now = facts.gather(m.new)
        keys_wanted = dict(m.old_facts.host_keys) if m.options.restore_ssh else dict(m.new_facts.host_keys)
        return dict(now.host_keys) == keys_wanted and all_there(m, devices.file_hashes(m.new))

    def _restore(self, m: Migration) -> Actions:
        command = restore.command(m.new, cutover.request_of(m))
        yield Action(m.new.name, f"run `{command}` and answer its questions", lambda: self._pass(m))

    def _pass(self, m: Migration) -> None:
        boot = network.boot_of(m.new.shell)
        m.set_note("restore_began", time.time())
        outcome = cutover.run_pass(m)
        outcome.printed.tell(m.emit, m.new.name)
        keys = m.keys_of("new", "old")
        if not settled(m, outcome, boot, keys, lambda: self._has_restored(m, outcome)):
            raise cutover.pass_failed(m, f"exit status {outcome.status}: {outcome.gist}")
        self._keep(m, outcome)

    def _has_restored(self, m: Migration, outcome: restore.RestoreOutcome) -> bool:
        """Return whether the pass has restored everything.

        The restored files count more than the exit status: a minor problem must not prolong the downtime.
        """
        return has_ended_well(m, outcome) or self._in_place(m)

    def _reconnect(self, m: Migration) -> None:
        """Expect the old host keys from now on; tell sshd to read them if it still shows others."""
        own, theirs, host = m.keys_of("new"), m.keys_of("old"), m.new.host
        shell = host_keys.dial_while_sshd_restarts(m, host, [*theirs, *own])
        if shell.server_fingerprint() not in theirs:
            m.emit(Message(f"{m.new.name} still shows its own host key; telling sshd to read the restored keys"))
            unsure = m.restore_source is not None and not m.old_facts.host_keys  # no key was seen in the archive
            shell = host_keys.reconnect_after_reload(m, shell, [*theirs, *own] if unsure else theirs)
            if shell.server_fingerprint() in own:
                m.emit(Message(f"{m.new.name} keeps its own host keys: the archive contained none", "warning"))
                theirs = own
        m.expect_keys(host.address, theirs)
        m.new.moved(host, shell)
        m.set_note("restored_identity", value=True)

    def _keep(self, m: Migration, outcome: restore.RestoreOutcome) -> None:
        m.set_note(
            "restored",
            {
                "answered": list(outcome.answered),
                "status": outcome.status,
                "complaints": list(outcome.printed.lines),
                "failures": list(outcome.printed.failures),
            },
        )
        m.set_note("restore_files", list(outcome.files()))
        m.set_note("restore_devices", list(outcome.devices(device_discovery.in_tree(m.get_note("old_files", {})))))


def has_ended_well(m: Migration, outcome: restore.RestoreOutcome) -> bool:
    """Whether a pass ended well; after an error status or warnings, it also has to have restored devices."""
    if outcome.clean or not outcome.ended_well:
        return outcome.clean
    if not m.get_note("old_files"):
        return True  # what should have been restored is unknown
    here = devices.file_hashes(m.new)
    return bool(set(here) - set(m.get_note("new_files", ()))) or all_there(m, here)


def all_there(m: Migration, here: Mapping[str, str]) -> bool:
    """Whether every device file is the same as on the old appliance."""
    return all(here.get(path) == digest for path, digest in m.get_note("old_files").items())


def settled(m: Migration, outcome: restore.RestoreOutcome, boot: str, keys: Sequence[str], look: Callable[[], T]) -> T:
    """Wait for the new appliance if a pass has ended with a restart, and return what `look` finds there.

    Args:
        m: the migration.
        outcome: how the pass has ended.
        boot: its boot identity before the pass.
        keys: the fingerprints of the host keys that it may have afterwards.
        look: runs commands on it; repeated if the connection is lost, for it may be going down when it is found.
    """
    if not outcome.lost and outcome.may_restart:
        m.emit(Message(f"{m.new.name}: the restore may restart it: waiting for the restart to begin"))
    lost = outcome.lost or (outcome.may_restart and network.goes_down(m.new, was=boot))
    for _ in range(_FINDS):
        with contextlib.suppress(errors.ConnectionLost, errors.Unreachable):
            if lost:
                _find_again(m, keys)
            return look()
        lost = True
    return look()


def _find_again(m: Migration, keys: Sequence[str]) -> None:
    """Connect again after the connection was lost: the restore may have restarted the appliance or its network."""
    host = m.new.host
    m.new.close()
    back = network.wait_for(
        m.dial, places=(host,), expect=keys, old_boot="", timeout=m.policy.reboot_timeout, emit=m.emit
    )
    m.new.moved(back.host, back.shell)
    m.expect_keys(host.address, keys)
    if back.shell.server_fingerprint() not in m.keys_of("new"):
        cutover.prove_new(m)
    final_state.settle(m.new, timeout=min(final_state.STILL, m.policy.tsadmin_timeout))
