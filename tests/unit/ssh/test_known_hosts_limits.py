"""Lines of a known_hosts file that are not valid, and files that cannot be read or written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from tests.unit.ssh.test_known_hosts_files import blob, hashed, line, pinned
from tscm_migrate.errors import InventoryError, UsageError
from tscm_migrate.ssh import known_hosts

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("part", [2, 3])
def test_hash_with_a_character_outside_base64_matches_no_name(part: int) -> None:
    fields = hashed("10.1.1.43").split("|")
    assert pinned(line("|".join(fields), "a"), "10.1.1.43") == [blob("a")]
    fields[part] = f"!{fields[part]}"
    assert pinned(line("|".join(fields), "a"), "10.1.1.43") == []


def test_key_with_a_character_outside_base64_is_not_pinned() -> None:
    names, kind, key = line("tscm", "a").split()
    assert pinned(f"{names} {kind} !{key}", "tscm") == []


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2028", "\u2029", "\r"])
def test_comment_ends_only_at_a_line_feed(tmp_path: Path, end: str) -> None:
    """As OpenSSH reads it: `ssh-keyscan` writes comments with the version text of any server."""
    path = tmp_path / "known_hosts"
    path.write_bytes(f"# other:22 SSH-2.0-x{end}{line('tscm', 'evil')}".encode())
    assert known_hosts.load(path).pinned("tscm") == ()
    assert known_hosts.pin(path, ["tscm"], blob("a"))
    assert [entry.blob for entry in known_hosts.load(path).pinned("tscm")] == [blob("a")]
    assert known_hosts.replace(path, ["tscm"], [blob("b")])
    assert [entry.blob for entry in known_hosts.load(path).pinned("tscm")] == [blob("b")]


def test_only_blanks_and_tabs_separate_words() -> None:
    _, kind, key = line("tscm", "a").split()
    assert pinned(f"tscm \t{kind}\t {key}\r", "tscm") == [blob("a")]
    assert pinned(f"tscm\u00a0{kind} {key}", "tscm") == []


def test_authority_of_a_name_is_known_and_pins_no_key() -> None:
    known = known_hosts.parse(f"@cert-authority {line('*.example', 'ca')}")
    authority = known.authority("tscm.example")
    assert authority is not None
    assert authority.blob == blob("ca")
    assert known.authority("tscm.test") is None
    assert known.pinned("tscm.example") == ()


def test_file_that_cannot_be_read_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="cannot be read"):
        known_hosts.load(tmp_path)


def test_name_is_removed_from_the_names_and_not_from_the_comment(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_bytes(f"a,b {line('', 'x').strip()} of a,b\n".encode())
    assert known_hosts.replace(path, ["b"], [blob("y")])
    assert path.read_text().splitlines()[0] == f"a {line('', 'x').strip()} of a,b"


def test_key_is_written_to_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "known_hosts"
    assert known_hosts.pin(path, ["tscm"], blob("a"))
    assert pinned(path.read_text(), "tscm") == [blob("a")]


def test_file_that_another_process_has_locked_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "known_hosts"
    monkeypatch.setattr(known_hosts, "_LOCK_WAIT", 0.05)
    with FileLock(f"{path}.lock", is_singleton=False), pytest.raises(UsageError, match="another process"):
        known_hosts.pin(path, ["tscm"], blob("a"))
    assert not path.exists()
