"""Take the old appliance offline by one of three methods, and return it in a rollback."""

import time
from typing import Any

from tscm_migrate.appliance import cron_hold, isolation, network
from tscm_migrate.errors import StillOnline
from tscm_migrate.events import Message
from tscm_migrate.migration import undo_cutover
from tscm_migrate.migration.context import Action, Actions, Migration
from tscm_migrate.migration.engine import Step
from tscm_migrate.util.text import duration_text

_FRESH = 3.0  # seconds for which a proof that the old appliance is gone is not repeated


class Snapshot(Step):
    """Take snapshots of both VMs if the inventory has a hook for it."""

    id = "snapshot"
    title = "Take VM snapshots (inventory hook)"

    def apply(self, m: Migration) -> Actions:
        """Call the hook for each appliance, before the cutover."""
        command = m.hooks.snapshot
        if command and not m.get_note("snapshots"):
            for one in m.reachable:
                what = f"run the hook `{command}`"
                yield Action(one.name, what, lambda a=one: undo_cutover.run_hook(m, "snapshot", command, a))  # type: ignore[misc]
            m.set_note("snapshots", value=True)


class TakeOffline(Step):
    """Take the old appliance offline, and check from the new appliance that it does not answer."""

    id = "take-offline"
    title = "Take the old appliance offline and check that it is offline"
    cutover = True
    revert_summary = "return {old} to {address}"

    def capture(self, m: Migration) -> dict[str, Any]:
        """Return the method, and the MAC addresses that identify both when they show the same host keys."""
        return {
            "offline": m.options.offline,
            "old_macs": list(network.hardware_addresses(m.old.shell)),
            "new_macs": list(network.hardware_addresses(m.new.shell)),
        }

    def apply(self, m: Migration) -> Actions:
        """Take it offline; then prove from the new appliance that no host answers at its address."""
        if m.get_note("offline_proved"):
            return
        # a run that was killed before the action ended may have left it online
        if m.get_note("offline_began") is None or m.old_answers:
            yield Action(m.old.name, self._how(m), lambda: self._off(m))
        yield Action(m.new.name, f"confirm that no host answers at {m.old.host.address}", lambda: self._prove(m))

    def _how(self, m: Migration) -> str:
        mode = m.options.offline
        if mode == "isolate":
            return f"leave {m.old.host.address}, with a timer that returns it after {duration_text(m.revert_after)}"
        if m.hooks.offline:
            return f"run the hook `{m.hooks.offline}`"
        if mode == "poweroff":
            return f"power off (`{m.old.host.commands.poweroff}`)"
        return "ask the operator to take it offline"

    def _off(self, m: Migration) -> None:
        mode, host = m.options.offline, m.old.host
        self._pause_again(m)
        if mode == "isolate":
            self._began(m)
            isolation.isolate(
                m.old, interface=undo_cutover.old_interface(m), address=host.address,
                channel=isolation.rescue_channel(m.run), seconds=m.revert_after, release=m.paused_entries,
            )  # fmt: skip
        elif m.hooks.offline:
            self._began(m)
            undo_cutover.run_hook(m, "offline", m.hooks.offline, m.old)
        elif mode == "poweroff":
            self._began(m)
            network.power_off(m.old)
        else:
            self._manually(m)
        m.old.close()

    def _manually(self, m: Migration) -> None:
        text = f"Take {m.old.name} ({m.old.host.address}) offline now: power it off or disconnect it."
        if not m.operator.instruct(text):
            raise StillOnline(
                m.old.name, "it was not taken offline: --offline manual needs an operator at the terminal"
            )
        self._began(m)

    def _began(self, m: Migration) -> None:
        if m.get_note("offline_began") is None:
            m.set_note("offline_began", time.time())

    def _pause_again(self, m: Migration) -> None:
        """Pause updates again that a package or the timer has resumed; offline they could not be paused."""
        if m.old_answers is False:  # it is offline already
            return
        paused = m.paused_entries
        now = cron_hold.states(m.old, *paused) if paused else ()
        back = [entry for entry, state in zip(paused, now, strict=True) if state.in_place]
        for entry in back:
            m.emit(Message(f"{m.old.name}: {entry} was restored meanwhile; it is paused again", "warning"))
            cron_hold.hold(m.old, entry)
        if back:
            cron_hold.drain(m.old, timeout=m.drain_timeout)

    def _prove(self, m: Migration) -> None:
        network.prove_gone(m.new, m.old.host, interface=m.interface)
        m.set_note("offline_proved", time.time())

    def revert(self, m: Migration, undo: dict[str, Any]) -> Actions:
        """Return it if no host is at its address, and identify it by more than its host keys."""
        if m.get_note("offline_began") is None:
            return
        if undo_cutover.answers_at(m, m.old, m.old.host, undo) and not self._leaves_late(m):
            return  # it never left, or has returned already
        address = m.old.host.address
        yield Action(
            m.new.name, f"confirm that no host is at {address}", lambda: undo_cutover.prove_address_free(m, undo)
        )
        yield Action(m.old.name, f"return it to {address}", lambda: undo_cutover.return_old(m, undo))

    def _leaves_late(self, m: Migration) -> bool:
        """Return whether it powers off only now, some seconds after the command or hook was run."""
        if m.options.offline == "isolate":
            return False
        passed = time.time() - m.get_note("offline_began")
        left = network.GOES_DOWN - passed if passed >= 0 else network.GOES_DOWN  # the clock was set back
        if left <= 0:
            return False
        m.emit(Message(f"{m.old.name} may still power off; waiting up to {left:.0f} s"))
        return network.goes_down(m.old, was=network.boot_of(m.old.shell), within=left)


def keep_away(m: Migration) -> None:
    """Keep the old appliance offline until the new has its address: check it, or restart its timer."""
    if m.options.offline == "isolate":
        undo_cutover.tell_timer(m, "extend", str(max(1, round(m.revert_after))))
    else:
        still_away(m)


def still_away(m: Migration) -> None:
    """Check again that no host is at the old address, unless this was proved in the last seconds.

    Raises:
        StillOnline: a host answers.
    """
    if 0 <= time.time() - (m.get_note("offline_proved") or 0) < _FRESH:
        return
    answers = network.who_answers(m.new, m.old.host.address, m.old.host.port, m.interface)
    if answers:
        raise StillOnline(m.old.name, f"{', '.join(answers)} answers at {m.old.host.address}: it has returned")
