"""Archives in each compression format: a complete one opens, an incomplete one is detected. With real tar and gpg."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tscm_migrate.appliance import archives
from tscm_migrate.errors import ArchiveRefused
from tscm_migrate.model import Archive, Host, Secret

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("gpg"), reason="gpg is not installed")]


@dataclass
class Here:
    """Runs the commands for an appliance on this machine."""

    name: str = "here"
    paths: Any = Host("here", "127.0.0.1").paths

    def run(self, script: str, *, stdin: bytes = b"", timeout: float = 60, **_: Any) -> Any:
        done = subprocess.run(["sh", "-c", script], input=stdin, capture_output=True, timeout=timeout, check=False)

        @dataclass
        class Result:
            status: int
            stdout: str
            stderr: str

        return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


PACKINGS = {"gz": "-cz", "bz2": "-cj", "xz": "-cJ", "tar": "-c"}


def pack(folder: Path, how: str, *, passphrase: str = "") -> Archive:
    content = folder / "in/x/firewalls"
    content.mkdir(parents=True)
    for n in range(3):
        (content / f"fw{n}.json").write_bytes(bytes(range(256)) * 40)
    path = folder / "threatstop_backup_2026-01-02_03_04_05.tsbak"
    subprocess.run(["tar", "-C", str(folder / "in"), PACKINGS[how], "-f", str(path), "x"], check=True)
    if passphrase:
        home = folder / "gpg"
        home.mkdir(mode=0o700)
        words = ["gpg", "--homedir", str(home), "--batch", "-q", "--pinentry-mode", "loopback", "--passphrase-fd", "0"]
        subprocess.run([*words, "-c", str(path)], input=passphrase.encode() + b"\n", check=True)
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
        path = path.with_name(path.name + ".gpg")
    return Archive(path.name, str(folder), path.stat().st_size)


@pytest.mark.parametrize("how", PACKINGS)
@pytest.mark.parametrize("encrypted", [False, True])
def test_archive_opens_in_each_compression_format(tmp_path: Path, how: str, *, encrypted: bool) -> None:
    archive = pack(tmp_path, how, passphrase="pass word" if encrypted else "")
    proof = archives.prove(Here(), archive, Secret("pass word"))  # type: ignore[arg-type]
    assert proof.opened, proof.why_not
    assert "x/firewalls/fw1.json" in proof.members


@pytest.mark.parametrize("how", PACKINGS)
def test_incomplete_plain_archive_is_detected(tmp_path: Path, how: str) -> None:
    archive = pack(tmp_path, how)
    path = tmp_path / archive.name
    path.write_bytes(path.read_bytes()[: archive.size // 2])
    assert not archives.prove(Here(), archive, None).opened  # type: ignore[arg-type]


def test_wrong_passphrase_is_detected(tmp_path: Path) -> None:
    archive = pack(tmp_path, "bz2", passphrase="right")
    assert not archives.prove(Here(), archive, Secret("wrong")).opened  # type: ignore[arg-type]


def test_unknown_archive_format_opens_with_a_remark(tmp_path: Path) -> None:
    archive = Archive("threatstop_backup_2026-01-02_03_04_05.tsbak", str(tmp_path), 500)
    (tmp_path / archive.name).write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(494))
    proof = archives.prove(Here(), archive, None)  # type: ignore[arg-type]
    assert (proof.opened, proof.members) == (True, ())
    assert "tar" in proof.why_not


def test_archive_with_a_header_of_3_gb_is_refused(tmp_path: Path) -> None:
    head = tarfile.TarInfo("x")
    head.type, head.size = tarfile.XHDTYPE, 3 << 30
    engine = zlib.compressobj(9, wbits=31)
    body = [engine.compress(head.tobuf(tarfile.GNU_FORMAT))]
    body += [engine.compress(bytes(16 << 20)) for _ in range(4)]
    path = tmp_path / "threatstop_backup_2026-01-02_03_04_05.tsbak"
    path.write_bytes(b"".join([*body, engine.flush()]))
    archive = Archive(path.name, str(tmp_path), path.stat().st_size)
    proof = archives.prove(Here(), archive, None)  # type: ignore[arg-type]
    assert not proof.opened
    assert proof.why_not.startswith("archive refused: ")
    with pytest.raises(ArchiveRefused, match="memory"):  # an archive without an identity would only be a warning
        archives.identity_in(Here(), archive, None)  # type: ignore[arg-type]
