"""From the source to the target's sshd by way of this workstation, for appliances that cannot reach each other."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import MigrateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tscm_migrate.appliance.appliance import Appliance

_CONNECT = 20.0


@contextlib.contextmanager
def tunnel(source: Appliance, target: Appliance) -> Iterator[int]:
    """A port on the source's loopback that leads to the target's sshd; it sees ciphertext only.

    Raises:
        SshError: the source's sshd does not allow forwarding.
    """
    shell = source.shell

    def accept(channel: Any) -> None:
        threading.Thread(target=_join, args=(channel, target), name="tunnel", daemon=True).start()

    port = shell.forwarded(accept)
    try:
        yield port
    finally:
        with contextlib.suppress(MigrateError):
            shell.unforward(port)


def _join(channel: Any, target: Appliance) -> None:
    try:
        other = _to_sshd(target)
    except (OSError, MigrateError):
        channel.close()
        return
    back = threading.Thread(target=_copy, args=(other, channel), name="tunnel-back", daemon=True)
    back.start()
    _copy(channel, other)
    back.join(5.0)


def _to_sshd(target: Appliance) -> Any:
    """A direct connection, or one through what leads to the target."""
    host = target.host
    if host.gateway is None:
        return socket.create_connection((host.address, host.port), _CONNECT)
    return target.shell.open_tunnel("127.0.0.1", host.port)


def _copy(source: Any, target: Any) -> None:
    """Until either end closes; then both are closed, ssh inside of it needs no half-open connection."""
    source.settimeout(None)
    with contextlib.suppress(OSError, EOFError):
        while data := source.recv(1 << 18):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError, EOFError):
            if isinstance(end, socket.socket):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
