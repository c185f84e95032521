"""Which archives are meant: by the time at which they were made, whatever the order and however often they are listed."""

from __future__ import annotations

import pytest

from tscm_migrate.archive import select
from tscm_migrate.errors import ArchiveMissing
from tscm_migrate.model import Archive, Host

HOST = Host("tscm-old", "10.1.1.43")


def archive(day: int, folder: str = "/opt/threatstop/backup", end: str = ".tsbak.gpg", taken: float = 0.0) -> Archive:
    return Archive(f"threatstop_backup_2026-02-{day:02}_00_00_00{end}", folder, 5, taken=taken)


THERE = [archive(2), archive(9, end=".tsbak"), archive(1), archive(9, "/home/threatstop", end=".tsbak")]


def test_latest_all_and_a_name() -> None:
    assert select.chosen(THERE, "latest", HOST) == (THERE[1],)
    assert select.chosen(THERE, "all", HOST) == (THERE[1], THERE[0], THERE[2])
    assert select.chosen(THERE, THERE[2].name, HOST) == (THERE[2],)
    assert select.newest(reversed(THERE)) == THERE[3], "of two with one name the first"


def test_the_time_of_the_file_counts_before_the_name() -> None:
    early = archive(20, taken=1_000_000.0)
    assert select.newest([early, archive(3)]) == archive(3)


@pytest.mark.parametrize(
    "name", ["threatstop_latest.tsbak", "-rf", "../x", "", "threatstop_backup_2026-02-02_00_00_01.tsbak"]
)
def test_no_other_word_means_an_archive(name: str) -> None:
    with pytest.raises(ArchiveMissing) as caught:
        select.chosen(THERE, name, HOST)
    assert "/opt/threatstop/backup" in caught.value.message()
    assert ("did you mean" in caught.value.message()) == name.endswith("01.tsbak")


@pytest.mark.parametrize("wanted", ["latest", "all"])
def test_where_there_is_none_at_all_it_says_how_to_make_one(wanted: str) -> None:
    with pytest.raises(ArchiveMissing, match="tsadmin backup"):
        select.chosen([Archive("threatstop_latest.tsbak", "/b", 1)], wanted, HOST)


def test_a_name_is_shown_also_where_there_is_no_archive() -> None:
    with pytest.raises(ArchiveMissing, match=r"02\.tsbak, nor any other one, in"):
        select.chosen([], "threatstop_backup_2026-02-02_02_02_02.tsbak", HOST)


def test_what_a_host_names_is_shown_without_what_steers_a_terminal() -> None:
    with pytest.raises(ArchiveMissing) as caught:
        select.chosen(THERE, "\x1b]0;x\x07", HOST)
    assert caught.value.message().isprintable()
