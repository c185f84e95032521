"""Run the same operation on many hosts over a `concurrent.futures.Executor`: threads here, or dask workers.

At most `jobs` operations run at once. Hosts are probed first, without using one of these places, so that hosts which do
not answer cost one timeout together and delay no other host. A failure is an outcome; it never ends the other work.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from tscm_migrate.errors import ClusterLost, Unreachable
from tscm_migrate.fleet.executors import ClusterExecutor
from tscm_migrate.model import Host

T = TypeVar("T")
R = TypeVar("R")

_PROBES = 256  # hosts that are probed at once


@dataclass(frozen=True)
class Outcome(Generic[T, R]):
    """The result for one item: a value or an error; `seconds` since its work started."""

    item: T
    value: R | None = None
    error: BaseException | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Timed(Generic[R]):
    """A value with the seconds that it took, measured where it was computed."""

    value: R
    seconds: float


@dataclass(frozen=True)
class Probe(Generic[T]):
    """Connects to an item's host and waits for SSH's banner, `timeout` seconds in all.

    A host behind a gateway is not probed.
    """

    host_of: Callable[[T], Host]
    timeout: float = 15.0


def timed(work: Callable[[T], R], item: T) -> Timed[R]:
    """Run `work` and measure it; at module level, so that it can be pickled."""
    began = time.monotonic()
    value = work(item)
    return Timed(value, time.monotonic() - began)


def run(
    items: Sequence[T],
    work: Callable[[T], R],
    *,
    jobs: int,
    executor: Executor | None = None,
    probe: Probe[T] | None = None,
    admit: Callable[[T], bool] = lambda _item: True,
    on_stop: Callable[[], None] | None = None,
) -> Iterator[Outcome[T, R]]:
    """Run `work` on every item; yield each outcome as soon as it is known.

    Args:
        items: each is worked on once (an executor of several machines may repeat one after a crash).
        work: picklable where the executor does not use threads; has timeouts of its own.
        jobs: how many run at once, 1 or more.
        executor: None uses threads of this process.
        probe: items whose host does not answer are not worked on, and give Unreachable.
        admit: called in the caller's thread before an item's work starts; False leaves the item out.
        on_stop: called when the caller stops early (Ctrl-C), to end the work that is running.

    Raises:
        ClusterLost: the executor's cluster has no worker any more. The items whose work had started have given their
            outcomes, with this error; the others have none.
    """
    if jobs < 1:
        raise ValueError("jobs must be 1 or more")
    finished: SimpleQueue[Future[Any]] = SimpleQueue()
    probing: dict[Future[Any], T] = {}
    running: dict[Future[Any], T] = {}
    with ExitStack() as stack:
        pool = executor or stack.enter_context(_threads(jobs))
        if probe is not None:
            probing = _probe_all(items, probe, stack.enter_context(_event_loop()), finished)
        ready = deque(items if probe is None else ())

        def start() -> None:
            while ready and len(running) < jobs:
                item = ready.popleft()
                if admit(item):
                    _track(pool.submit(timed, work, item), item, running, finished)

        try:
            yield from _outcomes(probing, running, ready, partial(_next, finished, pool), start)
        except ClusterLost:
            raise
        except BaseException:
            if on_stop is not None:
                on_stop()
            raise
        finally:
            for future in running:
                future.cancel()


def _outcomes(
    probing: dict[Future[Any], T], running: dict[Future[Any], T], ready: deque[T],
    next_done: Callable[[], Future[Any]], start: Callable[[], None],
) -> Iterator[Outcome[T, R]]:  # fmt: skip
    start()
    while probing or running:
        try:
            future = next_done()
        except ClusterLost as lost:
            yield from (Outcome(item, error=lost) for item in running.values())
            raise
        if future in running:
            yield _outcome(running.pop(future), future)
        elif error := future.exception() or future.result():
            yield Outcome(probing.pop(future), error=error)
        else:
            ready.append(probing.pop(future))
        start()


def _track(future: Future[Any], item: T, into: dict[Future[Any], T], finished: SimpleQueue[Future[Any]]) -> None:
    into[future] = item
    future.add_done_callback(finished.put)


def _next(finished: SimpleQueue[Future[Any]], pool: Executor) -> Future[Any]:
    """Wait for the next future that is done.

    Raises:
        ClusterLost: the pool's cluster has no worker, or its client has cancelled the future.
    """
    while True:
        with contextlib.suppress(Empty):
            future = finished.get(timeout=0.5)  # without a timeout, Ctrl-C is not seen on Windows
            if future.cancelled() and isinstance(pool, ClusterExecutor):
                raise pool.lost()
            return future
        if isinstance(pool, ClusterExecutor):
            pool.check()


def _outcome(item: T, future: Future[Timed[R]]) -> Outcome[T, R]:
    error = future.exception()
    if error is not None:
        if not isinstance(error, Exception):
            raise error
        return Outcome(item, error=error)
    result = future.result()
    return Outcome(item, result.value, seconds=result.seconds)


@contextmanager
def _threads(jobs: int) -> Iterator[Executor]:
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="fleet")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop in a daemon thread, which a probe that still waits does not keep alive."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="fleet-probes", daemon=True).start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)


def _probe_all(
    items: Sequence[T], probe: Probe[T], loop: asyncio.AbstractEventLoop, finished: SimpleQueue[Future[Any]]
) -> dict[Future[Any], T]:
    limit = asyncio.Semaphore(_PROBES)
    probing: dict[Future[Any], T] = {}
    for item in items:
        answer = _unreachable(probe.host_of(item), probe.timeout, limit)
        _track(asyncio.run_coroutine_threadsafe(answer, loop), item, probing, finished)
    return probing


async def _unreachable(host: Host, seconds: float, limit: asyncio.Semaphore) -> Unreachable | None:
    """Return why no SSH server answers at a host's address, or None."""
    if host.gateway is not None:
        return None
    writer: asyncio.StreamWriter | None = None
    async with limit:
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_connection(host.address, host.port)
                if await reader.read(4):
                    return None
            why = "the connection was closed before a banner"
        except TimeoutError:
            why = f"no {'banner' if writer else 'connection'} within {seconds:.0f} s"
        except OSError as error:
            why = error.strerror or str(error)
        finally:
            if writer is not None:
                writer.close()
    return Unreachable(host.name, why)
