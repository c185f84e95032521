"""Open sessions on a connection, as many at a time as the server allows (MaxSessions)."""

import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

import paramiko
from paramiko import ChannelException

from tscm_migrate.errors import ConnectionLost, MigrateError, SessionsRefused
from tscm_migrate.ssh.exceptions import let_go, translated

_AFTER_END = 3.0  # seconds: a server counts an ended session until it has cleaned it up
_PATIENCE = 60.0  # seconds to wait for the sessions of other threads
_POLL = 0.05
_RETRY = 1.0
_UNKNOWN_KIND = 3  # error code for an unknown type of channel: the server has no sessions at all


class SessionSource(Protocol):
    """A connection to the same host, on which sessions can be opened; implemented by `Shell`."""

    @property
    def alive(self) -> bool:
        """Return whether the connection is up."""

    def session(self, window: int | None = None, packet: int | None = None) -> paramiko.Channel:
        """Open a session."""

    def close(self) -> None:
        """Close the connection."""


class Sessions:
    """The sessions of one connection.

    If the server refuses a session, wait until another session has ended. If the same thread has the other session
    open, or if the wait takes too long, make a second connection.

    Args:
        host: the inventory name.
        transport: the connection.
        timeout: seconds for an answer.
        again: makes another connection to the same host.
    """

    def __init__(
        self, host: str, transport: paramiko.Transport, timeout: float, again: Callable[[], SessionSource] | None
    ) -> None:
        self._host, self._transport, self._timeout, self._again = host, transport, timeout, again
        self._open: weakref.WeakKeyDictionary[paramiko.Channel, int] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()
        self._opening = threading.Lock()  # paramiko keeps one refusal reason for all threads
        self._opened = 0  # sessions opened so far
        self._second: SessionSource | None = None

    def open(self, window: int | None, packet: int | None) -> paramiko.Channel:
        """Open a session.

        Raises:
            SessionsRefused: the server opens no session at all. ConnectionLost: the connection is lost.
        """
        began = idle_since = time.monotonic()
        opened = self._opened
        while (channel := self._try(window, packet)) is None:
            now, others = time.monotonic(), self._others()
            if others is None or (others and now - began > _PATIENCE):
                return self._elsewhere(window, packet)
            if others or self._opened != opened:  # sessions of other threads come and go
                idle_since, opened = now, self._opened
            elif now - idle_since > _AFTER_END:
                raise SessionsRefused(self._host, "although none is open on this connection")
            self._await_change(others)
        return channel

    def _await_change(self, count: int) -> None:
        """Wait until a session has ended, for a second at most."""
        until = time.monotonic() + (_RETRY if count else _POLL)
        while time.monotonic() < until:
            time.sleep(_POLL)
            if len(self._alive()) < count:
                return

    def limit(self, most: int) -> int:
        """Return how many sessions can be open at a time, up to `most`, with those open now."""
        opened: list[paramiko.Channel] = []
        try:
            while len(self._alive()) < most and (channel := self._try(None, None)) is not None:
                opened.append(channel)
            return len(self._alive())
        finally:
            for channel in opened:
                let_go(channel)

    def close(self) -> None:
        """Close the second connection, if there is one."""
        if self._second is not None:
            self._second.close()

    def _try(self, window: int | None, packet: int | None) -> paramiko.Channel | None:
        """Open a session; return None if the server refuses it."""
        with translated(self._host), self._opening:
            try:
                channel = self._transport.open_session(window, packet, timeout=self._timeout)
            except EOFError:
                self._transport.close()  # it is lost: makes `alive` False
                raise
            except ChannelException as error:
                if error.code == _UNKNOWN_KIND:
                    raise
                return None
        with self._lock:
            self._open[channel] = threading.get_ident()
            self._opened += 1
        return channel

    def _alive(self) -> dict[paramiko.Channel, int]:
        with self._lock:
            return {channel: owner for channel, owner in self._open.items() if not channel.closed}

    def _others(self) -> int | None:
        """Return how many sessions of other threads are open; None if this thread has one and would wait for itself."""
        owners = list(self._alive().values())
        return None if threading.get_ident() in owners else len(owners)

    def _elsewhere(self, window: int | None, packet: int | None) -> paramiko.Channel:
        if self._again is None:
            raise SessionsRefused(self._host, "all that it opens are in use")
        with self._lock:
            if self._second is None or not self._second.alive:
                try:
                    self._second = self._again()
                except ConnectionLost:
                    raise
                except MigrateError as error:
                    why = f"all that it opens are in use, and a second connection failed: {error}"
                    raise SessionsRefused(self._host, why) from error
        return self._second.session(window, packet)
