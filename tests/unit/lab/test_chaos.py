"""Schedules of faults are repeatable, contain every fault, and are reduced; a pool of labs completes each task."""

from __future__ import annotations

import os
import socket
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.chaos import Fault, Schedule, schedule_of, smallest_failing
from tests.harness.faults import ENVIRONMENT_FAULTS, TSADMIN_FAULTS
from tests.harness.faulty_tool import FAULTS, ByteCounter, FaultySocket
from tests.harness.lab_pool import LabFailed, LabPool

if TYPE_CHECKING:
    from pathlib import Path

ALL = [schedule_of(seed) for seed in range(1, 501)]
EACH = [fault for schedule in ALL for fault in schedule.faults]


def test_same_seed_gives_the_same_schedule() -> None:
    assert [schedule_of(seed) for seed in range(1, 501)] == ALL
    assert len(set(map(str, ALL))) > 450


def test_first_five_hundred_schedules_contain_every_fault() -> None:
    assert {(f.what, f.where) for f in EACH if f.kind == "world"} == {
        (w, s) for w in ENVIRONMENT_FAULTS for s in ("old", "new")
    }
    for where, what, value in TSADMIN_FAULTS:
        met = {f.n > 0 for f in EACH if f.kind == "tsadmin" and (f.where, f.what, f.value) == (where, what, value)}
        assert met == {True, False}, f"{what}: from the start, and in the middle"
    assert {f.kind for f in EACH} - {"world", "tsadmin"} == set(FAULTS) - {"pause"}
    assert {(s.verb, s.method) for s in ALL} >= {
        (v, m) for v in ("resume", "rollback") for m in ("auto", "sftp", "rsync")
    }


def test_failing_schedule_is_reduced_to_the_faults_that_fail() -> None:
    faults = (Fault("kill", 3), Fault("clock", 5, value=30), Fault("full", 9, value=1), Fault("reset", value=2000))
    small = smallest_failing(Schedule(1, faults), lambda one: {f.kind for f in one.faults} >= {"clock", "reset"})
    assert [fault.kind for fault in small.faults] == ["clock", "reset"]


@pytest.mark.parametrize("kind", ["reset", "silence"])
def test_socket_fault_counts_bytes_read_into_a_buffer(kind: str) -> None:
    near, far = socket.socketpair()
    with near, far:
        near.settimeout(0.01)
        far.sendall(b"some bytes")
        faulty = FaultySocket(near, ByteCounter([{"kind": kind, "bytes": 5}]))
        room = memoryview(bytearray(20))
        if kind == "silence":
            assert faulty.recv_into(room) == 10, "the last bytes that arrive"
            assert bytes(room[:10]) == b"some bytes"
            far.sendall(b"more")
        with pytest.raises(TimeoutError if kind == "silence" else ConnectionResetError):
            faulty.recv_into(room)


def rig(folder: Path) -> Any:
    """A rig for `LabPool`, which only closes its lab; no migration is rehearsed here."""
    log = folder.parent / f"closed-{folder.name}"
    return SimpleNamespace(lab=SimpleNamespace(close=log.touch), folder=folder, uses=[])


def square(one: Any, number: int) -> tuple[int, int]:
    one.uses.append(number)
    if number == 3:
        raise OSError("the lab fell over")
    return number * number, len(one.uses)


@pytest.mark.skipif(sys.platform == "win32", reason="the labs are Linux's")
def test_failed_lab_is_replaced_and_its_task_returns_the_error() -> None:
    with LabPool(1, rig) as labs:
        found = dict(labs.each(square, range(5)))
    assert isinstance(found[3], LabFailed)
    assert "the lab fell over" in str(found[3])
    assert found[2] == (4, 3)
    assert found[4] == (16, 1), "in a new lab"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the labs are Linux's")
def test_closed_iteration_starts_no_further_task() -> None:
    begun: list[int] = []
    with LabPool(1, rig) as labs:
        numbers = (begun.append(number) or number for number in range(4, 10**9))  # type: ignore[func-returns-value]
        _, first = next(labs.each(square, numbers))
    assert first == (16, 1)
    assert len(begun) <= 2, "one task was done, and the next may have started"
