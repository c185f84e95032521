"""`host pin` with a real sshd, as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.harness.sshd import Sshd, make_key
from tscm_migrate.errors import HostKeyMismatch
from tscm_migrate.ssh import known_hosts, pinning
from tscm_migrate.ssh.connect import NoSecrets

if TYPE_CHECKING:
    from collections.abc import Callable

    from tscm_migrate.ssh.shell import Shell

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def site(tmp_path: Path, port: int) -> Path:
    path = tmp_path / "hosts.toml"
    path.write_text(f'[hosts.box]\naddress = "127.0.0.1"\nport = {port}\n')
    return path


def pin(inventory: Path, *more: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "tscm_migrate", "host", "pin", "box", "--inventory", str(inventory), *more]
    return subprocess.run(
        argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )


def fingerprint(sshd: Sshd, kind: str = "ed25519") -> str:
    argv = ["ssh-keygen", "-lf", str(sshd.folder / f"host_{kind}.pub")]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=100).stdout.split()[1]


def test_the_right_fingerprint_pins_the_host_key(sshd: Sshd, tmp_path: Path, open_shell: Callable[..., Shell]) -> None:
    done = pin(site(tmp_path, sshd.port), "--fingerprint", fingerprint(sshd))
    assert done.returncode == 0, done.stderr
    assert "Pinned in" in done.stdout
    known = tmp_path / "known_hosts"
    assert [e.fingerprint for e in known_hosts.load(known).entries] == [fingerprint(sshd)]
    assert open_shell(sshd.host(known_hosts=known)).run("echo in").stdout == "in\n"
    again = pin(site(tmp_path, sshd.port), "--fingerprint", fingerprint(sshd))
    assert again.returncode == 0
    assert "Nothing to do" in again.stdout


def test_a_wrong_fingerprint_pins_nothing_and_is_exit_code_12(sshd: Sshd, tmp_path: Path) -> None:
    done = pin(site(tmp_path, sshd.port), "--fingerprint", "SHA256:" + "A" * 43)
    assert done.returncode == 12
    assert fingerprint(sshd) in done.stderr
    assert not (tmp_path / "known_hosts").exists()


def test_keys_are_shown_but_not_pinned_without_a_terminal(sshd: Sshd, tmp_path: Path) -> None:
    done = pin(site(tmp_path, sshd.port))
    assert done.returncode == 2
    assert fingerprint(sshd) in done.stdout
    assert "--fingerprint" in done.stderr
    assert not (tmp_path / "known_hosts").exists()


def test_an_invalid_fingerprint_is_a_usage_error(tmp_path: Path) -> None:
    assert pin(site(tmp_path, 1), "--fingerprint", "MD5:aa").returncode == 2


@pytest.mark.skipif(os.name == "nt", reason="pty")
@pytest.mark.parametrize(("answer", "code", "keys"), [("y", 0, 3), ("", 1, 0), ("nonsense", 1, 0)])
def test_keys_are_pinned_only_after_confirmation_on_a_terminal(
    sshd: Sshd, tmp_path: Path, answer: str, code: int, keys: int
) -> None:
    import pty

    leader, follower = pty.openpty()
    argv = [sys.executable, "-m", "tscm_migrate", "host", "pin", "box", "--inventory", str(site(tmp_path, sshd.port))]
    os.write(leader, f"{answer}\n".encode())
    done = subprocess.run(argv, cwd=ROOT, stdin=follower, capture_output=True, timeout=60, check=False)
    os.close(leader)
    os.close(follower)
    assert done.returncode == code, done.stderr
    assert len(known_hosts.load(tmp_path / "known_hosts").entries) == keys


def test_a_changed_key_is_shown_and_replaced_only_after_confirmation(sshd: Sshd, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other")
    known = tmp_path / "known_hosts"
    line = " ".join(other.with_name("other.pub").read_text().split()[:2])
    known.write_text(f"# mine\n{sshd.name} {line}\n192.0.2.1 {line}\n")
    host = sshd.host(known_hosts=known)
    offer = pinning.look(host, NoSecrets())
    assert offer.state == "changed"
    with pytest.raises(HostKeyMismatch):
        pinning.accept(offer, "SHA256:" + "A" * 43)
    assert line in known.read_text().splitlines()[1]
    shown = pin(site(tmp_path, sshd.port))
    assert "CHANGED, pinned is" in shown.stdout
    assert pinning.accept(offer)
    assert pinning.look(host, NoSecrets()).state == "same"
    text = known.read_text()
    assert "# mine\n" in text
    assert f"192.0.2.1 {line}\n" in text
    assert f"{sshd.name} {line}" not in text


def test_a_revoked_key_is_never_pinned(sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"@revoked * {sshd.public_key('ed25519')}\n")
    with pytest.raises(HostKeyMismatch, match="@revoked"):
        pinning.look(sshd.host(known_hosts=known), NoSecrets())


def test_keys_are_scanned_through_a_gateway(sshd: Sshd, tmp_path: Path) -> None:
    with Sshd(tmp_path / "inner") as inner:
        known = tmp_path / "known_hosts"
        offer = pinning.look(inner.host(known_hosts=known, gateway=sshd.host("jump")), NoSecrets())
        assert offer.state == "new"
        assert fingerprint(inner) in offer.fingerprints.values()
