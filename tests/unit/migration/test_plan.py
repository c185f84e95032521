"""The descriptions of the steps of a migration."""

from __future__ import annotations

import pytest

from tscm_migrate.migration.engine import Step
from tscm_migrate.migration.plan import steps

ALL = {step.id: step for dead in (False, True) for step in steps(dead=dead)}


@pytest.mark.parametrize("name", ALL)
def test_only_steps_that_can_be_undone_have_an_undo_summary(name: str) -> None:
    step = ALL[name]
    said = step.revert_summary.format(old="tscm-old", new="tscm-new", address="10.1.1.43", known_hosts="known_hosts")
    assert bool(said) == (type(step).revert is not Step.revert)
