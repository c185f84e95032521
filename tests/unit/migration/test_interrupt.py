"""Signals become a wish at safe places, and the second one stops at once."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from tscm_migrate.events import Progress, Said, Waiting
from tscm_migrate.migration.interrupt import Interrupts

if TYPE_CHECKING:
    from tscm_migrate.events import Event

pytestmark = pytest.mark.skipif(os.name == "nt", reason="sends itself POSIX signals")


def test_before_anything_is_changed_a_signal_stops_at_once() -> None:
    with Interrupts(lambda _: None).installed(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_the_first_signal_waits_for_a_safe_place_and_the_second_does_not(name: str) -> None:
    told: list[Event] = []
    number = getattr(signal, name)
    interrupts = Interrupts(told.append)
    with interrupts.installed(), interrupts.careful():
        signal.raise_signal(number)
        assert interrupts.asked == name
        assert isinstance(told[0], Said)
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)


@pytest.mark.parametrize("event", [Waiting("x", 1.0, 2.0), Progress("x", 1, 2)])
def test_a_wait_and_a_transfer_may_be_left_at_any_moment(event: Event) -> None:
    interrupts = Interrupts(lambda _: None)
    with interrupts.installed(), interrupts.careful():
        interrupts.emit(event)
        signal.raise_signal(signal.SIGINT)
        interrupts.emit(Said("a change goes on"))
        with pytest.raises(KeyboardInterrupt):
            interrupts.emit(event)


def test_putting_back_is_not_stopped_by_the_signal_that_began_it_nor_by_one_more() -> None:
    interrupts = Interrupts(lambda _: None)
    with interrupts.installed(), interrupts.careful():
        signal.raise_signal(signal.SIGINT)
        with interrupts.putting_back():
            interrupts.emit(Waiting("x", 1.0, 2.0))
            signal.raise_signal(signal.SIGINT)
            interrupts.emit(Waiting("x", 1.0, 2.0))
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)


def test_what_was_ignored_stays_ignored_and_handlers_are_given_back() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    mine = signal.getsignal(signal.SIGTERM)
    try:
        with Interrupts(lambda _: None).installed():
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGTERM) is not mine
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_listens_to_nothing_and_works_all_the_same() -> None:
    done = []

    def body() -> None:
        with Interrupts(lambda _: None).installed():
            done.append(True)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join(10)
    assert done
