"""The worker pool for many hosts: limited in number, in order, and not delayed by hosts that do not answer."""

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

WAIT_SECONDS = 100.0


class Counter:
    """Counts how many workers run at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now = self.most = 0

    def __enter__(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.now -= 1


def test_pool_runs_exactly_the_given_number_of_jobs_at_once() -> None:
    counter, together = Counter(), threading.Barrier(5)

    def work(number: int) -> int:
        with counter:
            together.wait(WAIT_SECONDS)
        return number * 2

    outcomes = list(run(range(20), work, jobs=5))
    assert sorted(o.value or 0 for o in outcomes) == [n * 2 for n in range(20)]
    assert counter.most == 5


def test_items_are_started_in_their_order() -> None:
    order: list[int] = []
    list(run(range(50), order.append, jobs=1))
    assert order == list(range(50))


def test_failed_item_does_not_stop_the_others() -> None:
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


def test_outcomes_are_yielded_as_soon_as_they_exist() -> None:
    release = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert release.wait(WAIT_SECONDS)
        return number

    stream = run(range(10), work, jobs=2)
    first = [next(stream).item for _ in range(9)]
    assert 0 not in first
    release.set()
    assert next(stream).item == 0


def test_closing_the_stream_calls_on_stop() -> None:
    stopped = threading.Event()

    def work(number: int) -> int:
        if number:
            assert stopped.wait(WAIT_SECONDS)
        return number

    stream = run(range(100), work, jobs=4, on_stop=stopped.set)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert stopped.is_set()


@pytest.fixture
def ssh_ports() -> Iterator[tuple[list[Host], list[Host], threading.Event]]:
    """Ten hosts that send nothing and close the connection when `released` is set, and ten that send an SSH banner."""
    with ExitStack() as stack:
        silent, greeting, released = [], [], threading.Event()
        stack.callback(released.set)
        for number in range(20):
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            host = Host(f"h{number}", "127.0.0.1", port=listener.getsockname()[1])
            (silent if number < 10 else greeting).append(host)
            listener.settimeout(WAIT_SECONDS)

            def answer(listener: socket.socket = listener, *, sends_nothing: bool = number < 10) -> None:
                with contextlib.suppress(OSError):  # no client connected
                    connection, _ = listener.accept()
                    with connection:
                        if sends_nothing:
                            released.wait(WAIT_SECONDS)
                        else:
                            connection.sendall(b"SSH-2.0-x\r\n")

            threading.Thread(target=answer, daemon=True).start()
        yield silent, greeting, released


def test_silent_hosts_do_not_delay_the_others(
    ssh_ports: tuple[list[Host], list[Host], threading.Event],
) -> None:
    silent, greeting, released = ssh_ports
    probe = Probe[Host](lambda host: host, timeout=WAIT_SECONDS)
    worked: list[str] = []
    outcomes = []
    for outcome in run([*silent, *greeting], lambda host: worked.append(host.name), jobs=1, probe=probe):
        outcomes.append(outcome)
        if len(outcomes) == len(greeting):
            released.set()
    assert sorted(worked) == sorted(h.name for h in greeting), "only hosts with a banner are worked on"
    failed = [o for o in outcomes if o.error]
    assert {o.item.name for o in failed} == {h.name for h in silent}
    assert all(isinstance(o.error, Unreachable) for o in failed)
    assert failed == outcomes[10:], "silent hosts come last"


def test_silent_host_is_unreachable_after_the_timeout(
    ssh_ports: tuple[list[Host], list[Host], threading.Event],
) -> None:
    (outcome,) = run(ssh_ports[0][:1], print, jobs=1, probe=Probe[Host](lambda host: host, timeout=0.2))
    assert isinstance(outcome.error, Unreachable)
    assert outcome.error.host == "h0"


def test_closed_port_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (outcome,) = run([Host("h", "127.0.0.1", port=port)], lambda _: 1, jobs=1, probe=Probe(lambda host: host))
    assert isinstance(outcome.error, Unreachable)
    assert outcome.error.host == "h"


def test_host_behind_a_gateway_is_not_probed() -> None:
    host = Host("h", "192.0.2.1", gateway=Host("g", "192.0.2.2"))
    (outcome,) = run([host], lambda h: h.name, jobs=1, probe=Probe(lambda h: h, timeout=1))
    assert outcome.value == "h"


def test_jobs_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="jobs"):
        list(run([1], print, jobs=0))
