"""Lists of archives that show times and not names."""

from __future__ import annotations

import pytest

from tscm_migrate.tsadmin.archive_list import pick

OLDER, NEWER = (f"threatstop_backup_2026-01-05_{time}.tsbak" for time in ("09_30_12", "10_30_40"))


def listed(*times: str) -> list[str]:
    rows = [f"[{chr(97 + n)}] 2026-01-05 {time}   12K  FULL" for n, time in enumerate(times)]
    return ["ARCHIVES (UTC)", *rows, "[q] QUIT"]


def test_time_in_a_list_selects_the_archive_of_that_minute() -> None:
    entry = pick(listed("09:30", "10:30"), NEWER, "/opt/threatstop/backup", (OLDER, NEWER))
    assert entry is not None
    assert entry.number == "b"


@pytest.mark.parametrize(
    ("times", "there"),
    [
        pytest.param(("10:30", "11:30"), (OLDER, NEWER), id="another zone: the older one is shown at our time"),
        pytest.param(("10:30",), (), id="not known what is there"),
        pytest.param(("10:30", "10:30"), (NEWER,), id="two of the same minute"),
    ],
)
def test_ambiguous_times_select_no_archive(times: tuple[str, ...], there: tuple[str, ...]) -> None:
    assert pick(listed(*times), NEWER, "/opt/threatstop/backup", there) is None
