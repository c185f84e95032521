"""Bytes from one end to the other: hashed, counted, held back where a limit is set."""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from tscm_migrate.errors import ArchiveChanged, TransferError
from tscm_migrate.events import Emit, Progress
from tscm_migrate.transfer.checkpoint import EVERY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from hashlib import _Hash

    from tscm_migrate.transfer.base import ByteSink

T = TypeVar("T")

_EVERY = 0.2  # seconds between two progress events
_WINDOW = 300.0  # seconds
_LEAST = 64.0  # bytes a second on the average of a window; the smallest --limit is 16 times that
_AHEAD = 4  # chunks (of a MiB) that may wait to be hashed


class Digest:
    """SHA-256 in a thread of its own: hashlib lets go of the interpreter's lock, so it costs the pump no time.

    Args:
        sha: goes on from this one, which has had `done` bytes.
        done: see there.
        mark: hears now and then how many bytes there were, and their hash.
    """

    def __init__(self, sha: _Hash | None = None, done: int = 0, mark: Callable[[int, str], None] | None = None) -> None:
        self._sha = sha if sha is not None else hashlib.sha256()
        self._done, self._mark, self._next = done, mark, done + EVERY
        self._queue: queue.Queue[bytes | None] = queue.Queue(_AHEAD)
        self._thread = threading.Thread(target=self._work, name="sha256", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (data := self._queue.get()) is not None:
            self._sha.update(data)
            self._done += len(data)
            if self._mark is not None and self._done >= self._next:
                self._next = self._done + EVERY
                self._mark(self._done, self._sha.copy().hexdigest())

    def add(self, data: bytes) -> None:
        """Hash `data` after all that was added before."""
        self._queue.put(data)

    def hex(self) -> str:
        """The digest of all that was added; nothing may be added after."""
        self.__exit__()
        return self._sha.hexdigest()


class Meanwhile(Generic[T]):
    """A call in a thread of its own; nobody waits for it but who asks for its result."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._future: Future[T] = Future()
        threading.Thread(target=self._work, name="meanwhile", daemon=True).start()

    def _work(self) -> None:
        try:
            self._future.set_result(self._call())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            self._future.set_exception(error)

    def result(self) -> T:
        """What the call gave or raised."""
        return self._future.result()


class Throttle:
    """Holds back to `rate` bytes a second (0: not at all), with at most a quarter of a second's worth in one go."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._credit = 0.0
        self._last = time.monotonic()

    def pieces(self, data: bytes) -> Iterable[bytes]:
        """`data` in pieces small enough for the rate."""
        size = max(1024, int(self.rate / 4))
        if not self.rate or len(data) <= size:
            return (data,)
        return (data[start : start + size] for start in range(0, len(data), size))

    def wait(self, size: int) -> None:
        """Return when `size` more bytes may go."""
        if not self.rate:
            return
        now = time.monotonic()
        self._credit = min(self._credit + (now - self._last) * self.rate, self.rate / 4) - size
        self._last = now
        if self._credit < 0:
            time.sleep(-self._credit / self.rate)


class TransferPace:
    """Ends a transfer that drips: each byte comes in time, and the archive never.

    Args:
        what: the archive's name.
        clock: seconds that never go back.
    """

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._clock = what, clock
        self._since, self._moved = clock(), 0

    def add(self, size: int) -> None:
        """Count `size` more bytes.

        Raises:
            TransferError: too few have moved for too long.
        """
        self._moved += size
        passed = self._clock() - self._since
        if passed < _WINDOW:
            return
        if self._moved < _LEAST * passed:
            text = f"{self._what}: only {self._moved} bytes moved in {passed:.0f} s"
            raise TransferError(text, "look at the network and at both appliances, and run again: it continues there")
        self._since, self._moved = self._clock(), 0


class Teller:
    """Progress events of one archive, some a second; `done` counts from the file's beginning."""

    def __init__(self, emit: Emit, what: str, total: int, done: int = 0) -> None:
        self.emit, self.what, self.total, self.done = emit, what, total, done
        self._next = 0.0

    def add(self, size: int) -> None:
        """`size` more bytes have moved."""
        self.at(self.done + size)

    def at(self, done: int) -> None:
        """`done` bytes have moved in all."""
        self.done = done
        now = time.monotonic()
        if now >= self._next or done == self.total:
            self._next = now + _EVERY
            self.emit(Progress(self.what, done, self.total))


def pump(
    chunks: Iterable[bytes], out: ByteSink, teller: Teller, throttle: Throttle, digest: Digest | None = None
) -> tuple[int, str]:
    """Move everything from `chunks` to `out`, but no more than `teller` expects.

    Returns:
        How many bytes passed by, and the SHA-256 of them (behind what `digest` had already).

    Raises:
        ArchiveChanged: there is at least one byte more.
        TransferError: too few bytes moved for too long.
    """
    pace = TransferPace(teller.what)
    seen, most = 0, teller.total - teller.done
    with digest or Digest() as sha:
        for chunk in chunks:
            for piece in throttle.pieces(chunk):
                if seen + len(piece) > most:
                    raise ArchiveChanged(f"{teller.what} is more than the {teller.total} bytes that were announced")
                throttle.wait(len(piece))
                sha.add(piece)
                out.write(piece)
                seen += len(piece)
                teller.add(len(piece))
                pace.add(len(piece))
        return seen, sha.hex()
