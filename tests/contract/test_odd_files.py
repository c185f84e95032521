"""A backup folder with files that are not archives, and a gpg that misbehaves; on a real sshd."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.pair import NAME, Box, available, box
from tscm_migrate.appliance import archives
from tscm_migrate.errors import MigrateError
from tscm_migrate.model import Archive, Secret
from tscm_migrate.transfer import api
from tscm_migrate.transfer.endpoints.sftp import SftpEnd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(available() is not None, reason=f"no appliance: {available()}"),
]


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    monkeypatch.setenv("TSCM_STATE", str(tmp_path / "state"))
    with box(tmp_path / "old", "old") as made:
        yield made


def name(day: int, tail: str = ".tsbak") -> str:
    return f"threatstop_backup_2024-06-{day:02}_03_00_00{tail}"


def add_other_files(old: Box) -> None:
    old.put(NAME, 1000)
    os.mkfifo(old.backups / name(1))
    os.mknod(old.backups / name(2), 0o020666, os.makedev(1, 5))
    (old.backups / name(3)).mkdir()
    (old.backups / name(4)).symlink_to("/dev/zero")
    (old.backups / name(5, ".tsbak\n")).write_text("x")
    (old.backups / f"x\n@file\t-rw-\t5\t5\t{old.backups}/{name(6)}").mkdir(parents=True)
    (old.backups / name(7, ".tsbak\x1b[2J")).write_text("x")
    with open(os.fsencode(old.backups) + b"/\xff\xfe.tsbak", "w"):  # noqa: PTH123 - a name that is not UTF-8
        pass


def test_only_regular_files_of_documented_names_are_listed(old: Box) -> None:
    add_other_files(old)
    assert {a.name for a in archives.listed(old.appliance)} == {NAME}, "a newline in a name adds no entry"
    assert {a.name for a in SftpEnd(old.appliance).listed()} == {NAME}


@pytest.mark.parametrize("by", ["shell", "sftp"])
@pytest.mark.parametrize("day", [1, 2, 3, 4, 6])
def test_devices_fifos_and_links_are_refused_without_reading(old: Box, tmp_path: Path, day: int, by: str) -> None:
    add_other_files(old)
    with pytest.raises(MigrateError):
        api.pull(old.appliance, [Archive(name(day), str(old.backups), 5)], tmp_path / "to", sftp=by == "sftp")
    assert not (tmp_path / "to" / name(day)).exists()


GPG = {
    "flood": "yes @gpg 0",
    "flood of errors": "yes x >&2",
    "never ends": "exec sleep 600",
    "forged": "printf '@gpg 0\\n@gpg 0\\n'; exit 2",
    "escapes": "printf '\\033]52;c;eA==\\007\\033[2Jbad' >&2; exit 2",
    "dies": "kill -9 $$",
}


@pytest.mark.slow
@pytest.mark.parametrize("how", GPG)
def test_a_hostile_gpg_proves_nothing_and_does_not_hang(old: Box, how: str) -> None:
    archive = old.put(NAME, 1000)
    gpg = old.folder / "bin/gpg"
    gpg.write_text(f'#!/bin/sh\ncase "$*" in *--version*) echo "gpg 2.2"; exit ;; esac\n{GPG[how]}\n')
    gpg.chmod(0o755)
    result = ""
    try:
        proof = archives.prove(old.appliance, archive, Secret("word"), timeout=8)
        result = f"opened={proof.opened} {proof.why_not}"
    except MigrateError as error:
        result = str(error)
    assert "\x1b" not in result
    assert "opened=True" not in result
