"""What every way of carrying archives must do, on real sshd's."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.support.pair import NAME, OTHER, Box, available, box, sha
from tscm_migrate.errors import ConnectionLost, MigrateError, SshError, TransferError
from tscm_migrate.events import Event, Message, Progress
from tscm_migrate.model import Archive
from tscm_migrate.transfer.base import Sent, TransferJob
from tscm_migrate.transfer.endpoints.folder import FolderEnd
from tscm_migrate.transfer.endpoints.sftp import SftpEnd
from tscm_migrate.transfer.endpoints.shell import ShellEnd
from tscm_migrate.transfer.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(available() is not None, reason=f"no pair of appliances: {available()}")
MB = 1_000_000


@dataclass
class Way:
    """A method on a route between two places, and a look at what came of it."""

    kind: str
    old: Box
    new: Box
    folder: Path
    heard: list[Event] = field(default_factory=list)

    def job(self, *archives: Archive, limit: float = 0.0) -> tuple[str, TransferJob]:
        old, new = self.old.appliance, self.new.appliance
        here = FolderEnd(self.folder)
        method, _, how = self.kind.partition(" ")
        ends = {
            "rsync direct": (ShellEnd(old), ShellEnd(new)),
            "rsync relay": (ShellEnd(old), ShellEnd(new)),
            "tar relay": (ShellEnd(old), ShellEnd(new)),
            "sftp relay": (ShellEnd(old, sftp=True), ShellEnd(new, sftp=True)),
            "sftp only": (SftpEnd(old), SftpEnd(new)),
            "sftp spool": (SftpEnd(old), SftpEnd(new)),
            "pull shell": (ShellEnd(old), here),
            "pull sftp": (SftpEnd(old), here),
            "push shell": (FolderEnd(self.old.backups), ShellEnd(new)),
            "push sftp": (FolderEnd(self.old.backups), SftpEnd(new)),
        }[self.kind]
        spool = self.folder / "spool" if how == "spool" else None
        route = "direct" if how == "direct" else "relay"
        return method, TransferJob(*ends, archives, route, limit, spool, self.heard.append)

    def send(self, *archives: Archive, limit: float = 0.0) -> tuple[Sent, ...]:
        method, job = self.job(*archives, limit=limit)
        return METHODS[method].send(job)

    @property
    def there(self) -> Path:
        return self.folder if self.kind.startswith("pull") else self.new.backups

    def part(self, name: str) -> Path:
        return self.there / f".{name}.part"

    def said(self) -> str:
        return "\n".join(event.text for event in self.heard if isinstance(event, Message))


ALL = (
    "pull shell",
    "rsync direct",
    "tar relay",
    "rsync relay",
    "sftp relay",
    "sftp only",
    "sftp spool",
    "pull sftp",
    "push shell",
    "push sftp",
)
KINDS = [kind if kind == "pull shell" else pytest.param(kind, marks=pytest.mark.slow) for kind in ALL]


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Box, Box]]:
    folder = tmp_path_factory.mktemp("pair")
    with box(folder / "old", "old") as old, box(folder / "new", "new") as new:
        yield old, new


@pytest.fixture
def pair(boxes: tuple[Box, Box], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Box, Box]:
    monkeypatch.setenv("TSCM_STATE", str(tmp_path / "state"))
    for one in boxes:
        one.reset()
    return boxes


@pytest.fixture(params=KINDS)
def way(request: pytest.FixtureRequest, pair: tuple[Box, Box], tmp_path: Path) -> Way:
    made = Way(request.param, *pair, tmp_path / "here")
    made.folder.mkdir()
    return made


@pytest.mark.parametrize("size", [0, 1, 3 * MB + 7])
def test_an_archive_arrives_whole_private_until_named_and_once(way: Way, size: int) -> None:
    archive = way.old.put(NAME, size)
    (sent,) = way.send(archive)
    copy = way.there / NAME
    assert sha(copy) == sha(way.old.backups / NAME) == sent.archive.sha256
    assert (sent.moved, sent.resumed_at, sent.kept) == (size, 0, False)
    assert copy.stat().st_mode & 0o777 == (0o600 if way.there == way.folder else 0o664)
    assert [p.name for p in way.there.iterdir() if p.is_file()] == [NAME]
    again = way.send(archive)[0]
    assert again.kept
    assert again.moved == 0


def test_several_archives_arrive_whatever_lies_beside_them(way: Way) -> None:
    archives = [way.old.put(NAME, 2 * MB, 1), way.old.put(OTHER, 1 * MB + 1, 2)]
    way.there.mkdir(exist_ok=True)
    (way.there / "threatstop_latest.tsbak").symlink_to("threatstop_backup_2020-01-01_00_00_00.tsbak")
    (way.old.backups / "threatstop_latest.tsbak").symlink_to(OTHER)
    way.send(*archives)
    assert {sha(way.there / name) for name in (NAME, OTHER)} == {sha(way.old.backups / n) for n in (NAME, OTHER)}
    assert str((way.there / "threatstop_latest.tsbak").readlink()) == "threatstop_backup_2020-01-01_00_00_00.tsbak"


def test_another_archive_of_that_name_is_never_overwritten(way: Way) -> None:
    archive = way.old.put(NAME, 1000)
    way.there.mkdir(exist_ok=True)
    (way.there / NAME).write_bytes(b"something else")
    with pytest.raises(TransferError, match="not overwritten"):
        way.send(archive)
    assert (way.there / NAME).read_bytes() == b"something else"


def test_a_link_in_its_place_is_not_followed(way: Way, tmp_path: Path) -> None:
    archive = way.old.put(NAME, 1000)
    way.there.mkdir(exist_ok=True)
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    way.part(NAME).symlink_to(victim)
    way.send(archive)
    assert victim.read_bytes() == b"precious"
    assert sha(way.there / NAME) == sha(way.old.backups / NAME)
    assert not (way.there / NAME).is_symlink()


def test_it_goes_on_behind_what_is_there_and_right(way: Way) -> None:
    archive = way.old.put(NAME, 5 * MB)
    way.there.mkdir(exist_ok=True)
    if way.kind == "sftp spool":
        (way.folder / "spool").mkdir()
        part = way.folder / "spool" / f".{NAME}.part"
    else:
        part = way.part(NAME)
    part.write_bytes((way.old.backups / NAME).read_bytes()[: 2 * MB])
    (sent,) = way.send(archive)
    assert sha(way.there / NAME) == sha(way.old.backups / NAME)
    assert "resumes after" in way.said()
    assert next(event.done for event in way.heard if isinstance(event, Progress)) > 2 * MB
    if way.kind != "sftp spool":
        assert (sent.resumed_at, sent.moved) == (2 * MB, 3 * MB)


@pytest.mark.parametrize("damage", ["wrong", "too long"])
def test_a_bad_part_is_thrown_away_and_said_so(way: Way, damage: str) -> None:
    archive = way.old.put(NAME, 2 * MB)
    way.there.mkdir(exist_ok=True)
    data = (way.old.backups / NAME).read_bytes()
    way.part(NAME).write_bytes(b"x" + data[1:MB] if damage == "wrong" else data + b"x")
    (sent,) = way.send(archive)
    assert sha(way.there / NAME) == sha(way.old.backups / NAME)
    assert (sent.resumed_at, sent.moved) == (0, 2 * MB)
    assert "copied again" in way.said()


@pytest.mark.parametrize(
    "name",
    ["../threatstop_backup_2024-05-01_03_00_00.tsbak", "/etc/passwd", "-rf.tsbak", "a\nb.tsbak", "x" * 255, "\x1b[2J",
     "threatstop_latest.tsbak"],
)  # fmt: skip
def test_hostile_names_are_refused_before_anything_is_touched(way: Way, name: str) -> None:
    with pytest.raises(TransferError, match="not the name of an archive"):
        way.send(Archive(name, str(way.old.backups), 5))
    assert not way.there.exists() or not [p for p in way.there.iterdir() if p.is_file()]


def test_a_link_at_the_source_is_refused(way: Way, tmp_path: Path) -> None:
    way.old.put(OTHER, 5)
    (way.old.backups / NAME).symlink_to("/etc/hostname")
    with pytest.raises(MigrateError, match="not a regular file"):
        way.send(Archive(NAME, str(way.old.backups), 5))
    assert not (way.there / NAME).exists()
    assert not way.part(NAME).exists() or way.part(NAME).stat().st_size == 0  # nothing of what it points to


def test_a_source_that_is_not_what_it_was_leaves_nothing_with_a_final_name(way: Way) -> None:
    archive = way.old.put(NAME, 2 * MB)
    with pytest.raises(TransferError, match=r"changed|not \w+; it was removed|SHA-256"):
        way.send(replace(archive, sha256="0" * 64))
    assert not (way.there / NAME).exists()
    assert not way.part(NAME).exists()


def test_no_key_is_left_and_nothing_else_in_the_file_is_touched(pair: tuple[Box, Box], tmp_path: Path) -> None:
    way = Way("rsync direct", *pair, tmp_path)
    before = way.new.authorized.read_text()
    mode = way.new.authorized.stat().st_mode
    way.send(way.old.put(NAME, MB))
    assert way.new.authorized.read_text().rstrip("\n") == before
    assert way.new.authorized.stat().st_mode == mode
    assert not [*(way.old.folder / "shm").iterdir(), *(way.new.folder / "shm").iterdir()]


def test_the_limit_is_kept(way: Way) -> None:
    import time

    archive = way.old.put(NAME, 4 * MB)
    began = time.monotonic()
    way.send(archive, limit=2 * MB)
    assert time.monotonic() - began > 1.5
    assert sha(way.there / NAME) == sha(way.old.backups / NAME)


def cut_box(way: Way) -> Box:
    """The one whose connection carries the bytes."""
    return way.new if way.kind.startswith(("push", "rsync direct")) else way.old


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_transfer_cut_at_ten_random_points_goes_on_each_time(way: Way) -> None:
    size = 40 * MB
    archive = way.old.put(NAME, size, 3)
    rng = random.Random(way.kind)
    victim = cut_box(way)
    moved, resumed = 0, [0]
    for _ in range(30):  # some only find that the last cut has taken their connection
        if victim.cutter.cuts >= 10:
            break
        victim.cutter.cut_after(rng.randrange(MB // 2, 4 * MB))
        try:
            way.send(archive)
        except (SshError, TransferError):
            pass
        else:
            break
        moved += victim.cutter.passed
        assert not (way.there / NAME).exists() or sha(way.there / NAME) == sha(way.old.backups / NAME)
        held = way.part(NAME) if way.kind != "sftp spool" else way.folder / "spool" / f".{NAME}.part"
        resumed.append(held.stat().st_size if held.exists() else 0)
    cuts = victim.cutter.cuts
    victim.cutter.cut_after(None)
    try:
        (sent,) = way.send(archive)
    except ConnectionLost:  # the last cut was a moment ago, and is noticed by the first use of that connection
        (sent,) = way.send(archive)
    assert cuts >= 8
    # what a source without a shell has sent is noted here every half MiB, and kept up to the last note
    slack = MB if way.kind in {"sftp only", "pull sftp", "sftp spool"} else 0
    assert all(after >= before - slack for before, after in pairwise(resumed)), "what was there once stays there"
    assert sha(way.there / NAME) == sha(way.old.backups / NAME)
    assert sent.resumed_at >= resumed[-1] - slack or way.kind == "sftp spool"
    assert "copied again" not in way.said()


def test_a_hostile_tar_reaches_nobody(pair: tuple[Box, Box], tmp_path: Path) -> None:
    import io
    import tarfile

    way = Way("tar relay", *pair, tmp_path)
    archives = [way.old.put(NAME, 5), way.old.put(OTHER, 5)]
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        device = tarfile.TarInfo(NAME)
        device.type, device.devmajor, device.devminor = tarfile.CHRTYPE, 1, 5
        tar.addfile(device)
    (way.old.folder / "evil.tar").write_bytes(made.getvalue())
    fake = way.old.folder / "bin/tar"
    fake.write_text(
        f"#!/bin/sh\n[ $1 = --version ] && exec echo 'tar (GNU tar) 1.34'\nexec cat {way.old.folder}/evil.tar\n"
    )
    fake.chmod(0o755)
    with pytest.raises(TransferError, match="refused"):
        way.send(*archives)
    assert not (way.there / NAME).exists()
    assert not (way.there / OTHER).exists()


def test_a_writer_that_outlived_its_connection_is_ended_first(pair: tuple[Box, Box], tmp_path: Path) -> None:
    import subprocess

    way = Way("tar relay", *pair, tmp_path)
    archive = way.old.put(NAME, MB)
    way.there.mkdir()
    with way.part(NAME).open("ab") as part:
        lost = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=part)
    try:
        way.send(archive)
        assert lost.wait(60) == -9
    finally:
        lost.kill()
        lost.communicate()
    assert sha(way.there / NAME) == sha(way.old.backups / NAME)


@pytest.mark.parametrize("kind", ["tar relay", "sftp only", "rsync direct"])
def test_a_disk_that_is_too_small_is_found_before_the_first_byte(
    pair: tuple[Box, Box], tmp_path: Path, kind: str
) -> None:
    import subprocess

    way = Way(kind, *pair, tmp_path)
    way.there.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "none", way.there], check=False)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        with pytest.raises(TransferError, match="free"):
            way.send(way.old.put(NAME, MB))
        assert not list(way.there.iterdir())
    finally:
        subprocess.run(["umount", way.there], check=True)
