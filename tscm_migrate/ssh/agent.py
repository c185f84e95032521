"""The ssh agent, at the socket of SSH_AUTH_SOCK or at one that ~/.ssh/config names as IdentityAgent."""

from __future__ import annotations

import os
import socket
from typing import Any


def agent_at(place: str) -> Any:
    """An open agent; it has `get_keys` and `close`.

    Args:
        place: "" or "SSH_AUTH_SOCK": the usual one; "$NAME": the socket that this variable names; else a path.

    Raises:
        OSError, paramiko.SSHException: nobody answers there.
    """
    import paramiko
    from paramiko.agent import AgentSSH

    if place.startswith("$"):
        place = os.environ.get(place[1:], "")
    if place in {"", "SSH_AUTH_SOCK"}:
        return paramiko.Agent()

    family: Any = getattr(socket, "AF_UNIX", None)
    if family is None:  # Windows: the agents there have one place each
        return paramiko.Agent()

    class Named(AgentSSH):
        def __init__(self) -> None:
            super().__init__()
            connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                connection.connect(place)
            except OSError:
                connection.close()
                raise
            self._connect(connection)  # type: ignore[attr-defined]

        def close(self) -> None:
            self._close()  # type: ignore[attr-defined]

    return Named()
