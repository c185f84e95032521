"""Which appliance answers: evidence is used in its order; without evidence the result is unknown."""

from __future__ import annotations

from typing import Any

import pytest

from tscm_migrate.appliance.facts import Facts
from tscm_migrate.appliance.lockfile import ApplianceLock
from tscm_migrate.migration.rediscover import HostTraits, KnownTraits, who_is

RUN = "20240501-030000-1a2b"


def known(**changes: Any) -> KnownTraits:
    old = Facts("old", machine_id=changes.pop("old_machine", ""), boot="boot-old 1")
    new = Facts("new", machine_id=changes.pop("new_machine", ""), boot="boot-new 1")
    fields: dict[str, Any] = {"old_keys": frozenset({"K-old"}), "new_keys": frozenset({"K-new"}), **changes}
    return KnownTraits(old, new, RUN, **fields)


def marked(role: str, run: str = RUN) -> ApplianceLock:
    return ApplianceLock(run, role)


@pytest.mark.parametrize(
    ("trace", "known_", "who"),
    [
        # only the new appliance has its key
        (HostTraits("K-new"), known(restoring=True), "new"),
        (HostTraits("K-new", marked("old")), known(), "new"),
        # the same key on both (cloned images): it proves nothing
        (HostTraits("K", marked("old")), known(old_keys=frozenset({"K"}), new_keys=frozenset({"K"})), "old"),
        (HostTraits("K", marked("new")), known(old_keys=frozenset({"K"}), new_keys=frozenset({"K"})), "new"),
        (HostTraits("K"), known(old_keys=frozenset({"K"}), new_keys=frozenset({"K"}), restoring=True), ""),
        # after the restore both show the key of the old appliance key
        (HostTraits("K-old", marked("new")), known(restoring=True), "new"),
        (HostTraits("K-old", marked("old")), known(restoring=True), "old"),
        # the mark of another run says nothing
        (HostTraits("K-old", marked("new", "another")), known(restoring=True), ""),
        (HostTraits("K-old", machine_id="A"), known(restoring=True, old_machine="A", new_machine="B"), "old"),
        (HostTraits("K-old", machine_id="B"), known(restoring=True, old_machine="A", new_machine="B"), "new"),
        (HostTraits("K-old", machine_id="A"), known(restoring=True, old_machine="A", new_machine="A"), ""),
        (HostTraits("K-old", boot="boot-old 1"), known(restoring=True), "old"),
        (HostTraits("K-old", boot="boot-new 1"), known(restoring=True), "new"),
        # before any restore only the old appliance has its key
        (HostTraits("K-old", boot="another"), known(), "old"),
        # its updates are held: those of the new appliance never are
        (HostTraits("K-old", holds=True), known(restoring=True), "old"),
        # the old appliance went away with the mark on it, and the lock is missing here
        (HostTraits("K-old"), known(restoring=True, locked_old=True), "new"),
        (HostTraits("K-other"), known(), ""),
    ],
)
def test_appliance_is_identified_by_unique_evidence(trace: HostTraits, known_: KnownTraits, who: str) -> None:
    assert who_is(trace, known_) == who


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"run": 1}', '{"run": "a", "pid": "x"}', "\x00", "9" * 5000])
def test_unreadable_lock_counts_as_a_lock_of_another_run(text: str) -> None:
    assert ApplianceLock.parse(text) == ApplianceLock()


def test_lock_is_read_as_it_was_written() -> None:
    mark = ApplianceLock(RUN, "old", "me@there", "ab12", 7, "2024-05-01T03:00:00Z")
    assert ApplianceLock.parse(mark.text()) == mark
    assert "\n" not in ApplianceLock(owner="me\nyou").text()
