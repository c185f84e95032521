"""The paramiko transport of this project, and the watchdog that closes it when the peer is dead."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

from paramiko import AuthenticationException, Message, SSHException
from paramiko.auth_handler import AuthOnlyHandler
from paramiko.common import cMSG_SERVICE_REQUEST, cMSG_USERAUTH_INFO_RESPONSE, cMSG_USERAUTH_REQUEST
from paramiko.kex_curve25519 import KexCurve25519
from paramiko.transport import ServiceRequestingTransport

from tscm_migrate.ssh.accelerated import packetizer_class
from tscm_migrate.ssh.auth import PasswordChangeError

if TYPE_CHECKING:
    from collections.abc import Callable

    import paramiko


_CURVE = "curve25519-sha256"
_LINE = 300  # characters of what a server says


def _with_curve(names: tuple[str, ...]) -> tuple[str, ...]:
    at = next((i for i, name in enumerate(names) if name.startswith(_CURVE)), len(names))
    return (*names[:at], _CURVE, *names[at:])


class Transport(ServiceRequestingTransport):
    """See the module; `fast` is the host's `fast_transport`.

    Attributes:
        greeting: lines that the server sent before its version.
        closed_early: whether it closed the connection before its version had come.
        goodbye: the reason that it gave for closing the connection.
        offered: the names of algorithms that it offered, by paramiko's names of the lists.
    """

    # paramiko knows this key exchange by the name that it had before RFC 8731 only
    _kex_info: ClassVar[dict[str, Any]] = {**ServiceRequestingTransport._kex_info, _CURVE: KexCurve25519}  # type: ignore[attr-defined]  # noqa: SLF001
    _preferred_kex = _with_curve(ServiceRequestingTransport._preferred_kex)  # type: ignore[attr-defined]  # noqa: SLF001

    def __init__(self, *args: Any, fast: bool = True, **kwargs: Any) -> None:
        self._service_accepted = threading.Event()
        self.greeting: list[str] = []
        self.goodbye = ""
        self.closed_early = False
        self.offered: dict[str, list[str]] = {}
        super().__init__(*args, **{**kwargs, "packetizer_class": packetizer_class(fast=fast)})
        if isinstance(self.sock, socket.socket):  # else a channel of a gateway
            with contextlib.suppress(OSError):
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _check_banner(self) -> None:
        read = self.packetizer.readline

        def noting(timeout: float) -> str:
            try:
                line: str = read(timeout)
            except (EOFError, ConnectionError):
                self.closed_early = True
                raise
            if not line.startswith("SSH-"):
                self.greeting.append(line[:_LINE])
            return line

        self.packetizer.readline = noting  # type: ignore[method-assign]
        try:
            super()._check_banner()  # type: ignore[misc]
        finally:
            self.packetizer.readline = read  # type: ignore[method-assign]

    def _really_parse_kex_init(self, m: Message, ignore_first_byte: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - paramiko's
        parsed: dict[str, Any] = super()._really_parse_kex_init(m, ignore_first_byte)  # type: ignore[misc]
        if not ignore_first_byte:  # else it is our own
            self.offered = {name: list(found) for name, found in parsed.items() if isinstance(found, list)}
        return parsed

    def _parse_disconnect(self, m: Message) -> None:
        m.get_int()
        self.goodbye = m.get_text()[:_LINE]

    def version(self) -> tuple[int, int] | None:
        """OpenSSH's version; None where the server is another one, or does not tell."""
        found = re.match(r"SSH-2\.0-OpenSSH_(\d+)\.(\d+)", self.remote_version or "")
        return (int(found[1]), int(found[2])) if found else None

    def _signatures(self) -> bytes:
        extensions: dict[str, bytes] = self.server_extensions  # type: ignore[attr-defined]
        return extensions.get("server-sig-algs", b"")

    def takes_unannounced_rsa(self) -> bool:
        """Whether it takes RSA keys with SHA-2 although its list has none: OpenSSH 7.4, as released."""
        listed = self._signatures()
        return bool(listed) and b"rsa-sha2" not in listed and self.version() == (7, 4)

    def signature_note(self, name: str) -> str:
        """Why an RSA key may have been refused; "" where the server knows SHA-2."""
        listed = self._signatures()
        keys = self.offered.get("server_key_algo_list", [])
        knows = b"rsa-sha2" in listed or self.takes_unannounced_rsa() or any(k.startswith("rsa-sha2") for k in keys)
        return "" if knows or "key" not in name else "an RSA key works there with SHA-1 only, which is not offered"

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
        self.auth_handler = self.get_auth_handler()  # before: a banner may come right behind the answer
        message = Message()
        message.add_byte(cMSG_SERVICE_REQUEST)
        message.add_string("ssh-userauth")
        self._send_message(message)  # type: ignore[attr-defined]
        patience = self.auth_timeout
        while not self._service_accepted.wait(0.2):
            patience -= 0.2
            if not self.is_active() or patience <= 0:
                raise self.get_exception() or SSHException("the server gave no access to its authentication service")

    def get_auth_handler(self) -> AuthOnlyHandler:
        """Ours."""
        return _Handler(self)


class _Handler(AuthOnlyHandler):
    _questions: tuple[str, str, list[tuple[str, bool]]] | None = None
    _wants_change: str | None = None

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
        self._questions = None
        self.auth_event = threading.Event()  # before it is sent: the answer may be quicker than we are
        self.transport._send_message(message)  # type: ignore[attr-defined]  # noqa: SLF001
        return self.wait_for_response(self.auth_event)

    def wait_for_response(self, event: Any) -> list[str]:
        """See paramiko; questions are answered here, by the thread that waits, which may ask the operator.

        Raises:
            PasswordChangeError: the server wants a new password first.
        """
        while self._heard(event):
            if self._wants_change is not None:
                raise PasswordChangeError(self._wants_change)
            if self._questions is None:
                break
            title, instructions, prompts = self._questions
            self._questions = None
            event.clear()
            answers = self.interactive_handler(title, instructions, prompts)  # type: ignore[misc]
            message = Message()
            message.add_byte(cMSG_USERAUTH_INFO_RESPONSE)
            message.add_int(len(answers))
            for answer in answers:
                message.add_string(answer)
            self.transport._send_message(message)  # type: ignore[attr-defined]  # noqa: SLF001
        return super().wait_for_response(event)

    def _heard(self, event: Any) -> bool:
        """Wait for the server, as long as authentication may take; False where the connection is closed.

        Raises:
            AuthenticationException: it said nothing.
        """
        patience: float = self.transport.auth_timeout
        while not event.wait(0.1):
            patience -= 0.1
            if not self.transport.is_active():
                return False
            if patience <= 0:
                raise AuthenticationException("the server did not answer in time")
        return True

    def _parse_userauth_info_request(self, m: Message) -> None:
        """The message with number 60: questions, or (to a password) that it has expired."""
        if self.auth_method == "password":
            self._wants_change = m.get_text() or "the server wants a new one"
        elif self.auth_method == "keyboard-interactive":
            title, instructions, _ = m.get_text(), m.get_text(), m.get_binary()
            self._questions = title, instructions, [(m.get_text(), m.get_boolean()) for _ in range(m.get_int())]
        else:
            raise SSHException("Illegal info request from server")
        if self.auth_event is not None:
            self.auth_event.set()

    def _finalize_pubkey_algorithm(self, key_type: str) -> str:
        """See paramiko; OpenSSH 7.4 takes the SHA-2 signatures of RSA keys that it does not announce."""
        transport: Any = self.transport
        if "rsa" in key_type and transport.takes_unannounced_rsa():
            transport._agreed_pubkey_algorithm = "rsa-sha2-512"  # noqa: SLF001
            return "rsa-sha2-512" + ("-cert-v01@openssh.com" if key_type.endswith("-cert-v01@openssh.com") else "")
        return super()._finalize_pubkey_algorithm(key_type)  # type: ignore[misc,no-any-return]


class Watchdog:
    """Closes a transport from which nothing was heard for `dead` seconds.

    Whatever arrives counts as a sign of life, so a slow link with full buffers is not taken for a dead one; when it is
    quiet, a global request that wants a reply asks for a sign.
    """

    def __init__(self, transport: paramiko.Transport, dead: float) -> None:
        self.transport = transport
        self.dead = dead
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
