"""A dead peer is noticed: keepalive alone never does, and a vanished appliance sends no reset."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import paramiko


class Watchdog:
    """Closes a transport from which nothing was heard for `dead` seconds.

    Whatever arrives counts as a sign of life, so a slow link with full buffers is not taken for a dead one; when it is
    quiet, a global request that wants a reply asks for a sign.
    """

    def __init__(self, transport: paramiko.Transport, dead: float) -> None:
        self.transport = transport
        self.dead = dead
        self.barked = False
        self._heard = time.monotonic()
        self._stop = threading.Event()
        self._probe: threading.Thread | None = None
        packetizer: Any = transport.packetizer
        read = packetizer.read_message

        def read_and_note() -> Any:
            message = read()
            self._heard = time.monotonic()
            return message

        packetizer.read_message = read_and_note
        self._thread = threading.Thread(target=self._watch, name="ssh-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the watch; safe to call twice."""
        self._stop.set()

    def _watch(self) -> None:
        beat = self.dead / 6
        last = time.monotonic()
        while not self._stop.wait(beat) and self.transport.is_active():
            now = time.monotonic()
            if now - last > 3 * beat:  # this machine slept; the peer gets its chance before it is called dead
                self._heard = now
            last = now
            quiet = now - self._heard
            if quiet > self.dead:
                self.barked = True
                self.transport.close()
                return
            if quiet > self.dead / 3 and (self._probe is None or not self._probe.is_alive()):
                self._probe = threading.Thread(target=self._ask, name="ssh-probe", daemon=True)
                self._probe.start()

    def _ask(self) -> None:
        try:
            self.transport.global_request("keepalive@openssh.com", wait=True)
        except Exception:  # noqa: BLE001 - the transport is going down; whoever uses it learns that by itself
            return
