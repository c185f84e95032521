"""A rehearsal's timings become the real plan's estimate."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

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
