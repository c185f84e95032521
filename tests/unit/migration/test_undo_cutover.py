"""Undoing the cutover: which host is at the old address, and that two hosts never are; with recorded answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.local_shell import (
    NEW_KEY,
    NEW_MAC,
    OLD_KEY,
    OLD_MAC,
    OTHER_MAC,
    RUN,
    LocalShell,
    Network,
    Person,
    migration,
    posix_only,
)  # fmt: skip
from tscm_migrate.appliance import isolation
from tscm_migrate.appliance.lockfile import ApplianceLock
from tscm_migrate.appliance.parsers import Interface
from tscm_migrate.errors import AddressConflict, ApplianceError, HostKeyError, NotReachableAgain, Unreachable
from tscm_migrate.events import Event, Message, Waiting
from tscm_migrate.migration import undo_cutover
from tscm_migrate.migration.context import Migration, place_key
from tscm_migrate.model import Hooks, Host

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OLD, NEW = "127.0.0.43", "127.0.0.50"
UNDO = {"old_macs": [OLD_MAC], "new_macs": [NEW_MAC]}
ISOLATED = {"offline": "isolate", **UNDO}
CHANNEL = isolation.rescue_channel(RUN)
RESTORED = "restore its own settings, host keys and devices"
SHARED = {"old_macs": [OLD_MAC, OTHER_MAC], "new_macs": [NEW_MAC, OTHER_MAC]}


def shell(
    *, mac: str = "", lock: str = "", key: str = OLD_KEY, answers: str | Callable[[], str] = "asked arp\n"
) -> LocalShell:
    """What answers: its MAC address, the role of its lock of this run, its host key; whom it sees at another address."""
    mark = ApplianceLock(RUN, lock, workstation="w").text() if lock else ""
    recorded: dict[str, Any] = {
        "read its MACs": f"{mac}\n" if mac else "",
        "which appliance is it": f"{mark}\nno\n\nboot\n",
        "probe ": answers,
        "read the boot identity": "boot\n",
    }
    return LocalShell(Host("recorded", "127.0.0.1"), key, recorded, runs_here=False)


@pytest.mark.parametrize(
    ("mac", "lock", "undo", "who"),
    [
        (OLD_MAC, "", UNDO, "old"),
        (NEW_MAC, "", UNDO, "new"),
        (OLD_MAC, "new", UNDO, "old"),  # the MAC address counts for more than the lock
        (OTHER_MAC, "", UNDO, "other"),
        (OTHER_MAC, "old", UNDO, "other"),  # a clone has the lock, too
        (OTHER_MAC, "new", UNDO, "other"),
        (OTHER_MAC, "old", {"old_macs": [OLD_MAC], "new_macs": []}, "other"),
        (OTHER_MAC, "new", {"old_macs": [OLD_MAC], "new_macs": []}, "new"),  # its MAC addresses were not read
        (f"{OTHER_MAC}\n{NEW_MAC}", "old", SHARED, "new"),  # OTHER_MAC is on both, as a bridge's may be
        (f"{OTHER_MAC}\n{OLD_MAC}", "new", SHARED, "old"),
        ("", "old", UNDO, "old"),
        ("", "new", UNDO, "new"),
        ("", "old", {}, "old"),
    ],
)
def test_host_is_identified_by_its_macs_or_other_unique_evidence(
    tmp_path: Path, mac: str, lock: str, undo: dict[str, Any], who: str
) -> None:
    m, _ = migration(tmp_path, network=Network({OLD: shell(mac=mac, lock=lock)}))
    m.journal.write("step-started", step="restore")  # the keys prove nothing any more
    found, connection = undo_cutover.identify_at(m, m.old.host, undo)
    assert found == who
    assert (connection is not None) == (who in {"old", "new"})


def test_host_without_evidence_is_unknown(tmp_path: Path) -> None:
    m, _ = migration(tmp_path, network=Network({OLD: shell()}))
    m.journal.write("step-started", step="restore")
    assert undo_cutover.identify_at(m, m.old.host, UNDO)[0] == "unknown"


@pytest.mark.parametrize(
    ("error", "who"),
    [(HostKeyError("tscm-old", "shows another key"), "other"), (Unreachable("tscm-old", "timed out"), "no answer")],
)
def test_unknown_host_key_belongs_to_another_host(tmp_path: Path, error: Exception, who: str) -> None:
    network = Network({OLD: error})
    m, _ = migration(tmp_path, network=network)
    assert undo_cutover.identify_at(m, m.old.host, UNDO) == (who, None)
    assert set(network.dialled[0][1]) == {OLD_KEY, NEW_KEY}, "only the keys of the two are accepted"


@pytest.mark.parametrize(
    ("at_old", "named"),
    [
        (shell(mac=NEW_MAC), "tscm-new is there"),
        (shell(mac=OTHER_MAC), "another host is there"),
        (HostKeyError("tscm-old", "shows another key"), "another host is there"),
    ],
)
def test_old_appliance_is_not_returned_to_an_occupied_address(
    tmp_path: Path, at_old: LocalShell | Exception, named: str
) -> None:
    m, _ = migration(tmp_path, network=Network({OLD: at_old, NEW: shell(mac=NEW_MAC)}))
    with pytest.raises(AddressConflict, match=named):
        undo_cutover.prove_address_free(m, UNDO)


def test_unknown_host_at_the_old_address_is_not_the_old_appliance(tmp_path: Path) -> None:
    m, _ = migration(tmp_path, network=Network({OLD: shell(), NEW: shell(mac=NEW_MAC)}))
    m.journal.write("step-started", step="restore")
    with pytest.raises(AddressConflict, match="no MAC address, machine-id, host key or lock"):
        undo_cutover.prove_address_free(m, UNDO)


def test_free_old_address_is_proved_from_the_new_appliance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undo_cutover, "_GONE_WITHIN", 0.5)
    new = shell(mac=NEW_MAC, answers="asked arp\narp\n")
    m, _ = migration(tmp_path, network=Network({NEW: new}))
    with pytest.raises(AddressConflict, match=r"arp answers at 127\.0\.0\.43"):
        undo_cutover.prove_address_free(m, UNDO)
    new.recorded["probe "] = "asked arp\n"
    undo_cutover.prove_address_free(m, UNDO)
    assert sum("probe " in display for display in new.displays) >= 3, "the new appliance probes the address twice"


def test_free_address_is_unproved_without_the_new_appliance(tmp_path: Path) -> None:
    m, _ = migration(tmp_path, network=Network({NEW: shell(mac=NEW_MAC, answers="")}))
    with pytest.raises(AddressConflict):
        undo_cutover.prove_address_free(m, UNDO)


def test_new_appliance_is_found_at_either_address(tmp_path: Path) -> None:
    m, _ = migration(tmp_path, network=Network({OLD: shell(mac=NEW_MAC)}))
    assert undo_cutover.find_new(m, UNDO)
    assert m.new.host.address == OLD
    m, _ = migration(tmp_path / "other", network=Network({OLD: shell(mac=OLD_MAC), NEW: shell(mac=NEW_MAC)}))
    assert not undo_cutover.find_new(m, UNDO)
    assert m.new.host.address == NEW
    m, _ = migration(tmp_path / "none", network=Network({OLD: shell(mac=OLD_MAC), NEW: shell(mac=OTHER_MAC)}))
    with pytest.raises(NotReachableAgain):
        undo_cutover.find_new(m, UNDO)


def test_new_appliance_that_cannot_be_moved_must_be_powered_off(tmp_path: Path) -> None:
    person = Person(does=False)
    m, _ = migration(tmp_path, person=person)
    with pytest.raises(AddressConflict, match="tscm-new may still have it"):
        undo_cutover.move_new_away(m, UNDO)
    assert ["Power off tscm-new" in text for text in person.asked] == [True]
    person.does = True
    undo_cutover.move_new_away(m, UNDO)


@pytest.mark.parametrize(
    ("answers", "undo"),
    [(shell(mac=OTHER_MAC), UNDO), (shell(mac=NEW_MAC), UNDO), (shell(mac=OTHER_MAC, lock="old"), UNDO)],
)
def test_returned_host_must_be_the_old_appliance(tmp_path: Path, answers: LocalShell, undo: dict[str, Any]) -> None:
    m, _ = migration(tmp_path, network=Network({OLD: answers}))
    with pytest.raises(AddressConflict, match="is not the appliance that left"):
        undo_cutover.return_old(m, undo)


def test_operator_returns_the_old_appliance(tmp_path: Path) -> None:
    person = Person()
    m, _ = migration(tmp_path, network=Network({OLD: shell(mac=OLD_MAC)}), person=person)
    undo_cutover.return_old(m, UNDO)
    assert ["tscm-old" in text for text in person.asked] == [True]
    assert m.old.connected
    person.does = False
    with pytest.raises(NotReachableAgain, match=f"tscm-migrate rollback {RUN}"):
        undo_cutover.return_old(m, UNDO)


@posix_only
def test_hook_returns_the_old_appliance(tmp_path: Path) -> None:
    made = tmp_path / "made"
    hooks = Hooks(online=f"echo on > '{made}'")
    network = Network({OLD: shell(mac=OLD_MAC)})
    m, _ = migration(tmp_path / "hook", network=network, person=Person(does=False), hooks=hooks)
    undo_cutover.return_old(m, UNDO)
    assert made.exists()


def test_macs_recorded_before_the_cutover_are_used(tmp_path: Path) -> None:
    m, _ = migration(tmp_path)
    assert undo_cutover.known_macs(m) == {"old_macs": [], "new_macs": []}
    m.journal.write("captured", step="take-offline", undo={"offline": "poweroff", **UNDO})
    assert undo_cutover.known_macs(m) == UNDO


def said(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Message)]


def lost() -> str:
    raise Unreachable("tscm-new", "the connection was closed")


def not_restored() -> str:
    raise ApplianceError("tscm-new", "its own settings could not be restored")


def test_old_interface_is_that_with_the_old_address(tmp_path: Path) -> None:
    m, _ = migration(tmp_path, interface="ens9")
    other = Interface("eth1", "192.0.2.7", 24)
    m.old_facts = replace(m.old_facts, interfaces=(other, Interface("eth0", OLD, 24)))
    assert undo_cutover.old_interface(m) == "eth0"
    m.old_facts = replace(m.old_facts, interfaces=(other,))
    assert undo_cutover.old_interface(m) == "ens9"


def test_connection_to_another_or_lost_host_is_closed(tmp_path: Path) -> None:
    network = Network({OLD: shell(mac=OTHER_MAC)})
    m, _ = migration(tmp_path, network=network)
    assert undo_cutover.identify_at(m, m.old.host, UNDO) == ("other", None)
    assert network.open_at == []
    breaks = shell()
    breaks.recorded["read its MACs"] = lost
    network.at[OLD] = breaks
    with pytest.raises(Unreachable, match="closed"):
        undo_cutover.identify_at(m, m.old.host, UNDO)
    assert network.open_at == []


def test_search_for_the_new_appliance_closes_the_old_connection(tmp_path: Path) -> None:
    network = Network({OLD: shell(mac=OLD_MAC), NEW: shell(mac=NEW_MAC)})
    m, _ = migration(tmp_path, network=network)
    undo_cutover.find_new(m, UNDO)
    assert network.open_at == [NEW]
    assert [address for address, _ in network.dialled] == [OLD, NEW]
    assert m.new.connected


def test_new_appliance_restarts_with_its_own_network_settings(tmp_path: Path) -> None:
    at_old, at_home = shell(mac=NEW_MAC), shell(mac=NEW_MAC, key=NEW_KEY)
    at_old.recorded |= {"restore its own": "", "shutdown -r": ""}
    at_home.recorded["read the boot identity"] = "the next boot\n"
    network, person = Network({OLD: at_old, NEW: at_home}), Person(does=False)
    m, _ = migration(tmp_path, network=network, person=person)
    m.policy = replace(m.policy, reboot_timeout=60.0)
    undo_cutover.move_new_away(m, UNDO)
    assert person.asked == []
    changed = [text for text in at_old.displays if text.startswith(("restore", "shutdown", "read the boot"))]
    assert changed == [RESTORED, "read the boot identity", m.new.host.commands.reboot]
    assert m.new.host.address == NEW
    assert network.open_at == [NEW]
    assert m.new.connected
    assert set(m.expected_keys[place_key("tscm-new", NEW)]) == {OLD_KEY, NEW_KEY}


def test_new_appliance_that_was_not_moved_is_not_restarted(tmp_path: Path) -> None:
    at_home, person = shell(mac=NEW_MAC), Person(does=False)
    at_home.recorded["restore its own"] = ""
    m, _ = migration(tmp_path, network=Network({NEW: at_home}), person=person)
    undo_cutover.move_new_away(m, UNDO)
    assert person.asked == []
    assert at_home.displays[-1] == RESTORED


@posix_only
@pytest.mark.parametrize(("hook", "text"), [("echo $TSCM_ROLE is off", "new is off"), (":", "the hook `offline` suc")])
def test_hook_powers_off_a_new_appliance_that_cannot_be_restored(tmp_path: Path, hook: str, text: str) -> None:
    at_old, person = shell(mac=NEW_MAC), Person(does=False)
    at_old.recorded["restore its own"] = not_restored
    m, events = migration(tmp_path, network=Network({OLD: at_old}), person=person, hooks=Hooks(offline=hook))
    undo_cutover.move_new_away(m, UNDO)
    assert person.asked == []
    warning, output = said(events)
    assert "could not be restored" in warning
    assert warning.endswith("it has to be switched off instead")
    assert output.startswith(text)


def test_connection_to_new_appliance_with_its_own_key_is_kept(tmp_path: Path) -> None:
    at_home = shell(mac=NEW_MAC, key=NEW_KEY)
    at_home.recorded["restore its own"] = ""
    network = Network({NEW: at_home})
    m, _ = migration(tmp_path, network=network)
    undo_cutover.restore_new(m, UNDO)
    assert at_home.displays[-1] == RESTORED
    assert network.open_at == [NEW]


def test_sshd_is_reloaded_to_use_its_own_host_key(tmp_path: Path) -> None:
    def reload() -> str:
        network.at[NEW] = shell(mac=NEW_MAC, key=NEW_KEY)
        return ""

    at_home = shell(mac=NEW_MAC, key=OLD_KEY)
    at_home.recorded |= {"restore its own": "", "reload sshd": reload}
    network = Network({NEW: at_home})
    m, _ = migration(tmp_path, network=network)
    undo_cutover.restore_new(m, UNDO)
    assert at_home.displays[-2:] == [RESTORED, "reload sshd"]
    assert m.new.connected
    assert m.new.shell.server_fingerprint() == NEW_KEY
    assert m.expected_keys[place_key("tscm-new", NEW)] == (NEW_KEY,)


def test_settings_are_restored_only_on_the_new_appliance(tmp_path: Path) -> None:
    stranger = shell(mac=OTHER_MAC, key=NEW_KEY)
    stranger.recorded["restore its own"] = ""
    m, _ = migration(tmp_path, network=Network({NEW: stranger}))
    with pytest.raises(NotReachableAgain):
        undo_cutover.restore_new(m, UNDO)
    assert RESTORED not in stranger.displays


def test_proof_closes_the_connection_to_the_old_address(tmp_path: Path) -> None:
    network = Network({OLD: shell(mac=NEW_MAC)})
    m, _ = migration(tmp_path, network=network)
    with pytest.raises(AddressConflict) as raised:
        undo_cutover.prove_address_free(m, UNDO)
    assert raised.value.address == OLD
    assert network.open_at == []


def test_proof_uses_one_connection_and_waits_between_probes(tmp_path: Path) -> None:
    answers = iter(["asked arp\narp\n"])
    network = Network({NEW: shell(mac=NEW_MAC, answers=lambda: next(answers, "asked arp\n"))})
    m, events = migration(tmp_path, network=network)
    m.new.emit = events.append
    undo_cutover.prove_address_free(m, UNDO)
    assert [address for address, _ in network.dialled] == [OLD, NEW]
    assert [15.0 <= event.limit <= 45.0 for event in events if isinstance(event, Waiting)] == [True]


def test_proof_comes_only_from_the_new_appliance(tmp_path: Path) -> None:
    at_new = shell(mac=OLD_MAC)
    m, _ = migration(tmp_path, network=Network({NEW: at_new}))
    undo_cutover.prove_address_free(m, UNDO)
    assert [text for text in at_new.displays if "probe" in text] == []


def test_host_that_refuses_connections_occupies_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any, **__: Any) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("socket.create_connection", refuses)
    network = Network()
    m, _ = migration(tmp_path, network=network)
    m.old.moved(replace(m.old.host, address="192.0.2.43"))
    with pytest.raises(AddressConflict, match="a host is there that refuses connections"):
        undo_cutover.prove_address_free(m, UNDO)
    network.at["192.0.2.43"] = shell(mac=OLD_MAC)  # a login that succeeds counts for more
    undo_cutover.prove_address_free(m, UNDO)


def test_unidentified_host_is_not_accepted_as_the_old_appliance(tmp_path: Path) -> None:
    m, _ = migration(tmp_path, network=Network({OLD: shell()}))
    m.journal.write("step-started", step="restore")
    with pytest.raises(AddressConflict, match="the host that answers is unidentified: no MAC address"):
        undo_cutover.return_old(m, UNDO)


@posix_only
@pytest.mark.parametrize(("hook", "text"), [("echo $TSCM_ROLE is on", "old is on"), (":", "the hook `online` suc")])
def test_output_of_the_hook_is_shown(tmp_path: Path, hook: str, text: str) -> None:
    m, events = migration(tmp_path, network=Network({OLD: shell(mac=OLD_MAC)}), hooks=Hooks(online=hook))
    undo_cutover.return_old(m, UNDO)
    assert [line.startswith(text) for line in said(events)] == [True]


@pytest.mark.parametrize(("undo", "more"), [(UNDO, 0.0), (ISOLATED, 700.0)])
def test_old_appliance_is_awaited_until_its_timer_returns_it(tmp_path: Path, undo: dict[str, Any], more: float) -> None:
    network, limits = Network(), list[float]()

    def emit(event: Event) -> None:
        if isinstance(event, Waiting):
            limits.append(event.limit)
            network.at[OLD] = shell(mac=OLD_MAC)

    m, _ = migration(tmp_path, network=network)
    m.emit, m.policy = emit, replace(m.policy, reboot_timeout=60.0, revert_after=700.0)
    undo_cutover.return_old(m, undo)
    assert limits == [60.0 + more]
    assert network.open_at == [OLD]
    assert [address for address, _ in network.dialled].count(OLD) == 2, (
        "one attempt without an answer, then one connection"
    )


class Clock:
    """A clock that only sleeping advances; `after`: what happens after that many sleeps."""

    def __init__(self, after: dict[int, Callable[[], None]] | None = None) -> None:
        self.now, self.slept, self._after = 0.0, list[float](), after or {}

    def monotonic(self) -> float:
        self.now += 0.001  # so that a loop without a sleep ends, too
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)
        self._after.get(len(self.slept), lambda: None)()


def isolated(root: Path, **changes: Any) -> tuple[Migration, list[Event], Network, LocalShell, LocalShell]:
    """The old appliance is isolated; its timer answers at CHANNEL.old once it is put into the network."""
    new, timer = shell(mac=NEW_MAC, key=NEW_KEY), shell()
    new.recorded |= {"take the channel": "", "let the channel go": ""}
    timer.recorded["command for the timer"] = ""
    network = Network({OLD: shell(mac=OLD_MAC), NEW: new})
    m, events = migration(root, network=network, person=Person(does=False), **changes)
    return m, events, network, new, timer


def test_timer_returns_the_old_appliance(tmp_path: Path) -> None:
    m, events, network, new, timer = isolated(tmp_path)
    network.at[CHANNEL.old] = timer
    undo_cutover.return_old(m, ISOLATED)
    assert timer.displays == ["command for the timer: return"]
    assert new.displays == ["take the channel of the isolated appliance", "let the channel go"]
    assert said(events) == []
    assert CHANNEL.old not in network.open_at
    assert m.expected_keys[place_key("tscm-old", CHANNEL.old)] == (OLD_KEY,)
    assert m.old.connected


def test_timer_that_accepts_no_command_is_awaited(tmp_path: Path) -> None:
    m, events, network, new, timer = isolated(tmp_path)
    timer.recorded["command for the timer"] = lost
    network.at[CHANNEL.old] = timer
    undo_cutover.return_old(m, ISOLATED)
    reason, waits = said(events)
    assert "the connection was closed" in reason
    assert waits == "tscm-old does not answer; waiting for its timer"
    assert CHANNEL.old not in network.open_at
    assert new.displays[-1] == "let the channel go"


@posix_only
def test_silent_timer_is_asked_again_after_the_hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    m, events, network, _, timer = isolated(tmp_path, hooks=Hooks(online="echo switched on"))
    clock = Clock({3: lambda: network.at.update({CHANNEL.old: timer})})
    monkeypatch.setattr(undo_cutover, "time", clock)
    undo_cutover.return_old(m, ISOLATED)
    assert timer.displays == ["command for the timer: return"]
    assert [0.5 <= pause <= 1.5 for pause in clock.slept] == [True, True, True]
    assert len(said(events)) == 2, "why the first try failed, and what the hook printed; the later tries are silent"
    assert said(events)[1] == "switched on"


@posix_only
def test_silent_timer_is_awaited_for_the_time_of_a_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    m, events, _, _, _ = isolated(tmp_path, hooks=Hooks(online=":"))
    clock = Clock()
    monkeypatch.setattr(undo_cutover, "time", clock)
    undo_cutover.return_old(m, ISOLATED)
    assert 60.0 <= sum(clock.slept) <= 120.0
    assert said(events)[-1] == "tscm-old does not answer; waiting for its timer"
