"""Contract of all transfer methods and routes, on real sshd's."""

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
class TransferCase:
    """A transfer method on a route between two places, and its events."""

    kind: str
    old: Box
    new: Box
    folder: Path
    events: list[Event] = field(default_factory=list)

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
        return method, TransferJob(*ends, archives, route, limit, spool, self.events.append)

    def send(self, *archives: Archive, limit: float = 0.0) -> tuple[Sent, ...]:
        method, job = self.job(*archives, limit=limit)
        return METHODS[method].send(job)

    @property
    def target(self) -> Path:
        return self.folder if self.kind.startswith("pull") else self.new.backups

    def partial_file(self, name: str) -> Path:
        return self.target / f".{name}.part"

    def messages(self) -> str:
        return "\n".join(event.text for event in self.events if isinstance(event, Message))


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
def transfer(request: pytest.FixtureRequest, pair: tuple[Box, Box], tmp_path: Path) -> TransferCase:
    made = TransferCase(request.param, *pair, tmp_path / "here")
    made.folder.mkdir()
    return made


@pytest.mark.parametrize("size", [0, 1, 3 * MB + 7])
def test_an_archive_arrives_complete_and_is_not_sent_twice(transfer: TransferCase, size: int) -> None:
    archive = transfer.old.put(NAME, size)
    (sent,) = transfer.send(archive)
    copy = transfer.target / NAME
    assert sha(copy) == sha(transfer.old.backups / NAME) == sent.archive.sha256
    assert (sent.moved, sent.resumed_at, sent.kept) == (size, 0, False)
    assert copy.stat().st_mode & 0o777 == (0o600 if transfer.target == transfer.folder else 0o664)
    assert [p.name for p in transfer.target.iterdir() if p.is_file()] == [NAME]
    again = transfer.send(archive)[0]
    assert again.kept
    assert again.moved == 0


def test_several_archives_arrive_beside_other_links(transfer: TransferCase) -> None:
    archives = [transfer.old.put(NAME, 2 * MB, 1), transfer.old.put(OTHER, 1 * MB + 1, 2)]
    transfer.target.mkdir(exist_ok=True)
    (transfer.target / "threatstop_latest.tsbak").symlink_to("threatstop_backup_2020-01-01_00_00_00.tsbak")
    (transfer.old.backups / "threatstop_latest.tsbak").symlink_to(OTHER)
    transfer.send(*archives)
    assert {sha(transfer.target / name) for name in (NAME, OTHER)} == {
        sha(transfer.old.backups / n) for n in (NAME, OTHER)
    }
    assert (
        str((transfer.target / "threatstop_latest.tsbak").readlink()) == "threatstop_backup_2020-01-01_00_00_00.tsbak"
    )


def test_another_file_of_the_same_name_is_not_overwritten(transfer: TransferCase) -> None:
    archive = transfer.old.put(NAME, 1000)
    transfer.target.mkdir(exist_ok=True)
    (transfer.target / NAME).write_bytes(b"something else")
    with pytest.raises(TransferError, match="not overwritten"):
        transfer.send(archive)
    assert (transfer.target / NAME).read_bytes() == b"something else"


def test_a_link_in_place_of_the_partial_file_is_not_followed(transfer: TransferCase, tmp_path: Path) -> None:
    archive = transfer.old.put(NAME, 1000)
    transfer.target.mkdir(exist_ok=True)
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    transfer.partial_file(NAME).symlink_to(victim)
    transfer.send(archive)
    assert victim.read_bytes() == b"precious"
    assert sha(transfer.target / NAME) == sha(transfer.old.backups / NAME)
    assert not (transfer.target / NAME).is_symlink()


def test_a_transfer_resumes_after_a_valid_partial_file(transfer: TransferCase) -> None:
    archive = transfer.old.put(NAME, 5 * MB)
    transfer.target.mkdir(exist_ok=True)
    if transfer.kind == "sftp spool":
        (transfer.folder / "spool").mkdir()
        partial_file = transfer.folder / "spool" / f".{NAME}.part"
    else:
        partial_file = transfer.partial_file(NAME)
    partial_file.write_bytes((transfer.old.backups / NAME).read_bytes()[: 2 * MB])
    (sent,) = transfer.send(archive)
    assert sha(transfer.target / NAME) == sha(transfer.old.backups / NAME)
    assert "resumes after" in transfer.messages()
    assert next(event.done for event in transfer.events if isinstance(event, Progress)) > 2 * MB
    if transfer.kind != "sftp spool":
        assert (sent.resumed_at, sent.moved) == (2 * MB, 3 * MB)


@pytest.mark.parametrize("damage", ["wrong", "too long"])
def test_a_wrong_partial_file_is_discarded_with_a_message(transfer: TransferCase, damage: str) -> None:
    archive = transfer.old.put(NAME, 2 * MB)
    transfer.target.mkdir(exist_ok=True)
    data = (transfer.old.backups / NAME).read_bytes()
    transfer.partial_file(NAME).write_bytes(b"x" + data[1:MB] if damage == "wrong" else data + b"x")
    (sent,) = transfer.send(archive)
    assert sha(transfer.target / NAME) == sha(transfer.old.backups / NAME)
    assert (sent.resumed_at, sent.moved) == (0, 2 * MB)
    assert "copied again" in transfer.messages()


@pytest.mark.parametrize(
    "name",
    ["../threatstop_backup_2024-05-01_03_00_00.tsbak", "/etc/passwd", "-rf.tsbak", "a\nb.tsbak", "x" * 255, "\x1b[2J",
     "threatstop_latest.tsbak"],
)  # fmt: skip
def test_hostile_names_are_refused_without_a_change(transfer: TransferCase, name: str) -> None:
    with pytest.raises(TransferError, match="not the name of an archive"):
        transfer.send(Archive(name, str(transfer.old.backups), 5))
    assert not transfer.target.exists() or not [p for p in transfer.target.iterdir() if p.is_file()]


def test_a_link_at_the_source_is_refused(transfer: TransferCase, tmp_path: Path) -> None:
    transfer.old.put(OTHER, 5)
    (transfer.old.backups / NAME).symlink_to("/etc/hostname")
    with pytest.raises(MigrateError, match="not a regular file"):
        transfer.send(Archive(NAME, str(transfer.old.backups), 5))
    assert not (transfer.target / NAME).exists()
    assert (
        not transfer.partial_file(NAME).exists() or transfer.partial_file(NAME).stat().st_size == 0
    )  # the link's target was not copied


def test_a_changed_source_leaves_no_file_with_a_final_name(transfer: TransferCase) -> None:
    archive = transfer.old.put(NAME, 2 * MB)
    with pytest.raises(TransferError, match=r"changed|not \w+; it was removed|SHA-256"):
        transfer.send(replace(archive, sha256="0" * 64))
    assert not (transfer.target / NAME).exists()
    assert not transfer.partial_file(NAME).exists()


def test_a_direct_transfer_leaves_authorized_keys_unchanged(pair: tuple[Box, Box], tmp_path: Path) -> None:
    transfer = TransferCase("rsync direct", *pair, tmp_path)
    before = transfer.new.authorized.read_text()
    mode = transfer.new.authorized.stat().st_mode
    transfer.send(transfer.old.put(NAME, MB))
    assert transfer.new.authorized.read_text().rstrip("\n") == before
    assert transfer.new.authorized.stat().st_mode == mode
    assert not [*(transfer.old.folder / "shm").iterdir(), *(transfer.new.folder / "shm").iterdir()]


def test_the_bandwidth_limit_is_kept(transfer: TransferCase) -> None:
    import time

    archive = transfer.old.put(NAME, 4 * MB)
    began = time.monotonic()
    transfer.send(archive, limit=2 * MB)
    assert time.monotonic() - began > 1.5
    assert sha(transfer.target / NAME) == sha(transfer.old.backups / NAME)


def relaying_box(transfer: TransferCase) -> Box:
    """Return the appliance whose connection carries the archive."""
    return transfer.new if transfer.kind.startswith(("push", "rsync direct")) else transfer.old


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_transfer_cut_at_ten_random_points_resumes_each_time(transfer: TransferCase) -> None:
    size = 40 * MB
    archive = transfer.old.put(NAME, size, 3)
    rng = random.Random(transfer.kind)
    victim = relaying_box(transfer)
    moved, resumed = 0, [0]
    for _ in range(30):  # some attempts only notice that the last cut has closed their connection
        if victim.cutter.cuts >= 10:
            break
        victim.cutter.cut_after(rng.randrange(MB, 4 * MB))  # the first checkpoint is after half a MiB
        try:
            transfer.send(archive)
        except (SshError, TransferError):
            pass
        else:
            break
        moved += victim.cutter.passed
        assert not (transfer.target / NAME).exists() or sha(transfer.target / NAME) == sha(transfer.old.backups / NAME)
        partial = (
            transfer.partial_file(NAME)
            if transfer.kind != "sftp spool"
            else transfer.folder / "spool" / f".{NAME}.part"
        )
        resumed.append(partial.stat().st_size if partial.exists() else 0)
    cuts = victim.cutter.cuts
    victim.cutter.cut_after(None)
    try:
        (sent,) = transfer.send(archive)
    except ConnectionLost:  # the first use of a connection notices that the last cut has closed it
        (sent,) = transfer.send(archive)
    assert cuts >= 8
    # for a source without a shell a checkpoint is written every half MiB; a resume starts at the last one
    slack = MB if transfer.kind in {"sftp only", "pull sftp", "sftp spool"} else 0
    assert all(after >= before - slack for before, after in pairwise(resumed)), "received bytes are kept"
    assert sha(transfer.target / NAME) == sha(transfer.old.backups / NAME)
    assert sent.resumed_at >= resumed[-1] - slack or transfer.kind == "sftp spool"
    assert "copied again" not in transfer.messages()


def test_a_device_in_a_tar_stream_is_refused(pair: tuple[Box, Box], tmp_path: Path) -> None:
    import io
    import tarfile

    transfer = TransferCase("tar relay", *pair, tmp_path)
    archives = [transfer.old.put(NAME, 5), transfer.old.put(OTHER, 5)]
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        device = tarfile.TarInfo(NAME)
        device.type, device.devmajor, device.devminor = tarfile.CHRTYPE, 1, 5
        tar.addfile(device)
    (transfer.old.folder / "evil.tar").write_bytes(made.getvalue())
    fake = transfer.old.folder / "bin/tar"
    fake.write_text(
        f"#!/bin/sh\n[ $1 = --version ] && exec echo 'tar (GNU tar) 1.34'\nexec cat {transfer.old.folder}/evil.tar\n"
    )
    fake.chmod(0o755)
    with pytest.raises(TransferError, match="refused"):
        transfer.send(*archives)
    assert not (transfer.target / NAME).exists()
    assert not (transfer.target / OTHER).exists()


def test_a_writer_left_by_a_lost_connection_is_killed_first(pair: tuple[Box, Box], tmp_path: Path) -> None:
    import subprocess

    transfer = TransferCase("tar relay", *pair, tmp_path)
    archive = transfer.old.put(NAME, MB)
    transfer.target.mkdir()
    with transfer.partial_file(NAME).open("ab") as partial_file:
        lost = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=partial_file)
    try:
        transfer.send(archive)
        assert lost.wait(60) == -9
    finally:
        lost.kill()
        lost.communicate()
    assert sha(transfer.target / NAME) == sha(transfer.old.backups / NAME)


@pytest.mark.parametrize("kind", ["tar relay", "sftp only", "rsync direct"])
def test_a_disk_too_small_is_noticed_before_the_first_byte(pair: tuple[Box, Box], tmp_path: Path, kind: str) -> None:
    import subprocess

    transfer = TransferCase(kind, *pair, tmp_path)
    transfer.target.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "none", transfer.target], check=False)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        with pytest.raises(TransferError, match="free"):
            transfer.send(transfer.old.put(NAME, MB))
        assert not list(transfer.target.iterdir())
    finally:
        subprocess.run(["umount", transfer.target], check=True)
