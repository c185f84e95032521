"""Undoing the cutover: who is at the old address, and that two hosts are never there; on recorded answers."""

from __future__ import annotations

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
from tscm_migrate.appliance.lockfile import ApplianceLock
from tscm_migrate.errors import AddressConflict, HostKeyError, NotReachableAgain, Unreachable
from tscm_migrate.migration import undo_cutover
from tscm_migrate.model import Hooks, Host

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OLD, NEW = "127.0.0.43", "127.0.0.50"
UNDO = {"old_macs": [OLD_MAC], "new_macs": [NEW_MAC]}
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
def test_a_host_is_identified_by_its_macs_and_else_by_what_only_one_has(
    tmp_path: Path, mac: str, lock: str, undo: dict[str, Any], who: str
) -> None:
    m, _ = migration(tmp_path, network=Network({OLD: shell(mac=mac, lock=lock)}))
    m.journal.write("step-started", step="restore")  # the keys prove nothing any more
    found, connection = undo_cutover.identify_at(m, m.old.host, undo)
    assert found == who
    assert (connection is not None) == (who in {"old", "new"})


def test_what_nothing_identifies_is_unknown(tmp_path: Path) -> None:
    m, _ = migration(tmp_path, network=Network({OLD: shell()}))
    m.journal.write("step-started", step="restore")
    assert undo_cutover.identify_at(m, m.old.host, UNDO)[0] == "unknown"


@pytest.mark.parametrize(
    ("error", "who"),
    [(HostKeyError("tscm-old", "shows another key"), "other"), (Unreachable("tscm-old", "timed out"), "no answer")],
)
def test_an_unknown_host_key_is_another_host_s_and_no_connection_is_no_answer(
    tmp_path: Path, error: Exception, who: str
) -> None:
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
def test_the_old_appliance_is_not_returned_to_an_address_that_another_host_has(
    tmp_path: Path, at_old: LocalShell | Exception, named: str
) -> None:
    m, _ = migration(tmp_path, network=Network({OLD: at_old, NEW: shell(mac=NEW_MAC)}))
    with pytest.raises(AddressConflict, match=named):
        undo_cutover.prove_address_free(m, UNDO)


def test_an_unknown_host_at_the_old_address_is_not_taken_for_the_old_appliance(tmp_path: Path) -> None:
    m, _ = migration(tmp_path, network=Network({OLD: shell(), NEW: shell(mac=NEW_MAC)}))
    m.journal.write("step-started", step="restore")
    with pytest.raises(AddressConflict, match="no MAC address, machine-id, host key or lock"):
        undo_cutover.prove_address_free(m, UNDO)


def test_silence_is_proved_from_the_new_appliance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undo_cutover, "_GONE_WITHIN", 0.5)
    new = shell(mac=NEW_MAC, answers="asked arp\narp\n")
    m, _ = migration(tmp_path, network=Network({NEW: new}))
    with pytest.raises(AddressConflict, match=r"arp answers at 127\.0\.0\.43"):
        undo_cutover.prove_address_free(m, UNDO)
    new.recorded["probe "] = "asked arp\n"
    undo_cutover.prove_address_free(m, UNDO)
    assert sum("probe " in display for display in new.displays) >= 3, "it is asked, and at two looks"


def test_a_silence_that_nobody_can_ask_for_is_no_proof(tmp_path: Path) -> None:
    m, _ = migration(tmp_path, network=Network({NEW: shell(mac=NEW_MAC, answers="")}))
    with pytest.raises(AddressConflict):
        undo_cutover.prove_address_free(m, UNDO)


def test_the_new_appliance_is_found_at_either_of_its_addresses(tmp_path: Path) -> None:
    m, _ = migration(tmp_path, network=Network({OLD: shell(mac=NEW_MAC)}))
    assert undo_cutover.find_new(m, UNDO)
    assert m.new.host.address == OLD
    m, _ = migration(tmp_path / "other", network=Network({OLD: shell(mac=OLD_MAC), NEW: shell(mac=NEW_MAC)}))
    assert not undo_cutover.find_new(m, UNDO)
    assert m.new.host.address == NEW
    m, _ = migration(tmp_path / "none", network=Network({OLD: shell(mac=OLD_MAC), NEW: shell(mac=OTHER_MAC)}))
    with pytest.raises(NotReachableAgain):
        undo_cutover.find_new(m, UNDO)


def test_a_new_appliance_that_cannot_be_moved_away_has_to_be_switched_off(tmp_path: Path) -> None:
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
def test_what_comes_back_has_to_be_the_appliance_that_left(
    tmp_path: Path, answers: LocalShell, undo: dict[str, Any]
) -> None:
    m, _ = migration(tmp_path, network=Network({OLD: answers}))
    with pytest.raises(AddressConflict, match="is not the appliance that left"):
        undo_cutover.return_old(m, undo)


def test_a_person_brings_the_old_appliance_back(tmp_path: Path) -> None:
    person = Person()
    m, _ = migration(tmp_path, network=Network({OLD: shell(mac=OLD_MAC)}), person=person)
    undo_cutover.return_old(m, UNDO)
    assert ["tscm-old" in text for text in person.asked] == [True]
    assert m.old.connected
    person.does = False
    with pytest.raises(NotReachableAgain, match=f"tscm-migrate rollback {RUN}"):
        undo_cutover.return_old(m, UNDO)


@posix_only
def test_the_hook_brings_the_old_appliance_back(tmp_path: Path) -> None:
    made = tmp_path / "made"
    hooks = Hooks(online=f"echo on > '{made}'")
    network = Network({OLD: shell(mac=OLD_MAC)})
    m, _ = migration(tmp_path / "hook", network=network, person=Person(does=False), hooks=hooks)
    undo_cutover.return_old(m, UNDO)
    assert made.exists()


def test_the_macs_of_the_step_that_looked_at_the_old_address_are_used(tmp_path: Path) -> None:
    m, _ = migration(tmp_path)
    assert undo_cutover.known_macs(m) == {"old_macs": [], "new_macs": []}
    m.journal.write("captured", step="take-offline", undo={"offline": "poweroff", **UNDO})
    assert undo_cutover.known_macs(m) == UNDO
