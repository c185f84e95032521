"""Limits for a busy machine: what is expected to happen gets much time, and what a limit is to end gets some attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscm_migrate.ssh.connect import Timeouts

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENT = Timeouts(connect=60, banner=60, auth=60, channel=60, dead=60)


def growing(first: float) -> Iterator[float]:
    """Return limits in seconds, each six times longer, for a test of a limit.

    The test takes the next one where the machine was too slow to get as far as the limit has to be noticed. It fails
    if the last was too short, too.
    """
    yield from (first, first * 6, first * 36)
