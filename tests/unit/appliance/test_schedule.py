"""The cron file of scheduled backups: it avoids the mistakes of the one in the vendor's documents."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support.local_shell import LocalShell, appliance_of
from tscm_migrate.appliance import backup_schedule
from tscm_migrate.appliance.backup_schedule import Schedule
from tscm_migrate.errors import ApplianceError, UsageError
from tscm_migrate.model import Host, Paths

if TYPE_CHECKING:
    from pathlib import Path


def lines_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#") and "=" not in line.split()[0]]


def test_cron_file_is_valid_and_appends_to_the_log() -> None:
    text = backup_schedule.text(Schedule(interface="eth0", passphrase_file="/root/p"), Paths(), user="threatstop")
    assert text.endswith("\n")
    assert text.isascii()
    assert "%" not in text
    backup, purge = lines_of(text)
    assert backup.startswith("55 0 1,15 * * threatstop /usr/local/bin/ts-backup --interface=eth0")
    assert "--gpg_passphrase_file=/root/p >> " in backup
    assert purge.split()[:2] == ["59", "0"]


def test_default_schedule_runs_once_on_two_days_of_a_month() -> None:
    runs = backup_schedule.next_runs(backup_schedule.WHEN, datetime(2026, 3, 2), 24)  # noqa: DTZ001
    assert len(runs) == 24
    assert {when.day for when in runs} == {1, 15}
    assert runs[-1] - runs[0] > timedelta(days=330)


@pytest.mark.parametrize("when", ["55 * 1,15 *", "61 0 * * *", "0 0 30 2 *", "@daily", "", "5 0 * * * %"])
def test_invalid_or_impossible_cron_time_is_refused(when: str) -> None:
    with pytest.raises(UsageError, match="not a valid time for cron"):
        backup_schedule.check(Schedule(when=when))


@pytest.mark.skipif(shutil.which("find") is None or os.name == "nt", reason="the purge is a POSIX script")
def test_purge_keeps_the_newest_archives_and_removes_dangling_links(tmp_path: Path) -> None:
    old = time.time() - 400 * 86400
    for day in range(1, 6):
        file = tmp_path / f"threatstop_backup_2024-01-0{day}_00_00_00.tsbak"
        file.write_text("x")
        os.utime(file, (old, old))
    (tmp_path / "threatstop_latest.tsbak").symlink_to(tmp_path / "threatstop_backup_2024-01-05_00_00_00.tsbak")
    (tmp_path / "threatstop_latest.tsbak.gpg").symlink_to(tmp_path / "gone")
    (tmp_path / "notes.txt").write_text("mine")
    text = backup_schedule.text(Schedule(keep=2, days=120, purge=True), Paths(backup_dir=str(tmp_path)), user="root")
    command = lines_of(text)[1].split(" ", 6)[6]
    subprocess.run(["sh", "-c", command], check=True, timeout=100)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "notes.txt", "threatstop_backup_2024-01-04_00_00_00.tsbak", "threatstop_backup_2024-01-05_00_00_00.tsbak",
        "threatstop_latest.tsbak",
    ]  # fmt: skip


@pytest.mark.skipif(shutil.which("find") is None or os.name == "nt", reason="the purge is a POSIX script")
def test_other_files_do_not_count_as_newest_archives(tmp_path: Path) -> None:
    """An empty backup, a folder, a FIFO, a link and forged names: if counted, each would displace a good archive."""
    old = time.time() - 400 * 86400
    good = tmp_path / "threatstop_backup_2024-01-01_00_00_00.tsbak"
    good.write_text("x")
    os.utime(good, (old, old))
    (tmp_path / "threatstop_backup_2024-02-02_00_00_00.tsbak").touch()
    (tmp_path / "threatstop_backup_2024-02-03_00_00_00.tsbak").mkdir()
    os.mkfifo(tmp_path / "threatstop_backup_2024-02-04_00_00_00.tsbak.gpg")
    (tmp_path / "threatstop_backup_2024-02-05_00_00_00.tsbak").symlink_to(good)
    (tmp_path / "x\nthreatstop_backup_2024-02-06_00_00_00.tsbak").write_text("x")
    (tmp_path / "threatstop_backup_2024-02-07_00_00_00.tsbak\nx").write_text("x")
    text = backup_schedule.text(Schedule(keep=1, days=120, purge=True), Paths(backup_dir=str(tmp_path)), user="root")
    subprocess.run(["sh", "-c", lines_of(text)[1].split(" ", 6)[6]], check=True, timeout=100)
    assert good.exists()


@pytest.mark.skipif(shutil.which("sha256sum") is None or os.name == "nt", reason="the purge is a POSIX script")
def test_purge_deletes_only_archives_with_a_marker_of_their_hash(tmp_path: Path) -> None:
    markers = tmp_path / backup_schedule.MARKERS
    markers.mkdir()
    old = time.time() - 400 * 86400
    for day in range(1, 7):
        file = tmp_path / f"threatstop_backup_2024-01-0{day}_00_00_00.tsbak"
        file.write_text(f"archive {day}")
        os.utime(file, (old, old) if day != 3 else None)
        if day not in {1, 5}:
            (markers / file.name).write_text(hashlib.sha256(file.read_bytes()).hexdigest() + "\n")
    (markers / "threatstop_backup_2024-01-04_00_00_00.tsbak").write_text("0" * 64)
    (markers / "threatstop_backup_2024-01-01_00_00_00.tsbak").symlink_to("/dev/null")
    text = backup_schedule.text(Schedule(keep=1, days=120), Paths(backup_dir=str(tmp_path)), user="root")
    assert max(map(len, text.splitlines())) < 1000, "Vixie cron accepts no longer command"
    subprocess.run(["sh", "-c", lines_of(text)[1].split(" ", 6)[6]], check=True, timeout=100)
    left = sorted(int(path.name[26:28]) for path in tmp_path.glob("threatstop_backup_*"))
    assert left == [1, 3, 4, 5, 6], "only 2 is old, not the newest, and off-site with the same hash"
    assert not (markers / "threatstop_backup_2024-01-02_00_00_00.tsbak").exists()


@pytest.mark.parametrize("printed", ["", "Fr 27. Nov", "9999-12-31 23:59:59", "2026-13-01 00:00:00", "\x1b[2J" * 100])
def test_local_time_that_is_not_one_is_an_error_of_the_appliance(printed: str) -> None:
    shell = LocalShell(Host("tscm-old", "127.0.0.43"), recorded={"local time": printed})
    with pytest.raises(ApplianceError, match="local time cannot be read") as caught:
        backup_schedule.local_time(appliance_of(shell))
    assert caught.value.message().isprintable()
    shell.recorded = {"local time": "2026-11-27 12:00:00\n"}
    assert backup_schedule.local_time(appliance_of(shell)) == datetime(2026, 11, 27, 12)  # noqa: DTZ001
