"""What the steps of a migration say of themselves."""

from __future__ import annotations

import pytest

from tscm_migrate.migration.engine import Step
from tscm_migrate.migration.plan import steps

ALL = {step.id: step for dead in (False, True) for step in steps(dead=dead)}


@pytest.mark.parametrize("name", ALL)
def test_a_step_that_takes_something_back_is_announced_and_no_other(name: str) -> None:
    step = ALL[name]
    said = step.revert_summary.format(old="tscm-old", new="tscm-new", address="10.1.1.43", known_hosts="known_hosts")
    assert bool(said) == (type(step).revert is not Step.revert)
