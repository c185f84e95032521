"""Estimates of the duration of steps, from earlier runs and rehearsals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tscm_migrate.appliance.facts import Facts
from tscm_migrate.migration import estimate
from tscm_migrate.migration.estimate import Estimate, Rehearsal
from tscm_migrate.migration.journal import Journal
from tscm_migrate.model import Host
from tscm_migrate.options import MigrateOptions

if TYPE_CHECKING:
    from pathlib import Path


def ran(root: Path, run: str, acted: float, seconds: float) -> None:
    journal = Journal.create(run, root)
    journal.write("run-started", run=run, old="a", new="b")
    journal.write("step-started", step="come-back")
    if acted:
        journal.write("action-done", step="come-back", describes="wait", seconds=acted)
    journal.write("step-done", step="come-back", seconds=seconds)


def test_step_without_actions_does_not_count_for_the_estimate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSCM_STATE", str(tmp_path))
    ran(tmp_path, "20260101-000000-aaaa", 40.0, 41.0)
    ran(tmp_path, "20260102-000000-aaaa", 0.0, 0.004)
    assert estimate.earlier() == {"come-back": 41.0}


def test_rehearsal_time_is_the_estimate_until_a_restore_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TSCM_STATE", str(tmp_path))
    journal = Journal.create("20260103-000000-aaaa", tmp_path)
    journal.write("run-started", run="20260103-000000-aaaa", old="a", new="b")
    journal.write("noted", key="rehearsal", value={"took": {"restore": 7.5, "restore-network": 2.0}})
    assert estimate.earlier() == {"restore": 7.5, "restore-network": 2.0}
    journal.write("action-done", step="restore", describes="x", seconds=9.0)
    journal.write("step-done", step="restore", seconds=9.0)
    assert estimate.earlier()["restore"] == 9.0


def test_estimate_of_a_device_is_the_mean_of_updated_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSCM_STATE", str(tmp_path))
    journal = Journal.create("20260103-000000-aaaa", tmp_path)
    results = {
        "a": {"ok": True, "seconds": 2.0},
        "b": {"ok": True, "seconds": 4.0},
        "c": {"ok": False, "seconds": 99.0},
    }
    journal.write("noted", key="devices", value=results)
    assert estimate.earlier() == {"each device": 3.0}


def test_restart_estimate_uses_the_last_start_and_the_last_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSCM_STATE", str(tmp_path))
    first = estimate.restart(40.0, estimate.earlier())
    assert (first.seconds, first.basis.partition(":")[0]) == (45.0, "usual")
    ran(tmp_path, "20260101-000000-aaaa", 41.0, 41.0)
    journal = Journal.create("20260102-000000-aaaa", tmp_path)
    journal.write("run-started", run="20260102-000000-aaaa", old="a", new="b")
    journal.write("noted", key="rehearsal", value={"took": {"come-back": 99.0}, "last_start": 30.0})
    journal.write("noted", key="rebooted", value="by the restore")
    assert estimate.earlier() == {"come-back": 41.0, "last start": 30.0, "reboot": 0.0}
    assert estimate.restart(40.0, estimate.earlier()) == Estimate("come-back", 51.0, "as rehearsed")


PARTS = [
    Estimate("restore", 10.0, "as rehearsed"),
    Estimate("come-back", 60.0, "usual"),
    Estimate("transfer", 500.0, ""),
]


def test_downtime_is_a_range_before_and_a_figure_after_a_rehearsal() -> None:
    found = estimate.spread(PARTS, None, "--from a --to b")
    assert found.least < found.seconds == 70.0 < found.most
    assert "not measured yet: come-back" in found.basis
    assert "tscm-migrate rehearse --from a --to b" in found.basis
    event = estimate.estimated(found)
    assert (event.least, event.seconds, event.most) == (found.least, 70.0, found.most)
    rehearsal = Rehearsal("2026-11-27T01:02:03+00:00", "run-1")
    measured = [PARTS[0], Estimate("come-back", 60.0, "as in the last run"), Estimate("take-offline", 5.0, "usual")]
    found = estimate.spread(measured, rehearsal, "")
    assert found.least == found.most == 75.0, "a small unmeasured part does not make it a range"
    assert estimate.estimated(found).most == 0.0


def test_downtime_is_a_range_when_a_large_part_is_unmeasured() -> None:
    found = estimate.spread(PARTS, Rehearsal("2026-11-27T01:02:03+00:00", "run-1"), "")
    assert found.least < found.seconds == 70.0 < found.most
    assert found.least > 10.0, "the rehearsed part has no range"
    assert found.basis == "as rehearsed by run run-1 at 2026-11-27T01:02; not measured yet: come-back"


def test_total_is_a_range_that_contains_the_range_of_the_downtime() -> None:
    expected = estimate.spread(PARTS, None, "")
    total, downtime = estimate.totals(PARTS, expected)
    assert (total.step, total.seconds) == ("", 570.0)
    assert (total.least, total.most) == (500.0 + downtime.least, 500.0 + downtime.most)
    rehearsal = Rehearsal("2026-11-27T01:02:03+00:00", "run-1")
    total, downtime = estimate.totals(PARTS[:1], estimate.spread(PARTS[:1], rehearsal, ""))
    assert (total.seconds, total.most, downtime.most) == (10.0, 0.0, 0.0)


def test_result_is_compared_with_the_last_estimate_before_the_cutover() -> None:
    before = {"total": 300.0, "downtime": 160.0, "least": 20.0, "most": 480.0, "steps": {"restore": 15.0}}
    assert estimate.before_cutover({"estimate": before, "rehearsal": {"skipped": "why"}}) == before
    rehearsed = {"seconds": 42.04, "least": 42.04, "most": 42.04}
    found = estimate.before_cutover({"estimate": before, "rehearsal": {"downtime": rehearsed}})
    assert found == {"total": 182.0, "downtime": 42.0, "steps": {"restore": 15.0}}
    rehearsed["most"] = 90.0
    found = estimate.before_cutover({"estimate": before, "rehearsal": {"downtime": rehearsed}})
    assert (found["least"], found["most"]) == (42.0, 90.0)
    assert estimate.before_cutover({}) == {}


NOW = datetime(2026, 11, 27, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kept", "now", "days", "serves"),
    [
        ({"new": "x"}, {"new": "x"}, 1, True),
        ({"new": "x"}, {"new": "y"}, 1, False),
        ({"new": "x"}, {"new": "x", "devices": "z"}, 1, False),
        ({"new": "x"}, {"new": "x"}, 8, False),
        ({}, {}, 1, False),
    ],
    ids=["unchanged", "new appliance changed", "another device", "too old", "not kept"],
)
def test_kept_rehearsal_is_used_while_nothing_has_changed(
    kept: dict[str, str], now: dict[str, str], days: int, *, serves: bool
) -> None:
    assert Rehearsal((NOW - timedelta(days=days)).isoformat(), "run-1", {}, kept).serves(now, NOW) is serves


OLD, NEW = Host("old", "10.1.1.43"), Host("new", "10.1.1.50")


@pytest.mark.parametrize(
    ("options", "moves", "words"),
    [
        ({}, True, ["syslog: what devices send to 10.1.1.43"]),
        ({"bypass_netconf": True}, False, ["syslog: point the logging of a, b to 10.1.1.50"]),
        ({"devices": ("a",)}, True, ["syslog", "devices: update manually after the migration: b"]),
        ({"devices": "none"}, True, ["syslog", "devices: update manually after the migration: a, b"]),
        ({"offline": "manual"}, True, ["syslog", "an operator has to take old offline"]),
    ],
)
def test_preparations_for_the_operator_are_listed(options: dict[str, Any], moves: bool, words: list[str]) -> None:  # noqa: FBT001
    facts = Facts("old", devices=("a", "b"))
    given = MigrateOptions("old", "new", **options)
    found = estimate.to_prepare(facts, OLD, NEW, given, dns_outage=False, moves=moves)
    assert len(found) == len(words)
    assert all(line.startswith(word) for line, word in zip(found, words, strict=True)), found
    outage = estimate.to_prepare(facts, OLD, NEW, given, dns_outage=True, moves=moves)
    assert outage[0].startswith("DNS: give the clients of 10.1.1.43")
    assert outage[1:] == found


def test_leased_address_and_unknown_devices_are_preparations() -> None:
    given = MigrateOptions("old", "new")
    found = estimate.to_prepare(Facts("old", dhcp=True), OLD, NEW, given, dns_outage=False, moves=True)
    assert any(line.startswith("DHCP: reserve 10.1.1.43") for line in found)
    assert any(line.startswith("devices: unknown") for line in found)
