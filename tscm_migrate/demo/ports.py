"""Free ports on loopback, for servers of the lab and of the tests."""

from __future__ import annotations

import os
import socket

_GIVEN: set[int] = set()
_FIRST, _SPREAD, _TRIES = 12_000, 8_000, 2_000


def free_port(*addresses: str, also: int = 0) -> int:
    """Return a port that is free on all these addresses, with its neighbour `also`; never twice the same in a process.

    Below 32768: the system may give an ephemeral port to an outgoing connection before a server has bound it, and a
    client could then connect to itself.

    Args:
        addresses: default: 127.0.0.1.
        also: distance of a second port.

    Raises:
        OSError: no port is free.
    """
    start = _FIRST + (os.getpid() * 97) % _SPREAD  # parallel processes try different ports
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
