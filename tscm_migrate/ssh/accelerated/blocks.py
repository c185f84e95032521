"""Drop-in replacement for paramiko's BufferedPipe, for channels that carry bulk data.

OpenSSH sends a stream in packets of 32 KiB. paramiko's buffer wakes its reader for each of them and moves the rest of
the buffer at each read, which costs more than the decryption. Here the reader is woken once per block.
"""

import collections
import threading
import time
from threading import Condition

from paramiko.buffered_pipe import PipeTimeout

BLOCK = 1 << 19  # bytes for which a waiting reader is woken
_LINGER = 0.02  # seconds that a smaller amount may wait for a full block

# glibc maps each block of more than 128 KiB separately until it has seen a larger one freed; that costs a fifth of the
# throughput. This block is never written to, so it uses no memory.
bytes(4 << 20)


class BlockBuffer:
    """A BufferedPipe for one reader.

    Args:
        block: bytes; a read of more than this may return as soon as this many are there.
    """

    def __init__(self, block: int = BLOCK) -> None:
        self._cv = Condition()
        self._event: threading.Event | None = None
        self._closed = False
        self._block = block
        self._pieces: collections.deque[bytes | memoryview] = collections.deque()
        self._size = 0
        self._awaited = 1

    def feed(self, data: bytes | memoryview) -> None:
        """Append data; wake the reader when as much is there as it waits for."""
        with self._cv:
            if self._event is not None:
                self._event.set()
            self._pieces.append(data)
            self._size += len(data)
            if self._size >= self._awaited:
                self._cv.notify_all()

    def read(self, nbytes: int, timeout: float | None = None) -> bytes:
        """Return up to `nbytes`; wait a moment for all of them, or for a block; b"" at the end of the stream.

        Raises:
            PipeTimeout: nothing came for `timeout` seconds.
        """
        with self._cv:
            if not self._await(1, timeout):
                raise PipeTimeout
            if self._size < nbytes and timeout != 0:
                self._await(min(nbytes, self._block), _LINGER)
            return self._take(min(nbytes, self._size))

    def _await(self, size: int, timeout: float | None) -> bool:
        """Wait until `size` bytes are there or the buffer is closed; return False after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        self._awaited = size
        while self._size < size and not self._closed:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            self._cv.wait(left)
        return True

    def _take(self, size: int) -> bytes:
        taken, missing = [], size
        while missing:
            piece = self._pieces.popleft()
            if len(piece) > missing:
                self._pieces.appendleft(piece[missing:])
                piece = piece[:missing]
            taken.append(piece)
            missing -= len(piece)
        self._size -= size
        if not self._size and self._event is not None and not self._closed:
            self._event.clear()
        return b"".join(taken)

    def set_event(self, event: threading.Event) -> None:
        """Keep `event` set while there is something to read, and after the end."""
        with self._cv:
            self._event = event
            if self._size or self._closed:
                event.set()
            else:
                event.clear()

    def read_ready(self) -> bool:
        """Return whether a read would return data at once."""
        return self._size > 0

    def empty(self) -> bytes:
        """Remove and return all data."""
        with self._cv:
            return self._take(self._size)

    def close(self) -> None:
        """Mark the end of the stream; what is in the buffer can still be read."""
        with self._cv:
            self._closed = True
            self._cv.notify_all()
            if self._event is not None:
                self._event.set()

    def __len__(self) -> int:
        return self._size
