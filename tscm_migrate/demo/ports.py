"""Ports for servers of the lab and of the tests, on loopback."""

from __future__ import annotations

import os
import socket

_GIVEN: set[int] = set()
_FIRST, _SPREAD, _TRIES = 12_000, 8_000, 2_000


def free_port(*addresses: str, also: int = 0) -> int:
    """A port that is free on all these addresses, as is the one `also` above it; never the same twice in one process.

    Below 32768: an ephemeral port, which the system gives to any connection that goes out, may be taken again before a
    server has bound it, and who connects to it may meet himself.

    Args:
        addresses: 127.0.0.1, where none is given.
        also: the distance of a second port.

    Raises:
        OSError: there is none.
    """
    start = _FIRST + (os.getpid() * 97) % _SPREAD  # processes side by side look at different ones
    for port in range(start, start + _TRIES):
        if port not in _GIVEN and all(_is_free(one, port, port + also) for one in addresses or ("127.0.0.1",)):
            _GIVEN.add(port)
            return port
    raise OSError("no port is free")


def _is_free(address: str, *ports: int) -> bool:
    for port in set(ports):
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True
