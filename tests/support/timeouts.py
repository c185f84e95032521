"""Timeouts for a busy machine: long ones for what has to happen, growing ones for tests of a timeout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscm_migrate.ssh.connect import Timeouts

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG_TIMEOUTS = Timeouts(connect=60, banner=60, auth=60, channel=60, dead=60)


def growing_timeouts(first: float) -> Iterator[float]:
    """Return timeouts in seconds, each six times longer than the one before, for a test of a timeout.

    If the machine was too slow to reach the point at which the timeout has to act, the test tries the next timeout. It
    fails if the last one was too short as well.
    """
    yield from (first, first * 6, first * 36)
