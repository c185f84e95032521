"""Checks of runs that are killed, in the lab of the kill matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.harness import matrix
from tests.harness.rig import differences

if TYPE_CHECKING:
    from tests.harness.rig import Rig, State


def assert_ends_well(rig: Rig, point: matrix.Point, verb: str, base: matrix.Undisturbed) -> None:
    """Kill a run at the point, run the verb, and assert that the appliances are as they should be."""
    result = matrix.kill_at(rig, point, verb, base)
    assert result.killed == matrix.KILLED
    assert not result.wrong, result.text


def assert_as_before(rig: Rig, before: State, message: object) -> None:
    """Assert that the appliances are as before, but for a new archive, and that no secret was written."""
    now, then = rig.state().relative_to(before), before.relative_to(before)
    assert not differences(then, {**now, "new archives more": 0}), message
    assert not rig.leaks()
