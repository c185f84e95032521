"""At the end of a run, an appliance that does not answer is reported, because its state is unknown."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tscm_migrate.errors import Unreachable
from tscm_migrate.migration import final_state


class One:
    def __init__(self, name: str, *, answers: bool) -> None:
        self.name, self.answers = name, answers

    @property
    def shell(self) -> object:
        if not self.answers:
            raise Unreachable(self.name, "Connection refused")
        return object()


def migration(old: One, new: One, *, locked: set[str], started: set[str]) -> Any:
    record = SimpleNamespace(locked=locked, started=started)
    journal = SimpleNamespace(record=record)
    return cast("Any", SimpleNamespace(reachable=(old, new), old=old, new=new, journal=journal))


@pytest.mark.parametrize(
    ("old", "new", "locked", "started", "named"),
    [
        (True, True, {"old", "new"}, set(), []),
        (True, False, {"old", "new"}, {"update-packages"}, ["new"]),
        (False, True, {"old", "new"}, {"update-packages"}, ["old"]),
        (False, True, {"old", "new"}, {"take-offline"}, []),  # offline on purpose, which is reported separately
        (True, False, {"old"}, set(), []),
    ],
)
def test_appliance_that_should_answer_and_does_not_is_reported(
    old: bool,  # noqa: FBT001
    new: bool,  # noqa: FBT001
    locked: set[str],
    started: set[str],
    named: list[str],
) -> None:
    m = migration(One("old", answers=old), One("new", answers=new), locked=locked, started=started)
    lines = final_state.unreachable(m)
    assert [line.partition(":")[0] for line in lines] == named
    assert all("NOT REACHED" in line and "tscm-migrate run unlock" in line for line in lines)
