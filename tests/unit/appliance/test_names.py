"""Archive names: only the documented form is accepted; the newest archive is chosen by the time in its name."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tscm_migrate.archive.names import acceptable, taken_at
from tscm_migrate.archive.select import newest
from tscm_migrate.model import Archive


def test_time_in_a_name_is_utc() -> None:
    assert taken_at("threatstop_backup_2024-04-19_20_04_19.tsbak.gpg") == datetime(2024, 4, 19, 20, 4, 19, tzinfo=UTC)


@pytest.mark.parametrize(
    "name",
    [
        "threatstop_latest.tsbak",
        "threatstop_backup_2024-02-30_20_04_19.tsbak",
        "threatstop_backup_2024-04-19_20_04_19.tsbak.gpg.part",
        "../threatstop_backup_2024-04-19_20_04_19.tsbak",
        "threatstop_backup_2024-04-19_20_04_19.tsbak\n",
        "-threatstop_backup_2024-04-19_20_04_19.tsbak",
        "threatstop_backup_२०२४-04-19_20_04_19.tsbak",
        "",
    ],
)
def test_name_of_another_form_is_refused(name: str) -> None:
    assert not acceptable(name)


@given(st.text())
def test_acceptable_name_is_safe_in_a_path(name: str) -> None:
    assert not acceptable(name) or (name.isascii() and "/" not in name and not name.startswith("-"))


def test_newest_is_chosen_by_the_time_in_the_name() -> None:
    def archive(day: str, end: str) -> Archive:
        return Archive(f"threatstop_backup_2024-04-{day}_20_04_19.tsbak{end}", "/b", 1)

    old, newer, oldest = archive("19", ""), archive("20", ".gpg"), archive("01", ".gpg")
    assert newest([newer, old, oldest]) is newer
    assert newest([old, oldest]) is old
    assert newest([Archive("threatstop_latest.tsbak", "/b", 1)]) is None
    assert newest([]) is None
