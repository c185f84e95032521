"""The paramiko transport of this project, and the watchdog that closes it if the peer does not respond.

The transport requests the authentication service once: a strict server closes the connection at a second request. It
switches Nagle's algorithm off, which would delay each command by 40 ms, and bounds every wait.
"""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

import paramiko
from paramiko import AuthenticationException, Message, SSHException
from paramiko.auth_handler import AuthOnlyHandler
from paramiko.common import cMSG_SERVICE_REQUEST, cMSG_USERAUTH_INFO_RESPONSE, cMSG_USERAUTH_REQUEST
from paramiko.kex_curve25519 import KexCurve25519
from paramiko.transport import ServiceRequestingTransport

from tscm_migrate.ssh.accelerated import packetizer_class
from tscm_migrate.ssh.auth import PasswordChangeError, UnansweredError

_CURVE = "curve25519-sha256"
_LINE = 300  # characters of a message of the server
_EXTENSIONS = 100  # that a server announces; OpenSSH has three
_QUESTIONS = 20  # of a server in one round of a login
_ROUNDS = 20  # of questions


def _with_curve(names: tuple[str, ...]) -> tuple[str, ...]:
    at = next((i for i, name in enumerate(names) if name.startswith(_CURVE)), len(names))
    return (*names[:at], _CURVE, *names[at:])


class Transport(ServiceRequestingTransport):
    """A transport that also records why a connection failed; `fast` is the host's `fast_transport`.

    Attributes:
        greeting: lines that the server sent before its version.
        closed_early: whether it closed the connection before it sent its version.
        goodbye: its reason for closing the connection.
        offered: the algorithms that it offered, by paramiko's names of the lists.
    """

    # paramiko knows this key exchange only by its name before RFC 8731
    _kex_info: ClassVar[dict[str, Any]] = {**ServiceRequestingTransport._kex_info, _CURVE: KexCurve25519}  # type: ignore[attr-defined]  # noqa: SLF001
    _preferred_kex = _with_curve(ServiceRequestingTransport._preferred_kex)  # type: ignore[attr-defined]  # noqa: SLF001

    def __init__(self, *args: Any, fast: bool = True, **kwargs: Any) -> None:
        self._service_accepted = threading.Event()
        self.greeting: list[str] = []
        self.goodbye = ""
        self.closed_early = False
        self.offered: dict[str, list[str]] = {}
        super().__init__(*args, **{**kwargs, "packetizer_class": packetizer_class(fast=fast)})
        if isinstance(self.sock, socket.socket):  # otherwise it is a channel of a gateway
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
        if not ignore_first_byte:  # otherwise it is our own offer
            self.offered = {name: list(found) for name, found in parsed.items() if isinstance(found, list)}
        return parsed

    def _parse_disconnect(self, m: Message) -> None:
        m.get_int()
        self.goodbye = m.get_text()[:_LINE]

    def version(self) -> tuple[int, int] | None:
        """Return OpenSSH's version; None for another server, or if it is hidden."""
        found = re.match(r"SSH-2\.0-OpenSSH_(\d+)\.(\d+)", self.remote_version or "")
        return (int(found[1]), int(found[2])) if found else None

    def _signatures(self) -> bytes:
        extensions: dict[str, bytes] = self.server_extensions  # type: ignore[attr-defined]
        return extensions.get("server-sig-algs", b"")

    def takes_unannounced_rsa(self) -> bool:
        """Return whether it accepts RSA keys with SHA-2 without listing them, as OpenSSH 7.4 does."""
        listed = self._signatures()
        return bool(listed) and b"rsa-sha2" not in listed and self.version() == (7, 4)

    def signature_note(self, name: str) -> str:
        """Return why an RSA key may have been refused; "" if the server supports SHA-2."""
        listed = self._signatures()
        keys = self.offered.get("server_key_algo_list", [])
        knows = b"rsa-sha2" in listed or self.takes_unannounced_rsa() or any(k.startswith("rsa-sha2") for k in keys)
        return "" if knows or "key" not in name else "an RSA key works there with SHA-1 only, which is not offered"

    def _parse_ext_info(self, m: Message) -> None:
        if (count := m.get_int()) > _EXTENSIONS:  # paramiko would count to any number, also in an empty message
            raise SSHException(f"the server announces {count} extensions, more than any server has")
        m.rewind()
        super()._parse_ext_info(m)  # type: ignore[misc]

    def _parse_service_accept(self, m: Message) -> None:
        super()._parse_service_accept(m)  # type: ignore[misc]
        self._service_accepted.set()

    def ensure_session(self) -> None:
        """Request the authentication service, if this was not done before.

        Raises:
            SSHException: no connection, or no answer within the authentication timeout.
        """
        if not self.is_active() or not self.initial_kex_done:
            raise SSHException("No existing session")
        if self._service_accepted.is_set():
            return
        self.auth_handler = self.get_auth_handler()  # set first: a banner may follow the answer at once
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
        """Return the handler of this project."""
        return _Handler(self)


class _Handler(AuthOnlyHandler):
    _questions: tuple[str, str, list[tuple[str, bool]]] | None = None
    _count = 0  # of the questions in the longest round
    _wants_change: str | None = None

    def send_auth_request(
        self, username: str, method: str, finish_message: Callable[[Message], None] | None = None
    ) -> list[str]:
        message = Message()
        message.add_byte(cMSG_USERAUTH_REQUEST)
        for text in (username, "ssh-connection", method):
            message.add_string(text)
        if finish_message is not None:  # auth_none has no further fields
            finish_message(message)
        self.auth_method, self.username = method, username
        self._questions = None
        self.auth_event = threading.Event()  # set first: the answer may come at once
        self.transport._send_message(message)  # type: ignore[attr-defined]  # noqa: SLF001
        return self.wait_for_response(self.auth_event)

    def wait_for_response(self, event: Any) -> list[str]:
        """Wait as paramiko does, and answer the server's questions in this thread, which may ask the user.

        Raises:
            PasswordChangeError: the server requires a new password.
            UnansweredError: it asks more than any login needs.
        """
        rounds = 0
        while self._heard(event):
            rounds += 1
            if self._count > _QUESTIONS or rounds > _ROUNDS:
                raise UnansweredError("the server asks more questions than any login needs")
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
        """Wait for the server up to the authentication timeout; return False if the connection is closed.

        Raises:
            AuthenticationException: no answer came.
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
        """Handle message 60: questions, or after a password the notice that it has expired."""
        if self.auth_method == "password":
            self._wants_change = m.get_text() or "the server requires a new password"
        elif self.auth_method == "keyboard-interactive":
            title, instructions, _ = m.get_text(), m.get_text(), m.get_binary()
            count = m.get_int()
            self._count = max(count, self._count)  # another message may follow before this one is answered
            asked = range(min(count, _QUESTIONS))
            self._questions = title, instructions, [(m.get_text(), m.get_boolean()) for _ in asked]
        else:
            raise SSHException("Illegal info request from server")
        if self.auth_event is not None:
            self.auth_event.set()

    def _finalize_pubkey_algorithm(self, key_type: str) -> str:
        """Choose as paramiko does, but use SHA-2 for OpenSSH 7.4, which supports it without announcing it."""
        transport: Any = self.transport
        if "rsa" in key_type and transport.takes_unannounced_rsa():
            transport._agreed_pubkey_algorithm = "rsa-sha2-512"  # noqa: SLF001
            return "rsa-sha2-512" + ("-cert-v01@openssh.com" if key_type.endswith("-cert-v01@openssh.com") else "")
        return super()._finalize_pubkey_algorithm(key_type)  # type: ignore[misc,no-any-return]


class Watchdog:
    """Closes a transport from which no data came for `dead` seconds.

    Any received data counts, so a slow link with full buffers is not closed. While no data comes, a global request that
    needs a reply is sent.
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
        """Stop watching; safe to call twice."""
        self._stop.set()

    def _watch(self) -> None:
        beat = self.dead / 6
        last = time.monotonic()
        while not self._stop.wait(beat) and self.transport.is_active():
            now = time.monotonic()
            if now - last > 3 * beat:  # this machine was suspended: give the peer time to respond
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
        except Exception:  # noqa: BLE001 - the transport is closing; its users get the error
            return
