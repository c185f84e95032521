"""A rehearsal's timings become the real plan's estimate; its appliances have the real ones' shape."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tscm_migrate.appliance.facts import Facts
from tscm_migrate.appliance.parse import Interface
from tscm_migrate.migration import rehearsal

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
LINES = [
    "no JSON",
    '{"event": "step_finished", "step": "backup", "state": "done", "seconds": 2.5}',
    '{"event": "run_finished", "outcome": "done", "seconds": 20.0, "downtime": 9.5}',
]


def test_an_estimate_is_kept_for_its_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSCM_STATE", str(tmp_path))
    found = rehearsal.from_events(LINES, NOW)
    assert found is not None
    assert found.steps == {"backup": 2.5}
    assert rehearsal.known("a", "b") is None
    rehearsal.keep("a", "b", found)
    assert rehearsal.known("a", "b") == found
    assert "about 10 s without a TSCM" in found.line()
    (tmp_path / "rehearsals" / "a__b.json").write_text("[]")
    assert rehearsal.known("a", "b") is None


def test_a_run_that_did_not_end_is_no_estimate() -> None:
    assert rehearsal.from_events(LINES[:2], NOW) is None


def test_appliances_are_shaped_after_facts() -> None:
    from tscm_migrate.lab.shaped import profiles

    old = Facts("a", hostname="ts1", os_id="rhel", os_version="9.4", os_pretty="RHEL", versions=(("TSCM-Core", "1.49-01"),),
                interfaces=(Interface("ens3", "192.0.2.5", 24),), devices=("one", "two"), log_size=1 << 40)  # fmt: skip
    first, second, left = profiles(old, Facts("b"))
    assert (first.interface, first.os_id, first.core_version, first.hostname) == ("ens3", "rhel", "1.49-01", "ts1")
    assert [device.name for device in first.devices] == ["one", "two"]
    assert second.devices == ()
    assert any("logs" in line for line in left)
