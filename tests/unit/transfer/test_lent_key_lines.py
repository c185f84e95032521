"""The line of a lent key is added to authorized_keys and removed, also through links; with a real sh."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tscm_migrate.transfer import keyfiles

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None or os.name == "nt", reason="the scripts are for sh")
KEYS = b"ssh-ed25519 AAAA one\nssh-rsa AAAA two\n"
TAG = f"{keyfiles.MARK}-0a1b2c3d"


def sh(script: str, home: Path) -> subprocess.CompletedProcess[str]:
    env = {"HOME": str(home), "PATH": f"{home / 'bin'}:{os.environ['PATH']}"}
    return subprocess.run(["sh", "-c", script], env=env, capture_output=True, text=True, timeout=100, check=False)


def laid(home: Path, how: str) -> list[Path]:
    """Write authorized_keys, with a second name if `how` is a kind of link; return all its names."""
    folder, file, other = home / ".ssh", home / ".ssh/authorized_keys", home / "elsewhere"
    folder.mkdir(mode=0o700)
    other.write_bytes(KEYS)
    if how == "hard link":
        os.link(other, file)
    elif how == "link to a link":
        (home / "middle").symlink_to(other)
        file.symlink_to("../middle")
    else:
        shutil.move(other, file)
        return [file]
    return [file, other]


@pytest.mark.parametrize("how", ["file", "hard link", "link to a link"])
def test_key_line_is_added_and_removed_through_each_name_of_the_file(tmp_path: Path, how: str) -> None:
    names = laid(tmp_path, how)
    added = sh(keyfiles.add('command="true" ssh-ed25519 AAAA', TAG), tmp_path)
    assert added.returncode == 0, added.stderr
    assert all(TAG in name.read_text() for name in names)
    sh(keyfiles.remove(TAG, added.stdout.strip()), tmp_path)
    assert [name.read_bytes() for name in names] == [KEYS] * len(names)
    assert (names[0].is_symlink(), names[0].stat().st_nlink) == (how == "link to a link", 1 + (how == "hard link"))


@pytest.mark.parametrize("what", ["folder", "fifo", "device", "loop"])
def test_authorized_keys_that_is_not_a_regular_file_is_refused(tmp_path: Path, what: str) -> None:
    file = tmp_path / ".ssh/authorized_keys"
    file.parent.mkdir()
    if what == "folder":
        file.mkdir()
    elif what == "fifo":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/null" if what == "device" else file)
    assert sh(keyfiles.add('command="true" ssh-ed25519 AAAA', TAG), tmp_path).returncode == 1


def program(home: Path, name: str, *lines: str) -> None:
    """Write a program that the scripts find before the system's program of that name."""
    file = home / "bin" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join(("#!/bin/sh", *lines, "")))
    file.chmod(0o755)


@pytest.mark.parametrize(
    ("version", "options"),
    [
        ("6.6", "no-pty,no-port-forwarding,no-agent-forwarding,no-X11-forwarding,no-user-rc"),
        ("7.1", "no-pty,no-port-forwarding,no-agent-forwarding,no-X11-forwarding,no-user-rc"),
        ("7.2", "restrict"),
        ("7.6", "restrict"),
        ("7.7", 'restrict,expiry-time="LOCAL"'),
        ("9.0", 'restrict,expiry-time="LOCAL"'),
        ("9.1", 'restrict,expiry-time="202311151013Z"'),
        ("10.0", 'restrict,expiry-time="202311151013Z"'),
    ],
)
def test_key_line_has_only_options_of_the_sshd_version_and_expires_after_twelve_hours(
    tmp_path: Path, version: str, options: str
) -> None:
    program(tmp_path, "ssh", f"echo OpenSSH_{version}p1 Debian-2, OpenSSL 3.0.19 >&2")
    now = 1_700_000_000  # 2023-11-14, 22:13 UTC
    program(tmp_path, "date", f'[ "$*" != +%s ] || exec echo {now}', f'exec {shutil.which("date")} "$@"')
    env = {"PATH": os.environ["PATH"]}
    command = ["date", "-d", f"@{now + 12 * 3600}", "+%Y%m%d%H%M"]
    local = subprocess.run(command, env=env, capture_output=True, text=True, timeout=100, check=True).stdout.strip()
    done = sh("export TZ=XYZ-5:30; " + keyfiles.add('command="true" ssh-ed25519 AAAA', TAG), tmp_path)
    assert done.returncode == 0, done.stderr
    line = (tmp_path / ".ssh/authorized_keys").read_text()
    assert line == f'{options.replace("LOCAL", local)},command="true" ssh-ed25519 AAAA {TAG}\n'


def test_state_contains_each_key_file_of_sshd_without_the_lent_key(tmp_path: Path) -> None:
    program(tmp_path, "sshd", "echo authorizedkeysfile .ssh/authorized_keys %h/keys/%u none")
    keys, others = tmp_path / ".ssh/authorized_keys", tmp_path / "keys/admin"
    for file, text in ((keys, KEYS.decode()), (others, f"restrict ssh-ed25519 AAAA {TAG}\n")):
        file.parent.mkdir()
        file.write_text(text)
    aside = tmp_path / "before"
    before = sh(keyfiles.state(str(tmp_path), "admin", str(aside)), tmp_path).stdout
    assert aside.read_text() == before, "a later process compares with it"
    aside.unlink()
    assert f"{keys}: {keys.resolve()}: " in before
    assert hashlib.sha256(KEYS).hexdigest() in before
    assert f"{others}: absent\n" in before, "it has no line but ours"
    with keys.open("a") as file:
        file.write(f"restrict ssh-ed25519 AAAA {TAG}\n")
    assert sh(keyfiles.state(str(tmp_path), "admin", ""), tmp_path).stdout == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [".ssh", "bin", "keys"], "nothing was written"
    for changed in (keys, others):
        with changed.open("a") as file:
            file.write("ssh-ed25519 BBBB another\n")
        after = sh(keyfiles.state(str(tmp_path), "admin", ""), tmp_path).stdout
        assert after != before
        before = after
    keys.chmod(0o666)
    assert sh(keyfiles.state(str(tmp_path), "admin", ""), tmp_path).stdout != before


@pytest.mark.parametrize(
    ("configured", "found"), [("internal-sftp", True), ("/bin/menu -x", True), ("none", False), ("", False)]
)
def test_forced_command_is_detected_for_its_login_and_address(tmp_path: Path, configured: str, *, found: bool) -> None:
    answer = f"forcecommand {configured}" if configured else "port 22"
    program(tmp_path, "sshd", f'case "$*" in *user=admin,host=10.0.0.7,addr=10.0.0.7) echo {answer} ;; esac')
    done = sh(keyfiles.forced("admin", "10.0.0.7") + "echo ran", tmp_path)
    assert (done.returncode, done.stdout) == ((keyfiles.FORCED, "") if found else (0, "ran\n"))
    assert sh(keyfiles.forced("other", "10.0.0.7") + "echo ran", tmp_path).stdout == "ran\n"


@pytest.mark.parametrize("asked", ["rsync --server", ""])
def test_login_whose_command_was_replaced_is_detected(tmp_path: Path, asked: str) -> None:
    assert sh(keyfiles.OVERRIDDEN + "echo ran", tmp_path).stdout == "ran\n"
    done = sh(f"export SSH_ORIGINAL_COMMAND='{asked}'; {keyfiles.OVERRIDDEN}echo ran", tmp_path)
    assert (done.returncode, done.stdout) == (keyfiles.FORCED, "")
