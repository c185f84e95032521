"""Moves bytes from a source to a target: hashes them, keeps checkpoints, reports progress, and limits the rate."""

from __future__ import annotations

import contextlib
import hashlib
import json
import queue
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from tscm_migrate.errors import ArchiveChanged, TransferError
from tscm_migrate.events import Emit, Progress
from tscm_migrate.transfer.base import ByteSink
from tscm_migrate.util import private
from tscm_migrate.util.private import state_folder

if TYPE_CHECKING:
    from hashlib import _Hash


T = TypeVar("T")

EVERY = 1 << 19  # bytes between two lines of a checkpoint
_INTERVAL = 0.2  # seconds between two progress events
_WINDOW = 300.0  # seconds over which the rate is averaged
_SLOWEST = 64.0  # bytes a second, on average in a window; the smallest --limit is 16 times that
_AHEAD = 4  # chunks (of about 1 MiB) in the queue for hashing


class Digest:
    """Computes SHA-256 in a thread, in parallel with the transfer: hashlib releases the interpreter's lock.

    Args:
        sha: a running hash to continue; None: start with no data.
        done: bytes that `sha` has hashed.
        mark: called for each `EVERY` bytes with their number so far and their SHA-256.
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
        """Queue `data` for hashing."""
        self._queue.put(data)

    def hex(self) -> str:
        """Return the digest of all data, in hex; nothing may be added afterwards."""
        self.__exit__()
        return self._sha.hexdigest()


class Background(Generic[T]):
    """Runs a call in a daemon thread; only `result` waits for it."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._future: Future[T] = Future()
        threading.Thread(target=self._work, name="background", daemon=True).start()

    def _work(self) -> None:
        try:
            self._future.set_result(self._call())
        except BaseException as error:  # noqa: BLE001 - `result` raises it
            self._future.set_exception(error)

    def result(self) -> T:
        """Wait; return what the call returned, or raise what it raised."""
        return self._future.result()


class Throttle:
    """Limits a transfer to `rate` bytes a second (0: no limit), in bursts of at most a quarter of a second."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._credit = 0.0
        self._last = time.monotonic()

    def pieces(self, data: bytes) -> Iterable[bytes]:
        """Split `data` into pieces that are small enough for the rate."""
        size = max(1024, int(self.rate / 4))
        if not self.rate or len(data) <= size:
            return (data,)
        return (data[start : start + size] for start in range(0, len(data), size))

    def wait(self, size: int) -> None:
        """Wait until `size` more bytes may be sent."""
        if not self.rate:
            return
        now = time.monotonic()
        self._credit = min(self._credit + (now - self._last) * self.rate, self.rate / 4) - size
        self._last = now
        if self._credit < 0:
            time.sleep(-self._credit / self.rate)


class TransferPace:
    """Ends a transfer that is far too slow, although no single read or write times out.

    Args:
        what: the archive's name.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._clock = what, clock
        self._since, self._moved = clock(), 0

    def add(self, size: int) -> None:
        """Count `size` more bytes.

        Raises:
            TransferError: fewer than 64 bytes a second in the last 5 minutes.
        """
        self._moved += size
        passed = self._clock() - self._since
        if passed < _WINDOW:
            return
        if self._moved < _SLOWEST * passed:
            text = f"{self._what}: only {self._moved} bytes moved in {passed:.0f} s"
            raise TransferError(text, "check the network and both appliances, and run it again: the transfer resumes")
        self._since, self._moved = self._clock(), 0


class ProgressReporter:
    """Emits progress events of one archive, at most five a second; `done` includes a resumed prefix."""

    def __init__(self, emit: Emit, what: str, total: int, done: int = 0) -> None:
        self.emit, self.what, self.total, self.done = emit, what, total, done
        self._next = 0.0

    def add(self, size: int) -> None:
        """Count `size` more bytes."""
        self.at(self.done + size)

    def at(self, done: int) -> None:
        """Set the number of transferred bytes to `done`."""
        self.done = done
        now = time.monotonic()
        if now >= self._next or done == self.total:
            self._next = now + _INTERVAL
            self.emit(Progress(self.what, done, self.total))


def pump(
    chunks: Iterable[bytes], out: ByteSink, progress: ProgressReporter, throttle: Throttle, digest: Digest | None = None
) -> int:
    """Write all of `chunks` to `out`, up to the total that `progress` has; return the number of bytes.

    Args:
        chunks: the bytes.
        out: where to.
        progress: counts and reports them.
        throttle: limits the rate.
        digest: hashes them, if the source cannot hash. Else the target hashes what is on its disk at the end; a hash
            of the bytes in transit would take a fifth of the processor time, and prove less.

    Raises:
        ArchiveChanged: there are more bytes than announced.
        TransferError: the transfer is far too slow.
    """
    pace = TransferPace(progress.what)
    seen, most = 0, progress.total - progress.done
    for chunk in chunks:
        for piece in throttle.pieces(chunk):
            if seen + len(piece) > most:
                raise ArchiveChanged(f"{progress.what} is more than the {progress.total} bytes that were announced")
            throttle.wait(len(piece))
            if digest:
                digest.add(piece)
            out.write(piece)
            seen += len(piece)
            progress.add(len(piece))
            pace.add(len(piece))
    return seen


class Checkpoint:
    """The checkpoint of one archive on one source: a file on this workstation with its running SHA-256.

    With it, a prefix of a source that cannot hash need not be read again to be verified. Each line is a JSON list of a
    number of bytes and their SHA-256; there is one for each half MiB. The file name is derived from the source, the
    path, the size and the modification time, so that a changed archive has no checkpoint. Damaged lines are ignored.
    """

    def __init__(self, *identity: object) -> None:
        name = hashlib.sha256(json.dumps([str(part) for part in identity]).encode()).hexdigest()[:32]
        self.path = state_folder() / "transfers" / f"{name}.jsonl"

    def add(self, size: int, sha256: str) -> None:
        """Store the SHA-256 of the first `size` bytes; if the disk is full, only the ability to resume is lost."""
        with contextlib.suppress(OSError):
            private.folder(self.path.parent)
            private.append(self.path, json.dumps([size, sha256]) + "\n")

    def marks(self) -> dict[int, str]:
        """Return all lines: size in bytes → SHA-256."""
        found: dict[int, str] = {}
        with contextlib.suppress(OSError, UnicodeDecodeError):
            for line in self.path.read_text(encoding="ascii").splitlines():
                with contextlib.suppress(ValueError, TypeError):
                    size, sha256 = json.loads(line)
                    found[int(size)] = str(sha256)
        return found

    def delete(self) -> None:
        """Delete the file."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
