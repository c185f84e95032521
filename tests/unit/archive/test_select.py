"""Selecting archives by name or by their time of creation, in any order and with duplicates."""

from __future__ import annotations

import pytest

from tscm_migrate.archive import select
from tscm_migrate.errors import ArchiveMissing
from tscm_migrate.model import Archive, Host

HOST = Host("tscm-old", "10.1.1.43")


def archive(day: int, folder: str = "/opt/threatstop/backup", end: str = ".tsbak.gpg", taken: float = 0.0) -> Archive:
    return Archive(f"threatstop_backup_2026-02-{day:02}_00_00_00{end}", folder, 5, taken=taken)


ARCHIVES = [archive(2), archive(9, end=".tsbak"), archive(1), archive(9, "/home/threatstop", end=".tsbak")]


def test_latest_all_and_a_name_select_archives() -> None:
    assert select.chosen(ARCHIVES, "latest", HOST) == (ARCHIVES[1],)
    assert select.chosen(ARCHIVES, "all", HOST) == (ARCHIVES[1], ARCHIVES[0], ARCHIVES[2])
    assert select.chosen(ARCHIVES, ARCHIVES[2].name, HOST) == (ARCHIVES[2],)
    assert select.newest(reversed(ARCHIVES)) == ARCHIVES[3], "the first of two archives with the same name"


def test_time_of_the_file_has_priority_over_the_name() -> None:
    early = archive(20, taken=1_000_000.0)
    assert select.newest([early, archive(3)]) == archive(3)


@pytest.mark.parametrize(
    "name", ["threatstop_latest.tsbak", "-rf", "../x", "", "threatstop_backup_2026-02-02_00_00_01.tsbak"]
)
def test_word_that_is_not_an_archive_name_is_refused(name: str) -> None:
    with pytest.raises(ArchiveMissing) as caught:
        select.chosen(ARCHIVES, name, HOST)
    assert "/opt/threatstop/backup" in caught.value.message()
    assert ("did you mean" in caught.value.message()) == name.endswith("01.tsbak")


@pytest.mark.parametrize("wanted", ["latest", "all"])
def test_selection_without_archives_names_the_backup_command(wanted: str) -> None:
    with pytest.raises(ArchiveMissing, match="tsadmin backup"):
        select.chosen([Archive("threatstop_latest.tsbak", "/b", 1)], wanted, HOST)


def test_missing_archive_name_is_shown_also_without_archives() -> None:
    with pytest.raises(ArchiveMissing, match=r"02\.tsbak, nor any other one, in"):
        select.chosen([], "threatstop_backup_2026-02-02_02_02_02.tsbak", HOST)


def test_archive_name_is_shown_without_control_sequences() -> None:
    with pytest.raises(ArchiveMissing) as caught:
        select.chosen(ARCHIVES, "\x1b]0;x\x07", HOST)
    assert caught.value.message().isprintable()
