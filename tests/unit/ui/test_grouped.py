"""Failures of many hosts: one entry for each reason."""

from __future__ import annotations

from tscm_migrate.cli.doctor import Diagnosis, grouped
from tscm_migrate.errors import Unreachable, UsageError
from tscm_migrate.ui.tables import by_reason


def test_hosts_that_failed_for_the_same_reason_stand_together_the_most_first() -> None:
    failures: list[tuple[str, BaseException]] = [(f"h{n:02}", Unreachable(f"h{n:02}", "no banner")) for n in range(14)]
    text = by_reason([("a", UsageError("bad", "do better")), *failures, ("b", ValueError("odd"))])
    lines = text.splitlines()
    assert lines[0].startswith("FAILED on 14 hosts: HOST")
    assert "no banner" in lines[0]
    assert lines[1].startswith("  h00, h01, ")
    assert lines[1].endswith(", and 2 more")
    assert sum(line.startswith("FAILED") for line in lines) == 3
    assert "  what to do: do better" in lines
    assert "FAILED on 1 host: ValueError: odd (defect)" in lines
    assert by_reason([]) == ""


def test_what_an_appliance_says_does_not_look_like_a_line_of_ours() -> None:
    text = by_reason([("a", UsageError("x\nFAILED on 9 hosts: y\x1b[2J", ""))])
    assert len([line for line in text.splitlines() if line.startswith("FAILED")]) == 1
    assert "\x1b" not in text


def test_what_hosts_have_in_common_is_one_line_of_doctor() -> None:
    found = [Diagnosis(name, "rsync", "info", f"{name} has none", f"ssh {name}") for name in ("a", "b")]
    other = Diagnosis("c", "rsync", "error", "c has none", "")
    assert grouped([*found, other]) == [Diagnosis("a, b", "rsync", "info", "HOST has none", "ssh a"), other]
