"""An SSH server made with paramiko that imitates other servers; it runs commands with sh."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_PARTIALLY_SUCCESSFUL, AUTH_SUCCESSFUL, OPEN_SUCCEEDED

from tests.harness.sshd import make_key
from tscm_migrate.model import Host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_EXTENSIONS, _QUESTIONS = bytes([7]), bytes([60])  # numbers of messages
_ALL = 0xFFFFFFFF
_LARGEST_PACKET = 0x100000  # bytes: BUFFER_MAX_CHUNK of OpenSSH before 6.7


@dataclass
class Behaviour:
    """Behaviour of the server.

    Attributes:
        version: its version line.
        steps: the authentication methods that it requires, in this order.
        password: the right password.
        questions: (text, right answer) of keyboard-interactive.
        expired: it asks for a new password when it gets the right one.
        banner: text sent before authentication.
        sig_algs: its server-sig-algs; None: it sends no such list; "": paramiko's list.
        algorithms: paramiko's names of lists (kex, ciphers, digests, key_types) → the algorithms it offers.
        small_packets: like OpenSSH 6.6 it closes a connection that announces large packets.
        sessions: how many sessions it opens at the same time on one connection.
        flood: "questions" or "extensions": it announces 2³²-1 of them in one packet; "rounds": it asks without end;
            "output" or "errors": every command prints without end, whatever the window allows.
    """

    version: str = "SSH-2.0-OpenSSH_9.9"
    steps: tuple[str, ...] = ("publickey",)
    password: str = "pass"
    questions: tuple[tuple[str, str], ...] = ()
    expired: bool = False
    banner: str = ""
    sig_algs: str | None = ""
    algorithms: dict[str, tuple[str, ...]] = field(default_factory=dict)
    small_packets: bool = False
    sessions: int = 100
    flood: str = ""


class _ServerInterface(paramiko.ServerInterface):
    def __init__(self, behaviour: Behaviour, allowed: list[bytes], server: StandIn) -> None:
        self.behaviour, self.allowed, self.server = behaviour, allowed, server
        self.left = list(behaviour.steps)
        self.open = 0
        self.lock = threading.Lock()

    def get_allowed_auths(self, username: str) -> str:
        if self.behaviour.flood == "extensions":
            self.server.announce(_EXTENSIONS, count=_ALL)
        return self.left[0] if self.left else ""

    def get_banner(self) -> tuple[str | None, str | None]:
        return (self.behaviour.banner or None), "en"

    def _next(self, method: str, *, right: bool) -> int:
        self.server.tried.append(method)
        if not right or not self.left or self.left[0] != method:
            return AUTH_FAILED
        self.left.pop(0)
        return AUTH_PARTIALLY_SUCCESSFUL if self.left else AUTH_SUCCESSFUL

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return self._next("publickey", right=key.asbytes() in self.allowed)

    def check_auth_password(self, username: str, password: str) -> int:
        if self.behaviour.expired:
            self.server.ask_for_change()
        return self._next("password", right=password == self.behaviour.password)

    def check_auth_interactive(self, username: str, submethods: str) -> Any:
        if self.behaviour.flood == "questions":
            self.server.announce(_QUESTIONS, "title", "instructions", "", count=_ALL)
        query = paramiko.InteractiveQuery("Two steps", "please")
        for text, _ in self.behaviour.questions:
            query.add_prompt(text, echo=False)
        return query

    def check_auth_interactive_response(self, responses: list[str]) -> Any:
        if self.behaviour.flood == "rounds":
            return paramiko.InteractiveQuery("Once more", "please")
        wanted = [right for _, right in self.behaviour.questions]
        return self._next("keyboard-interactive", right=list(responses) == wanted)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        with self.lock:
            if kind != "session" or self.open >= self.behaviour.sessions:
                return paramiko.OPEN_FAILED_CONNECT_FAILED
            self.open += 1
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self._run, args=(channel, command.decode()), daemon=True).start()
        return True

    def _run(self, channel: paramiko.Channel, command: str) -> None:
        if self.behaviour.flood in {"output", "errors"}:
            channel.out_window_size = 1 << 40
            send = channel.sendall if self.behaviour.flood == "output" else channel.sendall_stderr
            with contextlib.suppress(OSError, EOFError):
                while True:
                    send(bytes(1 << 15))
        self.server.packets.append(channel.out_max_packet_size)
        if self.behaviour.small_packets and channel.out_max_packet_size >= _LARGEST_PACKET:
            channel.get_transport().close()  # buffer_append_space: len 1048612 not supported
            return
        with contextlib.suppress(OSError, EOFError):
            child = subprocess.Popen(
                ["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            feeding = threading.Thread(target=_feed, args=(channel, child), daemon=True)
            feeding.start()
            assert child.stdout
            assert child.stderr
            errors = threading.Thread(target=_copy, args=(child.stderr, channel.sendall_stderr), daemon=True)
            errors.start()
            _copy(child.stdout, channel.sendall)
            errors.join(60)
            channel.send_exit_status(child.wait(30))
        with self.lock:
            self.open -= 1
        channel.close()


def _copy(source: Any, sink: Any) -> None:
    with contextlib.suppress(OSError, EOFError):
        while data := source.read1(1 << 15):
            sink(data)


def _feed(channel: paramiko.Channel, child: subprocess.Popen[bytes]) -> None:
    assert child.stdin
    with contextlib.suppress(OSError, EOFError):
        while data := channel.recv(1 << 15):
            child.stdin.write(data)
            child.stdin.flush()
    with contextlib.suppress(OSError):
        child.stdin.close()


class _Announcing(paramiko.Transport):
    """A transport that accepts paramiko's signature algorithms, and announces others."""

    announced = ""

    @property
    def preferred_pubkeys(self) -> Any:
        own = super().preferred_pubkeys  # type: ignore[misc]
        return _List(own, self.announced) if self.announced else own


class _List(tuple[str, ...]):
    """A tuple whose iterator (used by join) yields the announced algorithms; `in` uses the real ones."""

    __slots__ = ()
    others: ClassVar[dict[int, str]] = {}

    def __new__(cls, own: Any, announced: str) -> Self:
        made = super().__new__(cls, own)
        cls.others[id(made)] = announced
        return made

    def __iter__(self) -> Any:
        return iter(self.others[id(self)].split(","))


class StandIn:
    """The server; `tried` are the authentication methods that were tried, `packets` the announced packet sizes."""

    def __init__(self, folder: Path, behaviour: Behaviour) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.behaviour = folder, behaviour
        self.host_key, self.user_key = make_key(folder / "host"), make_key(folder / "user")
        self.allowed = [paramiko.PKey.from_path(self.user_key).asbytes()]
        self.tried: list[str] = []
        self.packets: list[int] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._transports: list[paramiko.Transport] = []
        self._stop = False

    def allow(self, key: Path) -> None:
        self.allowed.append(paramiko.PKey.from_path(key).asbytes())

    def host(self, **fields: Any) -> Host:
        port = self._listener.getsockname()[1]
        known = self.folder / "known_hosts"
        known.write_text(f"[127.0.0.1]:{port} {' '.join((self.folder / 'host.pub').read_text().split()[:2])}\n")
        given: dict[str, Any] = {"user": "u", "identity_file": self.user_key, "use_agent": False, "port": port}
        return Host("box", "127.0.0.1", known_hosts=known, **(given | fields))

    def ask_for_change(self) -> None:
        message = paramiko.Message()
        message.add_byte(bytes([60]))
        message.add_string("Your password has expired")
        message.add_string("en")
        self._transports[-1]._send_message(message)  # type: ignore[attr-defined]

    def announce(self, kind: bytes, *texts: str, count: int) -> None:
        """Send a message that announces so many entries and has none."""
        message = paramiko.Message()
        message.add_byte(kind)
        for text in texts:
            message.add_string(text)
        message.add_int(count)
        self._transports[-1]._send_message(message)  # type: ignore[attr-defined]

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._listener.close()
        for transport in self._transports:
            transport.close()

    def _serve(self) -> None:
        while not self._stop:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(Exception):
                self._greet(peer)

    def _greet(self, peer: socket.socket) -> None:
        behaviour = self.behaviour
        transport = _Announcing(peer, server_sig_algs=behaviour.sig_algs is not None)
        transport.announced = behaviour.sig_algs or ""
        transport.local_version = behaviour.version
        transport.add_server_key(paramiko.PKey.from_path(self.host_key))
        for name, values in behaviour.algorithms.items():
            setattr(transport, f"_preferred_{name}", values)
        self._transports.append(transport)
        transport.start_server(event=threading.Event(), server=_ServerInterface(behaviour, self.allowed, self))


@contextlib.contextmanager
def stand_in(folder: Path, **behaviour: Any) -> Iterator[StandIn]:  # prose: keep
    """Run a server with this behaviour."""
    with StandIn(folder, Behaviour(**behaviour)) as server:
        yield server
