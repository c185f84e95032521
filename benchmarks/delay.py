"""A TCP relay that hands every byte on after a while: `delay.py PORT SECONDS` prints its own port."""

from __future__ import annotations

import collections
import contextlib
import socket
import sys
import threading
import time

_CHUNK = 1 << 18
_UNDER_WAY = 256 << 20  # bytes: more than any window, so that the delay decides and not the relay's room


class Line:
    """One direction of one connection."""

    def __init__(self, source: socket.socket, target: socket.socket, delay: float) -> None:
        self.source, self.target, self.delay = source, target, delay
        self.waiting: collections.deque[tuple[float, bytes]] = collections.deque()
        self.size = 0
        self.changed = threading.Condition()
        for work in (self.take, self.give):
            threading.Thread(target=work, daemon=True).start()

    def take(self) -> None:
        data = b"x"
        while data:
            try:
                data = self.source.recv(_CHUNK)
            except OSError:
                data = b""
            with self.changed:
                while self.size > _UNDER_WAY:
                    self.changed.wait()
                self.waiting.append((time.monotonic() + self.delay, data))
                self.size += len(data)
                self.changed.notify_all()

    def give(self) -> None:
        data = b"x"
        while data:
            with self.changed:
                while not self.waiting:
                    self.changed.wait()
                due, data = self.waiting.popleft()
                self.size -= len(data)
                self.changed.notify_all()
            time.sleep(max(0.0, due - time.monotonic()))
            with contextlib.suppress(OSError):
                if data:
                    self.target.sendall(data)
                else:
                    self.target.shutdown(socket.SHUT_WR)


def main(port: int, delay: float) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            near, _ = listener.accept()
            far = socket.create_connection(("127.0.0.1", port))
            for one in (near, far):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Line(near, far, delay)
            Line(far, near, delay)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
