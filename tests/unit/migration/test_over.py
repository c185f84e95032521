"""A finished run is not resumed, and no event of a resume is emitted."""

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
def test_resume_of_a_finished_run_is_refused_without_an_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    monkeypatch.setenv("TSCM_STATE", str(tmp_path))
    journal = Journal.create(RUN)
    journal.write("run-started", run=RUN, old="tscm-old", new="tscm-new", options={}, notes={})
    for step in plan.steps():
        journal.write("step-started", step=step.id)
        journal.write("step-done", step=step.id)
    journal.write("run-ended", outcome=outcome)
    emitted: list[Event] = []
    unused = cast("Any", None)
    with pytest.raises(UsageError, match=f"run {RUN} is over \\({outcome}\\)") as refused:
        resume.resume(RUN, Session(unused, unused, emitted.append, unused), yes=True)
    assert f"tscm-migrate run show {RUN}" in refused.value.remedy()
    assert emitted == []
