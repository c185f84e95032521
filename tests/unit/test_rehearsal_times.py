"""The times of a rehearsal are stored for its pair of appliances; a damaged file is ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tscm_migrate.migration.estimate import Rehearsal, keep, known

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("pair", [("a", "b"), ("admin@10.1.1.43:22", "admin@[fd00::1]:22"), ("../up", "b/c")])
def test_rehearsal_times_are_stored_for_their_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair: tuple[str, str]
) -> None:
    monkeypatch.setenv("TSCM_STATE", str(tmp_path))
    assert known(*pair) is None
    keep(*pair, Rehearsal("2026-11-22T10:00:00+00:00", "run-1", {"restore": 2.5}))
    stored = known(*pair)
    assert stored is not None
    assert stored.steps == {"restore": 2.5}
    assert known("a", "other") is None
    assert [file.parent for file in tmp_path.rglob("*.json")] == [tmp_path / "rehearsals"]


@pytest.mark.parametrize(
    "damage",
    ["[]", "{", '{"at": 1}', '{"at": "", "run": "", "steps": {"x": "y"}}', '{"at": "", "run": "", "steps": 3}'],
)
def test_damaged_rehearsal_file_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    monkeypatch.setenv("TSCM_STATE", str(tmp_path))
    keep("a", "b", Rehearsal("", ""))
    (tmp_path / "rehearsals" / "a__b.json").write_text(damage)
    assert known("a", "b") is None
