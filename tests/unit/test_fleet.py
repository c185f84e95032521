"""Many hosts at once: bounded, fair, and nobody holds up the others."""

from __future__ import annotations

import contextlib
import socket
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tscm_migrate.errors import Unreachable
from tscm_migrate.fleet.pool import Probe, run
from tscm_migrate.model import Host

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 100.0


class Counter:
    """How many are at work at once, and in which order they began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now = self.most = 0
        self.order: list[int] = []

    def __enter__(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.now -= 1


def test_never_more_than_jobs_are_under_way_and_they_are() -> None:
    counter, together = Counter(), threading.Barrier(5)

    def work(number: int) -> int:
        with counter:
            together.wait(PATIENCE)
        return number * 2

    outcomes = list(run(range(20), work, jobs=5))
    assert sorted(o.value or 0 for o in outcomes) == [n * 2 for n in range(20)]
    assert counter.most == 5


def test_first_come_first_served() -> None:
    order: list[int] = []
    list(run(range(50), order.append, jobs=1))
    assert order == list(range(50))


def test_one_that_fails_is_an_outcome_among_others() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise Unreachable("h3", "no")
        return number

    outcomes = list(run(range(6), work, jobs=2))
    assert [o.item for o in outcomes if o.error] == [3]
    error = next(o.error for o in outcomes if o.error)
    assert isinstance(error, Unreachable)
    assert "h3" in error.message()
    assert len(outcomes) == 6


def test_outcomes_come_as_they_are_there() -> None:
    release = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert release.wait(PATIENCE)
        return number

    stream = run(range(10), work, jobs=2)
    first = [next(stream).item for _ in range(9)]
    assert 0 not in first
    release.set()
    assert next(stream).item == 0


def test_leaving_early_tells_the_work() -> None:
    stopped = threading.Event()

    def work(number: int) -> int:
        if number:
            assert stopped.wait(PATIENCE)
        return number

    stream = run(range(100), work, jobs=4, on_stop=stopped.set)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert stopped.is_set()


@pytest.fixture
def doors() -> Iterator[tuple[list[Host], list[Host], threading.Event]]:
    """Ten hosts that say nothing until `released`, and end the connection then; and ten with a banner."""
    with ExitStack() as stack:
        silent, greeting, released = [], [], threading.Event()
        stack.callback(released.set)
        for number in range(20):
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            host = Host(f"h{number}", "127.0.0.1", port=listener.getsockname()[1])
            (silent if number < 10 else greeting).append(host)
            listener.settimeout(PATIENCE)

            def answer(listener: socket.socket = listener, *, says_nothing: bool = number < 10) -> None:
                with contextlib.suppress(OSError):  # nobody came
                    connection, _ = listener.accept()
                    with connection:
                        if says_nothing:
                            released.wait(PATIENCE)
                        else:
                            connection.sendall(b"SSH-2.0-x\r\n")

            threading.Thread(target=answer, daemon=True).start()
        yield silent, greeting, released


def test_hosts_that_say_nothing_do_not_delay_the_others(
    doors: tuple[list[Host], list[Host], threading.Event],
) -> None:
    silent, greeting, released = doors
    probe = Probe[Host](lambda host: host, timeout=PATIENCE)
    worked: list[str] = []
    outcomes = []
    for outcome in run([*silent, *greeting], lambda host: worked.append(host.name), jobs=1, probe=probe):
        outcomes.append(outcome)
        if len(outcomes) == len(greeting):
            released.set()
    assert sorted(worked) == sorted(h.name for h in greeting), "only those that answered"
    failed = [o for o in outcomes if o.error]
    assert {o.item.name for o in failed} == {h.name for h in silent}
    assert all(isinstance(o.error, Unreachable) for o in failed)
    assert failed == outcomes[10:], "the others did not wait for them"


def test_a_host_that_says_nothing_is_given_up_after_the_limit(
    doors: tuple[list[Host], list[Host], threading.Event],
) -> None:
    (outcome,) = run(doors[0][:1], print, jobs=1, probe=Probe[Host](lambda host: host, timeout=0.2))
    assert isinstance(outcome.error, Unreachable)


def test_a_port_where_nobody_listens_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (outcome,) = run([Host("h", "127.0.0.1", port=port)], lambda _: 1, jobs=1, probe=Probe(lambda host: host))
    assert isinstance(outcome.error, Unreachable)


def test_a_host_behind_a_gateway_is_let_in_unasked() -> None:
    host = Host("h", "192.0.2.1", gateway=Host("g", "192.0.2.2"))
    (outcome,) = run([host], lambda h: h.name, jobs=1, probe=Probe(lambda h: h, timeout=1))
    assert outcome.value == "h"


def test_jobs_must_be_one_at_least() -> None:
    with pytest.raises(ValueError, match="jobs"):
        list(run([1], print, jobs=0))
