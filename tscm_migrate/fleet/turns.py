"""The same operation on many hosts, over any `concurrent.futures.Executor`: threads here, dask workers elsewhere.

Bounded: no more than `jobs` are under way. Fair: first come, first served, and a host that does not even answer waits
for its time-out beside the others, not in their place. One that fails is an outcome, never the end of the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from tscm_migrate.errors import MigrateError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tscm_migrate.site import Host

T = TypeVar("T")
R = TypeVar("R")

_PROBES = 256  # hosts that are knocked at at once
_KNOCK = 15.0  # seconds for a connection and a banner


@dataclass(frozen=True)
class Outcome(Generic[T, R]):
    """How it went for one item: a value, or an error. `seconds` from the start of its work."""

    item: T
    value: R | None = None
    error: BaseException | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Timed(Generic[R]):
    """A value with the seconds that it took, measured where it was made."""

    value: R
    seconds: float


def timed(work: Callable[[T], R], item: T) -> Timed[R]:
    """Do `work` and take the time; at the top of the module, so that another process can be told to."""
    began = time.monotonic()
    value = work(item)
    return Timed(value, time.monotonic() - began)


def run(
    items: Sequence[T],
    work: Callable[[T], R],
    *,
    jobs: int,
    executor: Executor | None = None,
    door: Door[T] | None = None,
    on_stop: Callable[[], None] | None = None,
) -> Iterator[Outcome[T, R]]:
    """Do `work` on every item; yields each outcome as it is there.

    Args:
        items: what to work on; each is done once (an executor of several machines may repeat one after a crash).
        work: picklable where the executor is not of threads; has its own time-outs.
        jobs: how many may be under way at once.
        executor: None for threads of this process.
        door: lets items through once they are known to answer; None: all at once.
        on_stop: called when this is left early (Ctrl-C), to tell the work that is under way.
    """
    if jobs < 1:
        raise ValueError("jobs must be 1 at least")
    own = ThreadPoolExecutor(jobs, thread_name_prefix="fleet") if executor is None else None
    pool = executor or own
    if pool is None:
        raise RuntimeError("no executor")
    line = door.queue(items) if door else _Open(items)
    running: dict[Future[Timed[R]], T] = {}
    try:
        yield from _turns(line, pool, work, jobs, running)
    except BaseException:
        if on_stop is not None:
            on_stop()
        raise
    finally:
        line.close()
        for future in running:
            future.cancel()
        if own is not None:
            own.shutdown(wait=True, cancel_futures=True)


def _turns(
    line: _Open[T] | _Line[T], pool: Executor, work: Callable[[T], R], jobs: int, running: dict[Future[Timed[R]], T]
) -> Iterator[Outcome[T, R]]:
    while line.waiting() or running:
        while len(running) < jobs and (item := line.take()) is not None:
            running[pool.submit(timed, work, item)] = item
        for refused, error in line.refused():
            yield Outcome(refused, error=error)
        if not running:
            line.pause(0.05)
        done, _ = wait(running, timeout=0.05 if line.waiting() else None, return_when=FIRST_COMPLETED)
        for future in done:
            yield _outcome(running.pop(future), future)


def _outcome(item: T, future: Future[Timed[R]]) -> Outcome[T, R]:
    error = future.exception()
    if error is not None:
        if not isinstance(error, Exception):
            raise error
        return Outcome(item, error=error)
    result = future.result()
    return Outcome(item, result.value, seconds=result.seconds)


class _Open(Generic[T]):
    """A line without a door: all may come in."""

    def __init__(self, items: Sequence[T]) -> None:
        self._items = deque(items)

    def waiting(self) -> bool:
        return bool(self._items)

    def take(self) -> T | None:
        return self._items.popleft() if self._items else None

    def refused(self) -> list[tuple[T, MigrateError]]:
        return []

    def pause(self, seconds: float) -> None:
        """Nothing is waited for."""

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True)
class Door(Generic[T]):
    """Knocks at hosts (a connection, and SSH's banner) without taking a job's place; `host_of` says where.

    A host behind a gateway is let through unasked.
    """

    host_of: Callable[[T], Host]
    timeout: float = _KNOCK

    def queue(self, items: Sequence[T]) -> _Line[T]:
        """Start knocking."""
        return _Line(items, self)


class _Line(Generic[T]):
    """Items in the order in which they answered; one thread with an event loop knocks."""

    def __init__(self, items: Sequence[T], door: Door[T]) -> None:
        self._door = door
        self._ready: deque[T] = deque()
        self._refused: deque[tuple[T, MigrateError]] = deque()
        self._left = len(items)
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._knock, args=(list(items),), name="fleet-door", daemon=True)
        self._thread.start()

    def waiting(self) -> bool:
        with self._lock:
            return bool(self._left or self._ready or self._refused)

    def take(self) -> T | None:
        with self._lock:
            return self._ready.popleft() if self._ready else None

    def refused(self) -> list[tuple[T, MigrateError]]:
        with self._lock:
            found = list(self._refused)
            self._refused.clear()
            self._news.clear()
        return found

    def pause(self, seconds: float) -> None:
        self._news.wait(seconds)

    def close(self) -> None:
        self._stop.set()

    def _knock(self, items: list[T]) -> None:
        try:
            asyncio.run(self._all(items))
        finally:
            with self._lock:
                self._left = 0

    async def _all(self, items: list[T]) -> None:
        limit = asyncio.Semaphore(_PROBES)
        tasks = [asyncio.create_task(self._one(item, limit)) for item in items]
        while tasks and not self._stop.is_set():
            _, pending = await asyncio.wait(tasks, timeout=0.2)
            tasks = list(pending)
        for task in tasks:
            task.cancel()

    async def _one(self, item: T, limit: asyncio.Semaphore) -> None:
        host = self._door.host_of(item)
        async with limit:
            why = "" if host.gateway is not None else await _banner(host, self._door.timeout)
        with self._lock:
            self._left -= 1
            if why:
                self._refused.append((item, Unreachable(host.name, why)))
            else:
                self._ready.append(item)
        self._news.set()


async def _banner(host: Host, seconds: float) -> str:
    """Why there is no SSH server at a host's address, or ""."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host.address, host.port)
            greeting = await reader.read(4)
            return "" if greeting else "the connection was closed before a banner"
    except TimeoutError:
        return f"no {'banner' if writer else 'connection'} within {seconds:.0f} s"
    except OSError as error:
        return error.strerror or str(error)
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
