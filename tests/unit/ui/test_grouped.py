"""Failures of many hosts: one entry for each reason."""

from __future__ import annotations

from tscm_migrate.cli.doctor import Diagnosis, grouped
from tscm_migrate.errors import Unreachable, UsageError
from tscm_migrate.ui.console import by_reason


def test_failures_are_grouped_by_reason_with_the_largest_group_first() -> None:
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


def test_remote_text_is_marked() -> None:
    text = by_reason([("a", UsageError("x\nFAILED on 9 hosts: y\x1b[2J", ""))])
    assert len([line for line in text.splitlines() if line.startswith("FAILED")]) == 1
    assert "\x1b" not in text


def test_common_finding_of_hosts_is_one_line() -> None:
    found = [Diagnosis(name, "rsync", "info", f"{name} has none", f"ssh {name}") for name in ("a", "b")]
    other = Diagnosis("c", "rsync", "error", "c has none", "")
    assert grouped([*found, other]) == [Diagnosis("a, b", "rsync", "info", "HOST has none", "ssh a"), other]
