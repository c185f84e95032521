"""Logins with several steps, one-time codes and keys in all formats, and the reasons of failed logins."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from paramiko import SSHException

from tests.harness.sshd import Sshd, make_key
from tests.harness.stand_in import stand_in
from tests.support.timeouts import LONG_TIMEOUTS
from tscm_migrate.errors import (
    AuthFailed,
    HostKeyUnknown,
    LoginsClosed,
    MigrateError,
    NoCommonAlgorithm,
    PasswordExpired,
    ServerFull,
    Unreachable,
)
from tscm_migrate.model import Host, Secret
from tscm_migrate.ssh import keyfiles, pinning, stream
from tscm_migrate.ssh.connect import NoSecrets, connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


pytestmark = pytest.mark.slow


class KnownCredentials(NoSecrets):
    """Credentials: a password, one-time codes in order, and a passphrase."""

    def __init__(self, password: str | None = "pass", *codes: str, passphrase: str = "") -> None:  # noqa: S107
        self.password, self.codes, self.passphrase = password, list(codes), passphrase
        self.asked: list[str] = []

    def login_password(self, host: Host) -> Secret | None:
        self.asked.append("password")
        return None if self.password is None else Secret(self.password)

    def login_answer(self, host: Host, question: str) -> Secret | None:
        self.asked.append(question)
        return Secret(self.codes.pop(0)) if self.codes else None

    def key_passphrase(self, host: Host, key: Path) -> Secret | None:
        return Secret(self.passphrase) if self.passphrase else None


CODE = (("Verification code: ", "123456"),)
BOTH = (("Password: ", "pass"), ("One-time password (OTP): ", "123456"))


@pytest.mark.parametrize(
    ("steps", "questions"),
    [
        (("publickey", "password"), ()),
        (("password", "publickey"), ()),
        (("publickey", "keyboard-interactive"), CODE),
        (("keyboard-interactive",), BOTH),
        (("publickey", "password", "keyboard-interactive"), CODE),
        (("keyboard-interactive", "keyboard-interactive", "publickey"), CODE),
    ],
)
def test_a_login_continues_with_each_step_the_server_requires(
    tmp_path: Path, steps: tuple[str, ...], questions: tuple[tuple[str, str], ...]
) -> None:
    credentials = KnownCredentials("pass", "123456", "123456")
    with (
        stand_in(tmp_path, steps=steps, questions=questions) as server,
        connect(server.host(), credentials=credentials, timeouts=LONG_TIMEOUTS) as shell,
    ):
        assert shell.run("echo in").stdout == "in\n"
    assert [one for one in server.tried if one != "none"] == list(steps)
    assert any("Two steps please" in one for one in credentials.asked) == bool(questions)


def test_a_server_that_requires_two_keys_is_reported(tmp_path: Path) -> None:
    second = make_key(tmp_path / "second")
    with stand_in(tmp_path / "s", steps=("publickey", "publickey")) as server:
        server.allow(second)
        with pytest.raises(AuthFailed, match=r"accepted, not enough"):
            connect(server.host(), credentials=NoSecrets(), timeouts=LONG_TIMEOUTS)


def test_wrong_and_missing_one_time_codes_are_reported(tmp_path: Path) -> None:
    with stand_in(tmp_path, steps=("publickey", "keyboard-interactive"), questions=CODE) as server:
        with pytest.raises(AuthFailed, match=r"key user \(accepted, not enough\), answers; the server takes: keyboard"):
            connect(server.host(), credentials=KnownCredentials("pass", "000000"), timeouts=LONG_TIMEOUTS)
        with pytest.raises(AuthFailed, match="no answer is known to 'Verification code:'"):
            connect(server.host(), credentials=NoSecrets(), timeouts=LONG_TIMEOUTS)


@pytest.mark.parametrize(
    "behaviour",
    [
        {"steps": ("password",), "expired": True},
        {"steps": ("keyboard-interactive",), "questions": (("Current password: ", "x"),)},
        {"steps": ("keyboard-interactive",), "questions": (("New password: ", "x"), ("Retype new password: ", "x"))},
    ],
)
def test_an_expired_password_is_reported(tmp_path: Path, behaviour: dict[str, Any]) -> None:
    with stand_in(tmp_path, **behaviour) as server, pytest.raises(PasswordExpired) as caught:
        connect(server.host(), credentials=KnownCredentials(), timeouts=LONG_TIMEOUTS)
    assert "u@127.0.0.1 passwd" in caught.value.remedy()


@pytest.mark.parametrize("flood", ["questions", "rounds", "extensions"])
def test_a_login_without_end_is_refused(tmp_path: Path, flood: str) -> None:
    """A count of 2³²-1 in a packet of 30 bytes took all memory, or a processor for half an hour."""
    with (
        stand_in(tmp_path, steps=("keyboard-interactive",), flood=flood) as server,
        pytest.raises(MigrateError, match=r"than any login|closed during authentication"),
    ):
        connect(server.host(), credentials=NoSecrets())


@pytest.mark.parametrize("flood", ["output", "errors"])
@pytest.mark.parametrize("window", [None, stream.WINDOW])
def test_a_server_that_ignores_the_window_is_disconnected(tmp_path: Path, flood: str, window: int | None) -> None:
    with stand_in(tmp_path, flood=flood) as server, connect(server.host(), credentials=NoSecrets()) as shell:
        channel = shell.session(window, stream.PACKET if window else None)
        most = 2 * channel.in_window_size
        with contextlib.suppress(SSHException, EOFError):  # the connection may be closed before the answer
            channel.exec_command("true")
        assert channel.status_event.wait(20), "the connection is closed although nothing is read"
        assert len(channel.in_buffer) + len(channel.in_stderr_buffer) <= most


def test_a_host_with_logins_closed_is_reported(tmp_path: Path) -> None:
    banner = "System is booting up. Unprivileged users are not permitted to log in yet."
    with stand_in(tmp_path, steps=("password",), banner=banner) as server, pytest.raises(LoginsClosed, match="booting"):
        connect(server.host(), credentials=NoSecrets(), timeouts=LONG_TIMEOUTS)


# ------------------------------------------------------------------ keys


@pytest.mark.parametrize(
    "options", [["-Z", "aes256-gcm@openssh.com"], ["-m", "PKCS8"], ["-m", "PEM"], []], ids=" ".join
)
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_key_in_each_usual_format_is_read_with_its_passphrase(tmp_path: Path, kind: str, options: list[str]) -> None:
    path = tmp_path / "key"
    argv = ["ssh-keygen", "-q", "-t", kind, *options, "-N", "correct horse", "-f", str(path)]
    subprocess.run(argv, check=True, timeout=60)
    public = keyfiles.public_blob(path)
    assert keyfiles.wants_passphrase(path.read_bytes())
    assert keyfiles.load(path, path.read_bytes(), "correct horse").asbytes() == public
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n").rstrip())  # as some editors save it
    assert keyfiles.wants_passphrase(keyfiles.read(path))
    assert keyfiles.load(path, keyfiles.read(path), "correct horse").asbytes() == public
    with pytest.raises(keyfiles.KeyUnusableError, match="wrong passphrase"):
        keyfiles.load(path, keyfiles.read(path), "wrong")
    if not options:
        path.with_name("key.pub").unlink()
        assert keyfiles.public_blob(path) == public, "the encrypted file contains the public key"


def test_an_unreadable_key_format_is_reported_with_a_conversion_command(tmp_path: Path) -> None:
    path = tmp_path / "key"
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-Z", "chacha20-poly1305@openssh.com", "-N", "correct horse"]
    subprocess.run([*argv, "-f", str(path)], check=True, timeout=60)
    with stand_in(tmp_path / "s") as server, pytest.raises(AuthFailed) as caught:
        connect(
            server.host(identity_file=path),
            credentials=KnownCredentials(passphrase="correct horse"),
            timeouts=LONG_TIMEOUTS,
        )
    assert f"(OpenSSH, chacha20-poly1305@openssh.com) cannot be read: ssh-keygen -p -f {path}" in str(caught.value)


def test_a_public_key_of_another_format_is_reported_with_a_conversion_command(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    made = subprocess.run(["ssh-keygen", "-e", "-f", str(key)], capture_output=True, check=True, timeout=60).stdout
    key.write_bytes(made)
    with pytest.raises(keyfiles.KeyUnusableError) as caught:
        keyfiles.load(key, keyfiles.read(key), None)
    subprocess.run(["sh", "-c", str(caught.value).partition(": ")[2]], check=True, timeout=60)
    assert keyfiles.is_public((tmp_path / "key.openssh.pub").read_bytes())


@pytest.mark.skipif(not shutil.which("ssh-agent"), reason="no ssh-agent")
def test_a_public_key_file_selects_a_key_of_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sock = tmp_path / "sock"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(sock)], stdout=subprocess.DEVNULL)
    try:
        while not sock.exists():
            assert agent.poll() is None
        monkeypatch.setenv("SSH_AUTH_SOCK", str(sock))
        for number in range(7):
            subprocess.run(["ssh-add", "-q", str(make_key(tmp_path / f"other{number}"))], check=True, timeout=100)
        with Sshd(tmp_path / "s") as server:
            subprocess.run(["ssh-add", "-q", str(server.client_key)], check=True, timeout=100)
            public = server.client_key.with_name("client.pub")
            server.client_key.unlink()
            with connect(server.host(identity_file=public, use_agent=True), credentials=NoSecrets()) as shell:
                assert shell.run("echo in").stdout == "in\n"
            lonely = make_key(tmp_path / "lonely")
            lonely.unlink()
            with pytest.raises(AuthFailed, match="whose private half is not in the agent"):
                connect(server.host(identity_file=tmp_path / "lonely.pub"), credentials=NoSecrets())
    finally:
        agent.terminate()
        agent.wait(60)


# ------------------------------------------------------------------ algorithms


@pytest.mark.parametrize(
    ("kind", "option", "age"),
    [
        ("key exchange", "KexAlgorithms sntrup761x25519-sha512@openssh.com", "newer"),
        ("key exchange", "KexAlgorithms diffie-hellman-group14-sha1", "outdated"),
        ("MAC", "MACs umac-128@openssh.com\nCiphers aes128-ctr", "newer"),
        ("cipher", "Ciphers chacha20-poly1305@openssh.com", "newer"),
        ("host key algorithm", "HostKeyAlgorithms ssh-rsa", "outdated"),
    ],
)
def test_a_missing_common_algorithm_is_reported_with_both_lists(
    tmp_path: Path, kind: str, option: str, age: str
) -> None:
    with Sshd(tmp_path / "s", options=option.split("\n")) as server, pytest.raises(NoCommonAlgorithm) as caught:
        connect(server.host(), credentials=NoSecrets(), timeouts=LONG_TIMEOUTS)
    error = caught.value
    assert (error.kind, age in error.message()) == (kind, True)
    assert option.split()[1] in error.theirs
    assert error.ours
    assert error.theirs[0] in error.message()
    assert error.ours[0] in error.message()
    assert ("upgrade paramiko" in error.remedy()) == (age == "newer")


def test_curve25519_is_offered_under_its_rfc_name(tmp_path: Path) -> None:
    with Sshd(tmp_path / "s", options=["KexAlgorithms curve25519-sha256"]) as server:
        with connect(server.host(), credentials=NoSecrets(), timeouts=LONG_TIMEOUTS) as shell:
            assert shell.run("echo in").stdout == "in\n"
        assert pinning.scan("127.0.0.1", server.port)


def rsa(folder: Path) -> Path:
    return make_key(folder / "rsa", "rsa")


@pytest.mark.parametrize(
    ("version", "sig_algs"),
    [("SSH-2.0-OpenSSH_7.4", "ssh-ed25519,ssh-rsa"), ("SSH-2.0-OpenSSH_7.2", None), ("SSH-2.0-dropbear_2020.81", "")],
)
def test_an_rsa_key_is_accepted_by_servers_with_incomplete_lists(
    tmp_path: Path, version: str, sig_algs: str | None
) -> None:
    key = rsa(tmp_path)
    with stand_in(tmp_path / "s", version=version, sig_algs=sig_algs) as server:
        server.allow(key)
        with connect(server.host(identity_file=key), credentials=NoSecrets(), timeouts=LONG_TIMEOUTS) as shell:
            assert shell.run("echo in").stdout == "in\n"


def test_a_server_with_sha_1_signatures_only_is_reported(tmp_path: Path) -> None:
    key = rsa(tmp_path)
    behaviour: dict[str, Any] = {"version": "SSH-2.0-OpenSSH_6.6.1", "sig_algs": "ssh-ed25519,ssh-rsa"}
    with stand_in(tmp_path / "s", **behaviour) as server, pytest.raises(AuthFailed, match="SHA-1"):
        connect(server.host(identity_file=key), credentials=NoSecrets(), timeouts=LONG_TIMEOUTS)


# ------------------------------------------------------------------ connections that are closed


def test_a_server_at_its_connection_limit_is_reported(tmp_path: Path) -> None:
    with (
        Sshd(tmp_path / "s", options=["MaxStartups 1:100:1", "LoginGraceTime 20"]) as server,
        contextlib.ExitStack() as open_connections,
    ):
        greeting = b""
        while greeting != b"SSH-":  # the connection that checks whether it is up may still be open
            greeting = open_connections.enter_context(socket.create_connection(("127.0.0.1", server.port), 10)).recv(4)
        with pytest.raises(Unreachable, match="MaxStartups"):
            connect(server.host(), credentials=NoSecrets(), timeouts=LONG_TIMEOUTS)


def _closing(after: bytes) -> Callable[[socket.socket], None]:
    def serve(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            peer.sendall(after)

    return serve


@pytest.mark.parametrize(
    ("greeting", "kind", "message"),
    [
        (b"Exceeded MaxStartups\r\n", ServerFull, "MaxStartups"),
        (b"Not allowed at this time\r\n", ServerFull, "Not allowed"),
        (b"", Unreachable, "MaxStartups"),
    ],
)
def test_a_connection_closed_before_the_version_line_is_explained(
    greeting: bytes, kind: type[Exception], message: str
) -> None:
    import threading

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_closing(greeting), args=(listener,), daemon=True)
        thread.start()
        host = Host("box", "127.0.0.1", port=listener.getsockname()[1], use_agent=False)
        with pytest.raises(kind, match=message):
            connect(host, credentials=NoSecrets(), timeouts=LONG_TIMEOUTS)
        thread.join(60)


def test_a_connection_lost_during_authentication_is_not_a_refused_key(tmp_path: Path) -> None:
    with stand_in(tmp_path, steps=("password",)) as server:
        closing_credentials = type(
            "Closing", (KnownCredentials,), {"login_password": lambda _self, _host: _close(server)}
        )
        with pytest.raises(Unreachable, match="closed during authentication"):
            connect(server.host(), credentials=closing_credentials(), timeouts=LONG_TIMEOUTS)


def _close(server: Any) -> Secret:
    server._transports[-1].close()
    return Secret("x")


def test_a_cert_authority_line_for_the_host_is_reported(tmp_path: Path) -> None:
    with Sshd(tmp_path / "s") as server:
        known = tmp_path / "known"
        known.write_text(f"@cert-authority [127.0.0.1]:{server.port} {server.public_key('rsa')}\n")
        with pytest.raises(HostKeyUnknown, match="@cert-authority") as caught:
            connect(server.host(known_hosts=known), credentials=NoSecrets(), timeouts=LONG_TIMEOUTS)
        assert "line 1" in str(caught.value)


@pytest.mark.parametrize(
    ("version", "most"),
    [
        ("SSH-2.0-OpenSSH_6.6.1p1", 1 << 18),
        ("SSH-2.0-dropbear_2015.67", 1 << 18),
        ("SSH-2.0-none", 1 << 18),
        ("SSH-2.0-OpenSSH_9.2p1", 1 << 20),
    ],
)
def test_the_announced_packet_size_suits_the_server(tmp_path: Path, version: str, most: int) -> None:
    old = most < 1 << 20
    with (
        stand_in(tmp_path, version=version, small_packets=old) as server,
        connect(server.host(), credentials=NoSecrets(), timeouts=LONG_TIMEOUTS) as shell,
        shell.reader("head -c 3000000 /dev/zero") as reader,
    ):
        assert sum(map(len, reader)) == 3_000_000
    assert max(server.packets) <= most
    assert (max(server.packets) > 1 << 18) != old
