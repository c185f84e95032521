"""A pulled archive is looked into: whole or not, open or not, and no plaintext on the disk."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from tscm_migrate.archive import openpgp
from tscm_migrate.errors import TransferError
from tscm_migrate.model import Secret
from tscm_migrate.transfer import verify

if TYPE_CHECKING:
    from pathlib import Path

needs_gpg = pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")
PASS = Secret("correct horse")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("g")
    plain = folder / "plain"
    with tarfile.open(plain, "w:gz") as tar:
        for number in range(3):
            info = tarfile.TarInfo(f"etc/{number}")
            info.size = 200_000
            tar.addfile(info, io.BytesIO(bytes(range(250)) * 800))
    argv = ["gpg", "--homedir", str(folder), "--batch", "--pinentry-mode", "loopback", "--passphrase", PASS.reveal()]
    subprocess.run([*argv, "-z0", "-o", str(folder / "x.gpg"), "-c", str(plain)], check=True, capture_output=True)
    subprocess.run(["gpgconf", "--homedir", str(folder), "--kill", "all"], check=False)
    return (folder / "x.gpg").read_bytes()


@needs_gpg
def test_a_whole_message_is_found_whole_and_a_cut_one_is_not(sealed: bytes) -> None:
    assert openpgp.walk(io.BytesIO(sealed), len(sealed)).why_not == ""
    for size in (0, 1, 10, len(sealed) // 2, len(sealed) - 1):
        assert openpgp.walk(io.BytesIO(sealed[:size]), size).why_not


@needs_gpg
def test_what_hangs_on_behind_is_found(sealed: bytes) -> None:
    longer = sealed + b"<html>"
    assert openpgp.walk(io.BytesIO(longer), len(longer)).why_not


@pytest.mark.parametrize("data", [b"hello", b"\xff" * 40, b"\xd2\xff\xff\xff\xff\xff", bytes(100), b"\x85" * 50])
def test_noise_is_no_message(data: bytes) -> None:
    assert openpgp.walk(io.BytesIO(data), len(data)).why_not


@needs_gpg
def test_the_passphrase_opens_it_to_its_last_byte(sealed: bytes, tmp_path: Path) -> None:
    path = tmp_path / "threatstop_backup_2024-05-01_03_00_00.tsbak.gpg"
    path.write_bytes(sealed)
    assert verify.look(path, PASS).members == 3
    assert "no passphrase" in verify.look(path, None).text
    with pytest.raises(TransferError, match="cannot be opened"):
        verify.look(path, Secret("wrong"))
    damaged = bytearray(sealed)
    damaged[len(sealed) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(TransferError, match="cannot be opened"):
        verify.look(path, PASS)
    path.write_bytes(sealed[:-100])
    with pytest.raises(TransferError, match="truncated"):
        verify.look(path, None)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
