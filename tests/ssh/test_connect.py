from __future__ import annotations

import shutil
import socket
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.harness.sshd import Sshd, make_key
from tscm_migrate.demo.base import free_port
from tscm_migrate.errors import AuthFailed, HostKeyChanged, HostKeyUnknown, Unreachable
from tscm_migrate.model import Host, Secret
from tscm_migrate.ssh.connect import NoSecrets, Timeouts, connect
from tscm_migrate.ssh.known_hosts import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tscm_migrate.ssh.shell import Shell

pytestmark = pytest.mark.slow


class RecordingCredentials(NoSecrets):
    """Credentials with one passphrase; records what is asked for."""

    def __init__(self, passphrase: str | None) -> None:
        self.passphrase = passphrase
        self.asked: list[str] = []

    def key_passphrase(self, host: Host, key: Path) -> Secret | None:
        self.asked.append(key.name)
        return None if self.passphrase is None else Secret(self.passphrase)

    def login_password(self, host: Host) -> Secret | None:
        self.asked.append("password")
        return None


def pin(path: Path, sshd: Sshd, *kinds: str, key: str | None = None, prefix: str = "") -> Path:
    path.write_text("".join(f"{prefix}{sshd.name} {key or sshd.public_key(kind)}\n" for kind in kinds))
    return path


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_one_pinned_key_of_any_type_is_enough(
    sshd: Sshd, open_shell: Callable[..., Shell], tmp_path: Path, kind: str
) -> None:
    known = pin(tmp_path / "known", sshd, kind)
    shell = open_shell(sshd.host(known_hosts=known))
    assert shell.server_fingerprint() == parse(known.read_text()).entries[0].fingerprint


def test_an_unpinned_host_is_refused_with_its_fingerprint(sshd: Sshd, no_known_hosts: Path) -> None:
    with pytest.raises(HostKeyUnknown) as caught:
        connect(sshd.host(known_hosts=no_known_hosts), credentials=NoSecrets())
    assert caught.value.offered.startswith("SHA256:")
    assert "tscm-migrate host pin box" in caught.value.remedy()


def test_a_host_is_refused_without_a_known_hosts_file(sshd: Sshd) -> None:
    with pytest.raises(HostKeyUnknown):
        connect(sshd.host(known_hosts=None), credentials=NoSecrets())


def test_another_key_than_the_pinned_one_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other")
    text = " ".join(other.with_name("other.pub").read_text().split()[:2])
    known = pin(tmp_path / "known", sshd, "ed25519", key=text)
    with pytest.raises(HostKeyChanged) as caught:
        connect(sshd.host(known_hosts=known), credentials=NoSecrets())
    assert caught.value.pinned == parse(known.read_text()).entries[0].fingerprint
    assert caught.value.offered.startswith("SHA256:")
    assert caught.value.offered != caught.value.pinned


def test_a_revoked_key_is_refused_although_it_is_pinned(sshd: Sshd, tmp_path: Path) -> None:
    known = pin(tmp_path / "known", sshd, "ed25519")
    known.write_text(known.read_text() + f"@revoked * {sshd.public_key('ed25519')}\n")
    with pytest.raises(HostKeyChanged, match="offered"):
        connect(sshd.host(known_hosts=known), credentials=NoSecrets())


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_an_expected_fingerprint_of_any_type_replaces_known_hosts(
    sshd: Sshd, open_shell: Callable[..., Shell], no_known_hosts: Path, kind: str
) -> None:
    expected = parse(f"{sshd.name} {sshd.public_key(kind)}").entries[0].fingerprint
    shell = open_shell(sshd.host(known_hosts=no_known_hosts), expect=[expected])
    assert shell.server_fingerprint() == expected


def test_an_unexpected_key_is_refused_although_it_is_pinned(sshd: Sshd) -> None:
    for expect in (["SHA256:" + "A" * 43], []):
        with pytest.raises(HostKeyChanged):
            connect(sshd.host(), credentials=NoSecrets(), expect=expect)


def test_no_listener_is_unreachable() -> None:
    host = Host("gone", "127.0.0.1", port=free_port())
    with pytest.raises(Unreachable):
        connect(host, credentials=NoSecrets())


def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    with pytest.raises(Unreachable):
        connect(Host("gone", "no-such-host.invalid"), credentials=NoSecrets(), timeouts=Timeouts(connect=5))


def test_a_silent_listener_is_unreachable_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = Host("mute", "127.0.0.1", port=listener.getsockname()[1])
        with pytest.raises(Unreachable):
            connect(host, credentials=NoSecrets(), timeouts=Timeouts(connect=2, banner=1))


def test_a_listener_of_another_protocol_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()):
            pass  # a connection that is closed at once must not disturb
        host = Host("web", "127.0.0.1", port=listener.getsockname()[1])
        import threading

        def answer() -> None:
            for _ in range(2):
                peer, _address = listener.accept()
                with peer:
                    peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with pytest.raises(Unreachable):
            connect(host, credentials=NoSecrets(), timeouts=Timeouts(connect=2, banner=2))
        thread.join(60)


def test_an_unknown_key_is_an_auth_failure_with_the_keys_tried(sshd: Sshd, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other")
    credentials = RecordingCredentials(None)
    with pytest.raises(AuthFailed, match="key other"):
        connect(sshd.host(identity_file=other), credentials=credentials)


def test_a_missing_key_file_is_named(sshd: Sshd, tmp_path: Path) -> None:
    with pytest.raises(AuthFailed, match="no such file"):
        connect(sshd.host(identity_file=tmp_path / "nowhere"), credentials=NoSecrets())


def test_an_encrypted_key_asks_for_its_passphrase_once(
    sshd: Sshd, open_shell: Callable[..., Shell], tmp_path: Path
) -> None:
    key = make_key(tmp_path / "encrypted", passphrase="correct horse")
    sshd.authorize(key)
    credentials = RecordingCredentials("correct horse")
    assert open_shell(sshd.host(identity_file=key), credentials=credentials).run("echo in").stdout == "in\n"
    assert credentials.asked == ["encrypted"]


@pytest.mark.parametrize(("passphrase", "message"), [("wrong", "wrong passphrase"), (None, "no passphrase given")])
def test_an_encrypted_key_without_its_passphrase_is_reported(
    sshd: Sshd, tmp_path: Path, passphrase: str | None, message: str
) -> None:
    key = make_key(tmp_path / "encrypted", passphrase="correct horse")
    sshd.authorize(key)
    with pytest.raises(AuthFailed, match=message) as caught:
        connect(sshd.host(identity_file=key), credentials=RecordingCredentials(passphrase))
    assert passphrase is None or f"'{passphrase}'" not in repr(caught.value)


def test_an_unencrypted_key_needs_no_secret(sshd: Sshd, open_shell: Callable[..., Shell]) -> None:
    credentials = RecordingCredentials("x")
    open_shell(sshd.host(), credentials=credentials)
    assert credentials.asked == []


def test_a_connection_through_a_gateway_checks_both_host_keys(
    sshd: Sshd, open_shell: Callable[..., Shell], no_known_hosts: Path, tmp_path: Path
) -> None:
    with Sshd(tmp_path / "inner") as inner:
        through = replace(inner.host("inner"), gateway=sshd.host("jump"))
        client = open_shell(through).run("echo $SSH_CLIENT").stdout.split()
        assert client[0] == "127.0.0.1"
        with pytest.raises(HostKeyUnknown) as caught:
            connect(replace(through, gateway=sshd.host("jump", known_hosts=no_known_hosts)), credentials=NoSecrets())
        assert caught.value.host == "jump"
        with pytest.raises(HostKeyUnknown) as caught:
            connect(replace(through, known_hosts=no_known_hosts), credentials=NoSecrets())
        assert caught.value.host == "inner"


def test_a_closed_port_behind_a_gateway_is_unreachable(sshd: Sshd) -> None:
    host = Host("inner", "127.0.0.1", port=free_port(), gateway=sshd.host("jump"))
    with pytest.raises(Unreachable):
        connect(host, credentials=NoSecrets())


@pytest.fixture
def agent(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if not shutil.which("ssh-agent"):
        pytest.skip("no ssh-agent")
    sock = tmp_path_factory.mktemp("agent") / "s"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(sock)], stdout=subprocess.DEVNULL)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(sock))
    deadline = time.monotonic() + 60
    while not sock.exists():
        assert time.monotonic() < deadline, "ssh-agent did not start"
        time.sleep(0.02)
    yield
    process.terminate()
    process.wait(60)


def load(key: Path) -> None:
    subprocess.run(["ssh-add", "-q", str(key)], check=True, stdin=subprocess.DEVNULL, timeout=100)


def encrypt(key: Path, passphrase: str) -> None:
    """Encrypt a private key file; the public key file stays."""
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", passphrase, "-f", str(key)], check=True, timeout=100)


@pytest.mark.usefixtures("agent")
def test_an_encrypted_key_in_the_agent_needs_no_passphrase(
    sshd: Sshd, open_shell: Callable[..., Shell], tmp_path: Path
) -> None:
    key = make_key(tmp_path / "key")
    sshd.authorize(key)
    load(key)
    encrypt(key, "not known to the tool")
    credentials = RecordingCredentials(None)
    assert (
        open_shell(sshd.host(identity_file=key, use_agent=True), credentials=credentials).run("echo in").stdout
        == "in\n"
    )
    assert credentials.asked == []


@pytest.mark.usefixtures("agent")
def test_the_named_key_is_offered_before_other_agent_keys(
    sshd: Sshd, open_shell: Callable[..., Shell], tmp_path: Path
) -> None:
    for number in range(8):  # a server allows six attempts
        load(make_key(tmp_path / f"other{number}"))
    assert open_shell(sshd.host(use_agent=True)).run("echo in").stdout == "in\n"
    with pytest.raises(AuthFailed, match="only 5 keys were offered"):
        connect(sshd.host(use_agent=True, identity_file=make_key(tmp_path / "unknown")), credentials=NoSecrets())
    with pytest.raises(AuthFailed, match="tried: key unknown;"):
        connect(sshd.host(use_agent=False, identity_file=tmp_path / "unknown"), credentials=NoSecrets())
