"""When the second look is due: three seconds apart at least, and past the minute boundary where one was near."""

from __future__ import annotations

import pytest

from tscm_migrate.appliance.cron_hold import LOOKS_APART, second_look_after


@pytest.mark.parametrize("second", [0.0, 0.5, 10.0, 30.0, 54.9])
def test_far_from_the_next_minute_three_seconds_are_enough(second: float) -> None:
    assert second_look_after(1_700_000_040 + second) == LOOKS_APART


@pytest.mark.parametrize("second", [55.0, 57.5, 59.0, 59.99])
def test_near_the_next_minute_the_second_look_is_past_it(second: float) -> None:
    held_at = 1_700_000_040 + second
    wait = second_look_after(held_at)
    assert wait >= LOOKS_APART
    assert (held_at + wait) % 60 >= 2.9
    assert (held_at + wait) % 60 < 5
