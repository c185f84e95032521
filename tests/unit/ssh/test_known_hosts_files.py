"""Reading and writing known_hosts files: names, patterns, revoked keys, pinning, replacing; as ssh-keygen does it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.harness.sshd import make_key
from tscm_migrate.errors import UsageError
from tscm_migrate.ssh import known_hosts

if TYPE_CHECKING:
    from pathlib import Path

needs_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen")


def blob(seed: str, kind: str = "ssh-ed25519") -> bytes:
    body = hashlib.sha256(seed.encode()).digest()
    return len(kind).to_bytes(4, "big") + kind.encode() + len(body).to_bytes(4, "big") + body


def line(names: str, seed: str, kind: str = "ssh-ed25519") -> str:
    return f"{names} {kind} {base64.b64encode(blob(seed, kind)).decode()}"


def hashed(name: str) -> str:
    salt = b"twenty bytes of salt"
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def pinned(text: str, name: str) -> list[bytes]:
    return [entry.blob for entry in known_hosts.parse(text).pinned(name)]


def test_name_contains_a_port_other_than_22() -> None:
    assert known_hosts.name_of("10.1.1.43") == "10.1.1.43"
    assert known_hosts.name_of("TSCM.example", 22) == "tscm.example"
    assert known_hosts.name_of("fe80::1", 2222) == "[fe80::1]:2222"


@pytest.mark.parametrize(
    ("names", "name", "speaks"),
    [
        ("10.1.1.43", "10.1.1.43", True),
        ("tscm,10.1.1.43", "10.1.1.43", True),
        ("10.1.1.4", "10.1.1.43", False),
        ("10.1.1.*", "10.1.1.43", True),
        ("10.1.1.*,!10.1.1.43", "10.1.1.43", False),
        ("10.1.1.4?", "10.1.1.43", True),
        ("[10.1.1.43]:2222", "[10.1.1.43]:2222", True),
        ("[10.1.1.43]:2222", "10.1.1.43", False),
        ("10.1.1.43", "[10.1.1.43]:2222", False),
        ("[1]:2222", "1:2222", False),
        ("TSCM.Example", "tscm.example", True),
        (hashed("10.1.1.43"), "10.1.1.43", True),
        (hashed("10.1.1.44"), "10.1.1.43", False),
        ("|1|broken", "10.1.1.43", False),
    ],
)
def test_line_matches_a_name_as_in_ssh(names: str, name: str, speaks: bool) -> None:  # noqa: FBT001
    assert bool(pinned(line(names, "k"), name)) is speaks


def test_unusable_line_is_skipped_with_a_note() -> None:
    text = "\n".join(
        [
            "# a comment",
            "",
            "nonsense",
            "host ssh-ed25519 !!!",
            "@cert-authority * " + line("", "ca").strip(),
            "host ssh-rsa " + base64.b64encode(blob("x")).decode(),
            line("host", "good"),
        ]
    )
    known = known_hosts.parse(text)
    assert [entry.number for entry in known.entries] == [7]
    assert len(known.notes) == 4
    assert "line 5: @cert-authority" in known.notes[2]


def test_revoked_key_pins_no_name() -> None:
    text = "\n".join([line("host", "a"), line("host", "b"), "@revoked " + line("*", "a")])
    assert pinned(text, "host") == [blob("b")]
    assert known_hosts.parse(text).revoked("host", blob("a"))
    assert not known_hosts.parse(text).revoked("host", blob("b"))


@needs_keygen
def test_fingerprint_and_hashed_name_are_the_same_as_in_ssh_keygen(tmp_path: Path) -> None:
    key = make_key(tmp_path / "k")
    public = key.with_name("k.pub").read_text().split()
    said = subprocess.run(["ssh-keygen", "-lf", str(key)], capture_output=True, text=True, check=True).stdout.split()
    known = tmp_path / "known_hosts"
    known.write_text(f"[10.1.1.43]:2222 {public[0]} {public[1]}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known)], check=True, capture_output=True)
    assert known.read_text().startswith("|1|")
    (entry,) = known_hosts.load(known).pinned("[10.1.1.43]:2222")
    assert entry.fingerprint == said[1] == known_hosts.fingerprint(entry.blob)


def test_missing_file_has_no_entries(tmp_path: Path) -> None:
    assert known_hosts.load(tmp_path / "none").entries == ()
    assert known_hosts.load(None).entries == ()


REST = "# mine, ünïcode\n\n" + line("other", "o") + "  a comment\t\n@revoked " + line("*", "bad") + "\nbroken line\r\n"


def test_pinning_keeps_all_other_bytes_and_a_backup_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_bytes(REST.encode() + b"no newline at the end")
    path.chmod(0o640)
    assert known_hosts.pin(path, ["tscm", "10.1.1.43"], blob("new"))
    assert path.read_bytes() == (REST + "no newline at the end\n" + line("tscm,10.1.1.43", "new") + "\n").encode()
    assert (tmp_path / "known_hosts.bak").read_bytes() == REST.encode() + b"no newline at the end"
    assert os.name == "nt" or path.stat().st_mode & 0o777 == 0o640


def test_pinning_a_known_key_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "known_hosts"
    assert known_hosts.pin(path, ["a", "b"], blob("k"))
    before = path.read_bytes()
    assert not known_hosts.pin(path, ["b"], blob("k"))
    assert known_hosts.pin(path, ["b", "c"], blob("k"))
    assert path.read_bytes() == before + (line("c", "k") + "\n").encode()


def test_replacing_keys_removes_only_the_given_names(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_bytes(
        "\n".join(
            [
                line("old", "1"),
                line("old,friend", "2") + " both",
                line(hashed("old"), "3"),
                line("ol*", "4"),
                "@revoked " + line("old", "5"),
                REST,
            ]
        ).encode()
    )
    assert known_hosts.replace(path, ["old"], [blob("n1"), blob("n2")])
    assert path.read_bytes().decode() == "\n".join(
        [
            line("friend", "2") + " both",
            line("ol*", "4"),
            "@revoked " + line("old", "5"),
            REST + line("old", "n1"),
            line("old", "n2") + "\n",
        ]
    )
    assert not known_hosts.replace(path, ["old"], [blob("n2"), blob("n1")])
    assert known_hosts.replace(path, ["old"], [])
    assert pinned(path.read_text(), "old") == [blob("4")]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_symbolic_link_is_kept_and_its_target_written(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.write_text(REST)
    link = tmp_path / "known_hosts"
    link.symlink_to(real)
    known_hosts.pin(link, ["a"], blob("k"))
    assert link.is_symlink()
    assert pinned(real.read_text(), "a") == [blob("k")]


def test_failed_pinning_leaves_the_file_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "known_hosts"
    path.write_bytes(REST.encode())

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UsageError, match="No space"):
        known_hosts.pin(path, ["a"], blob("k"))
    assert path.read_bytes().decode() == REST
    assert not list(tmp_path.glob("*.part"))
