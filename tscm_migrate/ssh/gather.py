"""What stands in for paramiko's buffer of a channel whose bytes are many: few wake-ups, and no byte is moved in it.

OpenSSH sends a stream in packets of 32 KiB. paramiko's own buffer wakes its reader for each of them, and moves what is
left at each read; that costs more than the decryption. Here the reader sleeps until there is a block worth waking for.
"""

from __future__ import annotations

import collections
import time
from threading import Condition
from typing import TYPE_CHECKING, Any

from paramiko.buffered_pipe import PipeTimeout

if TYPE_CHECKING:
    import threading

BLOCK = 1 << 19  # bytes that are worth waking for
_LINGER = 0.02  # seconds that bytes of a slow source may lie here, until a block is there

# glibc maps each block of more than 128 KiB anew, and pays for every page of it, until it has seen a larger one come
# and go: a fifth of the speed. This one is never touched, so it takes no memory.
bytes(4 << 20)


class Gathered:
    """What paramiko's BufferedPipe is, for one reader.

    Args:
        block: bytes; a read that asks for more may get no more.
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
        """See BufferedPipe; the reader is woken when what it waits for is there."""
        with self._cv:
            if self._event is not None:
                self._event.set()
            self._pieces.append(data)
            self._size += len(data)
            if self._size >= self._awaited:
                self._cv.notify_all()

    def read(self, nbytes: int, timeout: float | None = None) -> bytes:
        """See BufferedPipe; what is there already is left for a moment until `nbytes`, or a block, are there.

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
        """Wait until `size` bytes are there, or the end; False when time was over."""
        deadline = None if timeout is None else time.monotonic() + timeout
        self._awaited = size
        while self._size < size and not self._closed:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            self._cv.wait(left)
        return True

    def _take(self, size: int) -> bytes:
        if size == self._size:
            out = b"".join(self._pieces)
            self._pieces.clear()
        else:
            taken, missing = [], size
            while missing:
                piece = self._pieces.popleft()
                if len(piece) > missing:
                    self._pieces.appendleft(piece[missing:])
                    piece = piece[:missing]
                taken.append(piece)
                missing -= len(piece)
            out = b"".join(taken)
        self._size -= size
        if not self._size and self._event is not None and not self._closed:
            self._event.clear()
        return out

    def set_event(self, event: threading.Event) -> None:
        """See BufferedPipe: set as long as there is something to read, or the end."""
        with self._cv:
            self._event = event
            if self._size or self._closed:
                event.set()
            else:
                event.clear()

    def read_ready(self) -> bool:
        """See BufferedPipe."""
        return self._size > 0

    def empty(self) -> bytes:
        """See BufferedPipe."""
        with self._cv:
            return self._take(self._size)

    def close(self) -> None:
        """See BufferedPipe: what is there can still be read."""
        with self._cv:
            self._closed = True
            self._cv.notify_all()
            if self._event is not None:
                self._event.set()

    def __len__(self) -> int:
        return self._size


def gather(channel: Any) -> None:
    """Give a channel such a buffer; before anything is asked on it."""
    channel.in_buffer = Gathered()
    channel.get_transport().packetizer.streams[channel.chanid.to_bytes(4, "big")] = channel.in_buffer
