"""A TCP relay on loopback that counts bytes, cuts connections and changes bits: a simulated bad network."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self


class Cutter:
    """A relay to 127.0.0.1:`port`.

    Args:
        port: the port of the real server.

    Attributes:
        port: the port of the relay.
        passed: bytes in both directions since the last `cut_after`.
        cuts: how many times it has cut.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._limit: int | None = None
        self._open: set[socket.socket] = set()
        self._flip: int | None = None
        self.passed = 0
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, count: int | None) -> None:
        """Cut all connections after `count` more bytes; None: never."""
        with self._lock:
            self.passed, self._limit = 0, count

    def flip_after(self, count: int) -> None:
        """Change one bit after `count` more bytes from the server."""
        with self._lock:
            self._flip = count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Cut all connections now."""
        with self._lock:
            victims, self._open = self._open, set()
        for one in victims:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._to), 10)
            with self._lock:
                self._open |= {near, far}
            threading.Thread(target=self._join, args=(near, far), daemon=True).start()

    def _join(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), selectors.DefaultSelector() as ready:
            ready.register(near, selectors.EVENT_READ, far)
            ready.register(far, selectors.EVENT_READ, near)
            while True:
                for key, _ in ready.select():
                    data = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                    if not data or not self._count(len(data)):
                        return
                    key.data.sendall(self._flipped(data) if key.fileobj is far else data)
        for one in (near, far):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _flipped(self, data: bytes) -> bytes:
        with self._lock:
            if self._flip is None or self._flip >= len(data):
                self._flip = None if self._flip is None else self._flip - len(data)
                return data
            at, self._flip = self._flip, None
        return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]

    def _count(self, size: int) -> bool:
        with self._lock:
            self.passed += size
            over = self._limit is not None and self.passed > self._limit
            if over:
                self._limit = None
                self.cuts += 1
        if over:
            self.cut()
        return not over
