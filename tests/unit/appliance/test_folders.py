"""Listing archives with real shells, with tools that lack GNU options, and in unreadable folders."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support.unprivileged import UNPRIVILEGED, WHY_NOT
from tscm_migrate.appliance import archives
from tscm_migrate.archive.names import when
from tscm_migrate.archive.select import newest

if TYPE_CHECKING:
    from pathlib import Path

NAME = "threatstop_backup_2026-01-02_03_04_05.tsbak.gpg"
OTHER = "threatstop_backup_2026-01-01_03_04_05.tsbak"
WHEN = datetime(2026, 1, 2, 3, 4, 20, tzinfo=UTC).timestamp()


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    if os.name == "nt":
        pytest.skip("the listing is a POSIX script, and file names on Windows cannot contain line breaks")
    folder = tmp_path / "back up's"
    folder.mkdir()
    for name in (NAME, OTHER):
        (folder / name).write_bytes(b"x" * 10)
        os.utime(folder / name, (WHEN, WHEN))
    (folder / "threatstop_latest.tsbak.gpg").symlink_to(NAME)
    (folder / "threatstop_backup_2026-13-45_03_04_05.tsbak").write_bytes(b"no such day")
    (folder / "threatstop_backup_2026-01-03_03_04_05.tsbak\nx").write_bytes(b"hostile")
    (folder / "threatstop_backup_2026-01-04_03_04_05.tsbak").symlink_to(NAME)
    (folder / "threatstop_backup_2026-01-05_03_04_05.tsbak").mkdir()
    (tmp_path / "home").mkdir()
    return folder


def list_folder(
    folder: Path, home: Path, *, shell: str = "sh", path: str = "", prefix: tuple[str, ...] = ()
) -> archives.FolderListing:
    env = {"HOME": str(home), "PATH": path or os.environ["PATH"], "LC_ALL": "C"}
    argv = [
        *prefix,
        shell,
        *(["sh"] if shell.endswith("busybox") else []),
        "-c",
        archives.listing_script(shlex.quote(str(folder))),
    ]
    return archives.parse_listing(
        subprocess.run(argv, env=env, capture_output=True, text=True, check=True, timeout=60).stdout
    )


SHELLS = [name for name in ("sh", "dash", "bash", "busybox") if shutil.which(name)]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("tools", ["GNU", "no stat", "stat without -c", "no find"])
def test_listing_is_the_same_with_every_shell_and_set_of_tools(
    backup: Path, tmp_path: Path, shell: str, tools: str
) -> None:
    path = ""
    if tools != "GNU":
        shim = tmp_path / "bin"
        shim.mkdir()
        for name in ("ls", "cut", "tr", "date", *(["stat"] if tools == "no find" else [])):
            (shim / name).symlink_to(str(shutil.which(name)))
        if tools == "stat without -c":
            (shim / "stat").write_text("#!/bin/sh\necho 'stat: invalid option -- c' >&2\nexit 1\n")
            (shim / "stat").chmod(0o755)
        path = str(shim)
    listing = list_folder(backup, tmp_path / "home", shell=str(shutil.which(shell)), path=path)
    assert {(a.name, a.size, a.folder) for a in listing.archives} == {(n, 10, str(backup)) for n in (NAME, OTHER)}
    assert [link.rpartition("/")[2] for link in listing.links] == ["threatstop_latest.tsbak.gpg"]
    assert (listing.missing, listing.unseen) == (False, "")


def test_missing_or_unreadable_folder_is_not_an_empty_folder(backup: Path, tmp_path: Path) -> None:
    empty = tmp_path / "home"
    assert list_folder(empty, empty) == archives.FolderListing()
    missing = list_folder(tmp_path / "none", empty)
    assert (missing.missing, missing.unseen) == (True, "")
    file = tmp_path / "file"
    file.write_text("")
    assert list_folder(file, empty).unseen
    (tmp_path / "loop").symlink_to("loop")
    assert list_folder(tmp_path / "loop", empty).unseen


@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
@pytest.mark.parametrize("mode", [0o000, 0o100, 0o400, 0o200])
@pytest.mark.parametrize("which", ["backup", "home"])
def test_folder_without_read_permission_is_reported(backup: Path, tmp_path: Path, mode: int, which: str) -> None:
    home = tmp_path / "home"
    closed = backup if which == "backup" else home
    closed.chmod(mode)
    try:
        listing = list_folder(backup, home, prefix=UNPRIVILEGED)
    finally:
        closed.chmod(0o755)
    assert "denied" in listing.unseen, listing


@pytest.mark.parametrize(
    "text", ["", "@end\tbackup\t\n", "zsh: no such thing\n", "@file\t81a4\t1\t1\t/x\n@end\thome\t\n"]
)
def test_incomplete_listing_is_reported(text: str) -> None:
    assert archives.parse_listing(text).unseen == "the listing did not reach its end"


def test_rows_that_cannot_be_archives_are_ignored() -> None:
    lines = [
        f"@file\t81a4\t²\t1\t/b/{NAME}",
        f"@file\t81a4\t{'9' * 400}\t1\t/b/{NAME}",
        f"@file\tzz\t1\t1\t/b/{NAME}",
        f"@file\t41ed\t1\t1\t/b/{NAME}",
        f"@file\t81a4\t1\t1\t/b/{NAME}/../../etc/passwd",
        "@file\t81a4\t1\t1\t/b/threatstop_backup_9999-12-31_23_59_59.tsbak",
        f"@file\t81a4\t7\t{'9' * 18}\t/b/{OTHER}",
        "@end\tbackup\t",
        "@end\thome\tmissing",
    ]
    listing = archives.parse_listing("\n".join(lines))
    assert [(a.name, a.size) for a in listing.archives] == [(OTHER, 7)]
    assert listing.unseen == ""


# ---------------------------------------------------------------- the time in a name, and the time of its file


def listed(zone: str, *files: tuple[str, datetime]) -> archives.FolderListing:
    lines = [f"@file\t81a4\t1\t{int(at.timestamp())}\t/b/threatstop_backup_{name}.tsbak" for name, at in files]
    return archives.parse_listing("\n".join([f"@zone\t{zone}", *lines, "@end\tbackup\t", "@end\thome\t"]))


def utc(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "name", "file", "taken", "hours"),
    [
        ("+0000", "2026-03-01_03_00_00", "2026-03-01 03:02", "2026-03-01 03:00", 0),
        ("+0900", "2026-03-01_12_00_00", "2026-03-01 03:02", "2026-03-01 03:00", 9),  # Tokyo
        ("+0000", "2026-03-01_12_00_00", "2026-03-01 03:02", "2026-03-01 03:00", 9),  # only tsadmin has the zone
        ("-0800", "2026-02-28_19_00_00", "2026-03-01 03:02", "2026-03-01 03:00", -8),  # Los Angeles
        ("+0000", "2026-02-28_19_00_00", "2026-03-01 03:02", "2026-03-01 03:00", -8),
        ("-0800", "2026-03-01_03_00_00", "2026-03-01 03:02", "2026-03-01 03:00", 0),  # in UTC, as documented
        ("+0530", "2026-03-01_08_30_00", "2026-03-01 03:40", "2026-03-01 03:00", 5.5),  # took 40 minutes
        ("+1345", "2026-03-01_16_45_00", "2026-03-01 03:01", "2026-03-01 03:00", 13.75),
        ("-0700", "2026-02-28_19_00_00", "2026-03-01 03:02", "2026-03-01 03:00", -8),  # made before summer time
        ("+0100", "2026-03-01_03_00_00", "2026-03-01 10:42", "2026-03-01 03:00", None),  # copied there later
        ("+0000", "2026-03-01_03_00_00", "2026-04-20 10:42", "2026-03-01 03:00", None),
    ],
)
def test_time_zone_of_names_is_derived_from_file_times(
    zone: str, name: str, file: str, taken: str, hours: float | None
) -> None:
    listing = listed(zone, (name, utc(file)))
    assert [when(archive) for archive in listing.archives] == [utc(taken)]
    assert listing.offset == (None if hours is None else timedelta(hours=hours))


def test_copied_archive_gets_the_time_zone_of_the_others() -> None:
    listing = listed(
        "+0900",
        ("2026-03-01_12_00_00", utc("2026-03-01 03:01")),
        ("2026-02-28_12_00_00", utc("2026-03-05 11:11")),
        ("2026-03-02_12_00_00", utc("2026-03-02 03:01")),
    )
    assert sorted(when(a) for a in listing.archives) == [
        utc(f"2026-{day} 03:00") for day in ("02-28", "03-01", "03-02")
    ]


@pytest.mark.parametrize("west", [3.5, 8])  # St. John's, Los Angeles; the login itself is in UTC
def test_western_time_zone_is_detected_in_summer_time(west: float) -> None:
    made = {utc("2026-07-01 12:00"): west - 1, utc("2026-12-01 12:00"): west, utc("2026-12-02 12:00"): west}
    names = {f"{at - timedelta(hours=behind):%Y-%m-%d_%H_%M_%S}": at for at, behind in made.items()}
    listing = listed("+0000", *((name, at + timedelta(minutes=2)) for name, at in names.items()))
    assert [when(archive) for archive in listing.archives] == list(made)
    assert listing.offset == -timedelta(hours=west)


def test_later_archive_in_the_repeated_hour_is_the_newest() -> None:
    listing = listed(
        "+0100",
        ("2026-10-25_02_30_00", utc("2026-10-25 00:31")),  # summer time
        ("2026-10-25_02_10_00", utc("2026-10-25 01:11")),  # the hour again
    )
    last = newest(listing.archives)
    assert last
    assert last.name == "threatstop_backup_2026-10-25_02_10_00.tsbak"
