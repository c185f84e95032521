"""The old one leaves the network by one of three ways, and comes back by it: here two hosts could collide."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tscm_migrate.appliance import cron_hold, isolation, network
from tscm_migrate.errors import MigrateError, StillOnline
from tscm_migrate.events import Said
from tscm_migrate.migration import hooks, undo_cutover
from tscm_migrate.migration.context import Action, place_key
from tscm_migrate.migration.steps.base import BaseStep

if TYPE_CHECKING:
    from typing import Any

    from tscm_migrate.migration.context import Actions, Migration


class Snapshot(BaseStep):
    """The hypervisor's snapshot of both, where the inventory has a hook for it."""

    id = "snapshot"
    title = "Take snapshots by the hook of the inventory"

    def apply(self, m: Migration) -> Actions:
        """One call for each, before anything that cannot be taken back by itself."""
        command = m.hooks.snapshot
        if command and not m.get_note("snapshots"):
            for host in m.reachable:
                role, other = ("old", m.new) if host is m.old else ("new", m.old)
                facts = hooks.facts_for(host.host, role, m.run, other.host)
                yield Action(host.name, f"run the hook `{command}`", lambda f=facts: self._take(m, command, f))  # type: ignore[misc]
            m.set_note("snapshots", value=True)

    def _take(self, m: Migration, command: str, facts: dict[str, str]) -> None:
        if said := hooks.run_hook("snapshot", command, facts):
            m.emit(Said(said))


class TakeOffline(BaseStep):
    """The old one leaves the network, and the new one's side proves that it has."""

    id = "take-offline"
    title = "Take the old one off the network, and prove it"
    cutover = True
    revert_summary = "{old} comes back to {address}"

    def capture(self, m: Migration) -> dict[str, Any]:
        """By which way it leaves, and what tells the two apart when they show the same keys."""
        return {
            "offline": m.options.offline,
            "old_macs": list(network.hardware_addresses(m.old.shell)),
            "new_macs": list(network.hardware_addresses(m.new.shell)),
        }

    def apply(self, m: Migration) -> Actions:
        """It goes; then nobody may answer at its address, seen from the new one."""
        if m.get_note("offline_proved"):
            return
        # announced is not done: a run that was killed in between has left it on
        if m.get_note("offline_began") is None or m.old_answers:
            yield Action(m.old.name, self._how(m), lambda: self._off(m))
        yield Action(m.new.name, f"prove from here that nobody answers at {m.old.host.address}", lambda: self._prove(m))

    def _how(self, m: Migration) -> str:
        mode = m.options.offline
        if mode == "isolate":
            return f"leave {m.old.host.address}, with a timer that brings it back after {m.revert_after:.0f} s"
        if m.hooks.offline:
            return f"run the hook `{m.hooks.offline}`"
        return f"power off (`{m.old.host.commands.poweroff}`)" if mode == "poweroff" else "ask for it to be taken off"

    def _off(self, m: Migration) -> None:
        mode, host = m.options.offline, m.old.host
        self._hold_again(m)
        if mode == "isolate":
            self._began(m)
            isolation.isolate(
                m.old, interface=undo_cutover.old_interface(m), address=host.address,
                channel=isolation.rescue_channel(m.run), seconds=m.revert_after, release=m.paused_entries,
            )  # fmt: skip
        elif m.hooks.offline:
            self._began(m)
            said = hooks.run_hook("offline", m.hooks.offline, hooks.facts_for(host, "old", m.run, m.new.host))
            m.emit(Said(said or "the hook `offline` ended well"))
        elif mode == "poweroff":
            self._began(m)
            network.power_off(m.old)
        else:
            self._by_hand(m)
        m.old.close()

    def _by_hand(self, m: Migration) -> None:
        text = f"Take {m.old.name} ({m.old.host.address}) off the network now: power it off, or cut its link."
        if not m.operator.instruct(text):
            raise StillOnline(m.old.name, "nobody has taken it off: --offline manual wants somebody at the terminal")
        self._began(m)

    def _began(self, m: Migration) -> None:
        if m.get_note("offline_began") is None:
            m.set_note("offline_began", time.time())

    def _hold_again(self, m: Migration) -> None:
        """A package, or a timer that brought it back, may have released its updates; away, nobody could hold them."""
        if m.old_answers is False:  # it is away already
            return
        back = [entry for entry in m.paused_entries if cron_hold.state(m.old, entry).in_place]
        for entry in back:
            m.emit(Said(f"{m.old.name}: {entry} was laid back meanwhile; it is held again", "warning"))
            cron_hold.hold(m.old, entry)
        if back:
            cron_hold.drain(m.old, timeout=m.drain_timeout)

    def _prove(self, m: Migration) -> None:
        network.prove_gone(m.new, m.old.host, interface=m.interface)
        m.set_note("offline_proved", time.time())

    def revert(self, m: Migration, undo: dict[str, Any]) -> Actions:
        """Only when nobody is at its address; and it is known by more than its keys when it is back."""
        if m.get_note("offline_began") is None:
            return
        who, shell = undo_cutover.identify_at(m, m.old.host, undo)
        if who == "old" and shell is not None:
            m.old.moved(m.old.host, shell)
            return  # it has never gone, or is back already
        if shell is not None:
            shell.close()
        address = m.old.host.address
        yield Action(m.new.name, f"prove that nobody is at {address}", lambda: undo_cutover.prove_address_free(m, undo))
        yield Action(m.old.name, f"bring it back to {address}", lambda: undo_cutover.return_old(m, undo))


def keep_away(m: Migration) -> None:
    """Before the new one may take the address: nobody is there, and an isolated old one has its whole time again."""
    if m.options.offline == "isolate":
        _tell(m, "extend", str(max(1, round(m.revert_after))))
    else:
        still_away(m)


def still_away(m: Migration) -> None:
    """Right before the restart into the old address: one more look.

    Raises:
        StillOnline: somebody is at the address.
    """
    answers = network.who_answers(m.new, m.old.host.address, m.old.host.port, m.interface)
    if answers:
        raise StillOnline(m.old.name, f"{', '.join(answers)} answers at {m.old.host.address}: it has come back")


def _tell(m: Migration, word: str, value: str = "") -> bool:
    """A word to the isolated old one, over the leash; False where it does not hear."""
    leash = isolation.rescue_channel(m.run)
    m.expected_keys[place_key(m.old.name, leash.old)] = tuple(undo_cutover.keys_of(m, "old"))
    held = isolation.over_rescue_channel(m.old.host, m.new.host, leash, m.dial, m.emit)
    try:
        isolation.add_rescue_address(m.new, leash, m.interface)
        isolation.tell(held, word, value)
    except MigrateError as error:
        m.emit(Said(f"{m.old.name}: its timer cannot be told: {error}", "warning"))
        return False
    finally:
        held.close()
    return True


def confirm(m: Migration) -> bool:
    """Tell the isolated old one that it is not needed any more; it stays where it is until it is told otherwise."""
    heard = _tell(m, "confirmed")
    isolation.remove_rescue_address(m.new, isolation.rescue_channel(m.run), m.interface)
    return heard
