"""The line of a lent key in authorized_keys: added and removed wherever the file really is; with a real shell."""

from __future__ import annotations

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
    env = {"HOME": str(home), "PATH": os.environ["PATH"]}
    return subprocess.run(["sh", "-c", script], env=env, capture_output=True, text=True, timeout=100, check=False)


def laid(home: Path, how: str) -> list[Path]:
    """Lay authorized_keys with a second name; returns every name of it."""
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
def test_the_line_goes_from_every_name_of_the_file(tmp_path: Path, how: str) -> None:
    names = laid(tmp_path, how)
    added = sh(keyfiles.add('command="true" ssh-ed25519 AAAA', TAG), tmp_path)
    assert added.returncode == 0, added.stderr
    assert all(TAG in name.read_text() for name in names)
    sh(keyfiles.remove(TAG, added.stdout.strip()), tmp_path)
    assert [name.read_bytes() for name in names] == [KEYS] * len(names)
    assert (names[0].is_symlink(), names[0].stat().st_nlink) == (how == "link to a link", 1 + (how == "hard link"))


@pytest.mark.parametrize("what", ["folder", "fifo", "device", "loop"])
def test_what_is_no_file_is_left_alone(tmp_path: Path, what: str) -> None:
    file = tmp_path / ".ssh/authorized_keys"
    file.parent.mkdir()
    if what == "folder":
        file.mkdir()
    elif what == "fifo":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/null" if what == "device" else file)
    assert sh(keyfiles.add('command="true" ssh-ed25519 AAAA', TAG), tmp_path).returncode == 1
