"""A pulled archive is checked: complete, decrypted if the passphrase is known, and without plaintext on the disk."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from tscm_migrate.archive import compression, openpgp
from tscm_migrate.errors import ArchiveRefused, TransferError
from tscm_migrate.model import Archive, Secret
from tscm_migrate.transfer import verify
from tscm_migrate.transfer.base import Sent

if TYPE_CHECKING:
    from pathlib import Path

needs_gpg = pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")
PASS = Secret("correct horse")


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> bytes:
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
def test_complete_message_is_valid_and_a_truncated_one_is_not(encrypted: bytes) -> None:
    assert openpgp.walk(io.BytesIO(encrypted), len(encrypted)).why_not == ""
    for size in (0, 1, 10, len(encrypted) // 2, len(encrypted) - 1):
        assert openpgp.walk(io.BytesIO(encrypted[:size]), size).why_not


@needs_gpg
def test_bytes_after_the_message_are_detected(encrypted: bytes) -> None:
    longer = encrypted + b"<html>"
    assert openpgp.walk(io.BytesIO(longer), len(longer)).why_not


@pytest.mark.parametrize("data", [b"hello", b"\xff" * 40, b"\xd2\xff\xff\xff\xff\xff", bytes(100), b"\x85" * 50])
def test_random_bytes_are_not_a_message(data: bytes) -> None:
    assert openpgp.walk(io.BytesIO(data), len(data)).why_not


@needs_gpg
def test_archive_is_decrypted_to_its_last_byte_and_damage_is_an_error(encrypted: bytes, tmp_path: Path) -> None:
    path = tmp_path / "threatstop_backup_2024-05-01_03_00_00.tsbak.gpg"
    path.write_bytes(encrypted)
    assert verify.look(path, PASS).members == 3
    unopened = verify.look(path, None)
    assert unopened.members == -1
    assert "no passphrase" in unopened.text
    with pytest.raises(TransferError, match="cannot be opened"):
        verify.look(path, Secret("wrong"))
    damaged = bytearray(encrypted)
    damaged[len(encrypted) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(TransferError, match="cannot be opened"):
        verify.look(path, PASS)
    path.write_bytes(encrypted[:-100])
    with pytest.raises(TransferError, match="truncated"):
        verify.look(path, None)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def plain_tar(entries: int, size: int = 10) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for number in range(entries):
            info = tarfile.TarInfo(f"etc/{number}")
            info.size = size
            tar.addfile(info, io.BytesIO(bytes(size)))
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "members", "text"),
    [
        (plain_tar(1), 1, "it is not encrypted; 1 entries"),
        (plain_tar(4), 4, "it is not encrypted; 4 entries"),
        (plain_tar(0), -1, "it is not encrypted, and it is not a tar that can be listed"),
        (b"x" * 5000, -1, "it is not encrypted, and it is not a tar that can be listed"),
        (b"", -1, "it is not encrypted, and it is not a tar that can be listed"),
    ],
    ids=["one entry", "four entries", "a tar without entries", "not a tar", "empty"],
)
def test_entries_of_a_plain_archive_are_counted(tmp_path: Path, data: bytes, members: int, text: str) -> None:
    path = tmp_path / "threatstop_backup_2024-05-01_03_00_00.tsbak"
    path.write_bytes(data)
    assert verify.look(path, None) == verify.Opened(members, text)


@pytest.mark.parametrize("data", [plain_tar(3, 1 << 20), b"x" * (4 << 20)], ids=["tar", "not a tar"])
def test_archive_larger_than_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(compression, "LARGEST", 1 << 20)
    path = tmp_path / "threatstop_backup_2024-05-01_03_00_00.tsbak"
    path.write_bytes(data)
    with pytest.raises(ArchiveRefused, match="more than any backup") as refused:
        verify.look(path, None)
    assert path.name in refused.value.message()


@needs_gpg
@pytest.mark.parametrize("plain", [b"no tar" * 100, plain_tar(0)], ids=["not a tar", "a tar without entries"])
def test_encrypted_file_without_entries_is_decrypted_to_its_end(tmp_path: Path, plain: bytes) -> None:
    path = tmp_path / "threatstop_backup_2024-05-01_03_00_00.tsbak.gpg"
    argv = ["gpg", "--homedir", str(tmp_path), "--batch", "--pinentry-mode", "loopback", "--passphrase", PASS.reveal()]
    argv += ["--s2k-count", "1024", "-o", str(path), "-c"]
    subprocess.run(argv, input=plain, check=True, capture_output=True, timeout=60)
    subprocess.run(["gpgconf", "--homedir", str(tmp_path), "--kill", "all"], check=False, timeout=60)
    found = verify.look(path, PASS)
    assert found.members == -1
    assert found.text.endswith("decrypted to its end, not a tar that can be listed")


@pytest.mark.parametrize(
    ("sent", "how"),
    [
        ({"moved": 12_300_000}, "12.3 MB sent"),
        ({"moved": 4_000_000, "resumed_at": 8_300_000}, "4.0 MB sent after 8.3 MB of an earlier attempt"),
        ({"moved": 0, "kept": True}, "it existed already"),
    ],
)
def test_result_line_shows_size_hash_and_bytes_sent(sent: dict[str, int], how: str) -> None:
    archive = Archive("backup.tsbak", "/opt/backup", 12_300_000, "ab" * 32)
    text = verify.line(Sent(archive, **sent), "backup.tsbak")
    assert text == f"backup.tsbak: 12300000 bytes, SHA-256 {'ab' * 32} on both sides ({how})"
