"""The findings of `doctor` on the archives of an appliance."""

from __future__ import annotations

import pytest

from tscm_migrate.appliance.facts import Facts
from tscm_migrate.cli import doctor
from tscm_migrate.model import Host

HOST = Host("tscm-a", "10.1.1.43", user="threatstop")


@pytest.mark.parametrize(
    ("offset", "words"),
    [(None, ""), (0.0, ""), (9 * 3600.0, "UTC+09:00"), (-8 * 3600.0, "UTC-08:00"), (5.5 * 3600, "UTC+05:30")],
)
def test_archive_names_in_local_time_are_a_warning(offset: float | None, words: str) -> None:
    findings = list(doctor._archives(HOST, Facts("tscm-a", name_offset=offset)))
    assert [(finding.severity, words in finding.text) for finding in findings] == ([("warning", True)] if words else [])


def test_archives_that_cannot_be_listed_are_an_error() -> None:
    (finding,) = doctor._archives(HOST, Facts("tscm-a", unseen="Permission denied"))
    assert finding.severity == "error"
    assert "Permission denied" in finding.text
