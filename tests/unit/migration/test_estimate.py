"""What earlier runs teach about how long a step takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscm_migrate.migration import estimate
from tscm_migrate.migration.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def ran(root: Path, run: str, acted: float, seconds: float) -> None:
    journal = Journal.create(run, root)
    journal.write("run-started", run=run, old="a", new="b")
    journal.write("step-started", step="come-back")
    if acted:
        journal.write("action-done", step="come-back", describes="wait", seconds=acted)
    journal.write("step-done", step="come-back", seconds=seconds)


def test_a_step_that_had_nothing_to_do_tells_nothing_of_how_long_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TSCM_STATE", str(tmp_path))
    ran(tmp_path, "20260101-000000-aaaa", 40.0, 41.0)
    ran(tmp_path, "20260102-000000-aaaa", 0.0, 0.004)
    assert estimate.earlier() == {"come-back": 41.0}


def test_what_a_rehearsal_took_stands_for_the_restore_until_one_was_made(
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
