"""The work of `ts-update`: it takes some time, and is recorded in the lab's journal."""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .base import Machine, ProgramExit

if TYPE_CHECKING:
    from types import FrameType


def work(machine: Machine) -> int:
    """Simulate fetching policies and pushing them to the devices."""

    def ended(number: int, _frame: FrameType | None) -> None:
        machine.note("ts-update-end", killed=number)
        raise ProgramExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, ended)
    machine.note("ts-update-start", argv=machine.argv)
    time.sleep(float(machine.profile["ts_update_seconds"]))
    with machine.path("log").joinpath("ts-update.log").open("a", encoding="utf-8") as log:
        log.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} [INFO ] : update done\n")
    machine.note("ts-update-end", killed=0)
    return 0
