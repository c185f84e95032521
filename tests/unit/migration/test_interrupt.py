"""The first signal stops a run between two changes, and the second at once."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tscm_migrate.events import CommandRun, Message, Progress, RunStarted, Waiting
from tscm_migrate.migration.interrupt import Interrupts
from tscm_migrate.migration.journal import Journal
from tscm_migrate.migration.recorder import Recorder
from tscm_migrate.ui.console import Steady
from tscm_migrate.ui.lines import json_lines

if TYPE_CHECKING:
    from pathlib import Path

    from tscm_migrate.events import Event

pytestmark = pytest.mark.skipif(os.name == "nt", reason="sends itself POSIX signals")


def test_signal_before_any_change_stops_at_once() -> None:
    with Interrupts(lambda _: None).installed(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_first_signal_waits_for_a_safe_point_and_the_second_stops_at_once(name: str) -> None:
    told: list[Event] = []
    number = getattr(signal, name)
    interrupts = Interrupts(told.append)
    with interrupts.installed(), interrupts.careful():
        signal.raise_signal(number)
        assert interrupts.asked == name
        assert isinstance(told[0], Message)
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)


@pytest.mark.parametrize("event", [Waiting("x", 1.0, 2.0), Progress("x", 1, 2)])
def test_wait_and_transfer_are_stopped_at_once(event: Event) -> None:
    interrupts = Interrupts(lambda _: None)
    with interrupts.installed(), interrupts.careful():
        interrupts.emit(event)
        signal.raise_signal(signal.SIGINT)
        interrupts.emit(Message("a change goes on"))
        with pytest.raises(KeyboardInterrupt):
            interrupts.emit(event)


def test_rollback_is_not_stopped_by_the_first_and_second_signal() -> None:
    interrupts = Interrupts(lambda _: None)
    with interrupts.installed(), interrupts.careful():
        signal.raise_signal(signal.SIGINT)
        with interrupts.rolling_back():
            interrupts.emit(Waiting("x", 1.0, 2.0))
            signal.raise_signal(signal.SIGINT)
            interrupts.emit(Waiting("x", 1.0, 2.0))
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)


def test_ignored_signals_stay_ignored_and_handlers_are_restored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    mine = signal.getsignal(signal.SIGTERM)
    try:
        with Interrupts(lambda _: None).installed():
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGTERM) is not mine
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_thread_works_without_signal_handlers() -> None:
    done = []

    def body() -> None:
        with Interrupts(lambda _: None).installed():
            done.append(True)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join(60)
    assert done


@dataclass(frozen=True)
class Struck(CommandRun):
    """An event that is interrupted by a signal while it is written."""

    def as_dict(self) -> dict[str, Any]:
        signal.raise_signal(signal.SIGTERM)
        return super().as_dict()


@pytest.mark.timeout(30)
def test_signal_while_an_event_is_written_causes_no_deadlock(tmp_path: Path) -> None:
    Journal.create("r1", tmp_path).write("run-started", run="r1", old="a", new="b")
    told: list[Event] = []
    interrupts = Interrupts(Recorder(told.append, lambda _data: "", tmp_path))
    with interrupts.installed(), interrupts.careful():
        interrupts.emit(RunStarted("r1", "migrate", "a", "b"))
        interrupts.emit(Struck("a", "echo 1", 0, 0.1))
    assert interrupts.asked == "SIGTERM"
    assert len([event for event in told if isinstance(event, Message)]) == 1
    kept = (tmp_path / "runs" / "r1" / "commands.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["event"] for line in kept) == ["said", "struck"]


class Narrow(io.RawIOBase):
    """A terminal whose write is interrupted by a signal."""

    def __init__(self) -> None:
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if not self.taken:
            self.taken = b"!"
            signal.raise_signal(signal.SIGTERM)
        self.taken += bytes(data)
        return len(data)


def test_signal_while_text_is_printed_is_handled(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Narrow()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(screen), encoding="utf-8"))
    interrupts = Interrupts(Steady(json_lines))
    with interrupts.installed(), interrupts.careful():
        interrupts.emit(Message("one"))
        interrupts.emit(Message("two"))
    assert interrupts.asked == "SIGTERM"
    assert screen.taken.count(b'"one"') == 1
    assert screen.taken.count(b'"two"') == 1
    assert b"SIGTERM received: finishing the current action" in screen.taken
