"""A paramiko transport that asks for the authentication service once, and does not wait where nobody has to.

The plain one asks for the service anew with each key, which a strict server answers by hanging up. paramiko has a class
that does better; what is mended here are its `auth_none`, an answer that comes before it listens, and a wait without an
end. The plain one also leaves Nagle's algorithm on: each command then takes 40 ms more, until an acknowledgement that
the other side delays. Imported only when a connection is made.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

from paramiko import Message, SSHException
from paramiko.auth_handler import AuthOnlyHandler
from paramiko.common import cMSG_SERVICE_REQUEST, cMSG_USERAUTH_REQUEST
from paramiko.transport import ServiceRequestingTransport

from tscm_migrate.ssh.accelerated import packetizer_class

if TYPE_CHECKING:
    from collections.abc import Callable


class Transport(ServiceRequestingTransport):
    """See the module; `fast` is the host's `fast_transport`."""

    def __init__(self, *args: Any, fast: bool = True, **kwargs: Any) -> None:
        self._service_accepted = threading.Event()
        super().__init__(*args, **{**kwargs, "packetizer_class": packetizer_class(fast=fast)})
        if isinstance(self.sock, socket.socket):  # else a channel of a gateway
            with contextlib.suppress(OSError):
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _parse_service_accept(self, m: Message) -> None:
        super()._parse_service_accept(m)  # type: ignore[misc]
        self._service_accepted.set()

    def ensure_session(self) -> None:
        """Ask for the service the first time.

        Raises:
            SSHException: no connection, or no answer within the time for authentication.
        """
        if not self.is_active() or not self.initial_kex_done:
            raise SSHException("No existing session")
        if self._service_accepted.is_set():
            return
        message = Message()
        message.add_byte(cMSG_SERVICE_REQUEST)
        message.add_string("ssh-userauth")
        self._send_message(message)  # type: ignore[attr-defined]
        patience = self.auth_timeout
        while not self._service_accepted.wait(0.2):
            patience -= 0.2
            if not self.is_active() or patience <= 0:
                raise self.get_exception() or SSHException("the server gave no access to its authentication service")
        self.auth_handler = self.get_auth_handler()

    def get_auth_handler(self) -> AuthOnlyHandler:
        """Ours."""
        return _Handler(self)


class _Handler(AuthOnlyHandler):
    def send_auth_request(
        self, username: str, method: str, finish_message: Callable[[Message], None] | None = None
    ) -> list[str]:
        message = Message()
        message.add_byte(cMSG_USERAUTH_REQUEST)
        for text in (username, "ssh-connection", method):
            message.add_string(text)
        if finish_message is not None:  # auth_none has nothing to add
            finish_message(message)
        self.auth_method, self.username = method, username
        self.auth_event = threading.Event()  # before it is sent: the answer may be quicker than we are
        self.transport._send_message(message)  # type: ignore[attr-defined]  # noqa: SLF001
        return self.wait_for_response(self.auth_event)
