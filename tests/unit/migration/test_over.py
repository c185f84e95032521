"""A run that is over is not begun again, and nobody is told that it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from tscm_migrate.errors import UsageError
from tscm_migrate.migration import plan, resume
from tscm_migrate.migration.context import Session
from tscm_migrate.migration.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

    from tscm_migrate.events import Event

RUN = "20240501-030000-1a2b"


@pytest.mark.parametrize("outcome", ["done", "attention"])
def test_a_resume_of_it_is_refused_before_anything_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    monkeypatch.setenv("TSCM_STATE", str(tmp_path))
    journal = Journal.create(RUN)
    journal.write("run-started", run=RUN, old="tscm-old", new="tscm-new", options={}, notes={})
    for step in plan.steps():
        journal.write("step-started", step=step.id)
        journal.write("step-done", step=step.id)
    journal.write("run-ended", outcome=outcome)
    told: list[Event] = []
    nobody = cast("Any", None)
    with pytest.raises(UsageError, match=f"run {RUN} is over \\({outcome}\\)") as refused:
        resume.resume(RUN, Session(nobody, nobody, told.append, nobody), yes=True)
    assert f"tscm-migrate run show {RUN}" in refused.value.remedy()
    assert told == []
