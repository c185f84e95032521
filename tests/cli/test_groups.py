"""The options --group and --jobs: one command on every host of a group; failures are grouped by reason."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.harness.embedded import EmbeddedLab
from tests.harness.profile import new_profile, old_profile
from tests.support.embedded_lab import needs_embedded_lab

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, needs_embedded_lab, pytest.mark.timeout(400)]
UNREACHABLE_HOST = """
[hosts.{name}]
address = "127.0.1.{last}"
port = 9
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedLab]:
    with EmbeddedLab(tmp_path_factory.mktemp("several"), old_profile(), new_profile(archives=1)) as lab:
        unreachable = "".join(UNREACHABLE_HOST.format(name=f"gone-{n}", last=200 + n) for n in (1, 2))
        both, rest = '"tscm-old", "tscm-new"', '"gone-1", "gone-2"'
        groups = f"\n[groups]\nboth = [{both}]\nall = [{both}, {rest}]\nrest = [{rest}]\n"
        lab.inventory.write_text(lab.inventory.read_text() + unreachable + groups)
        yield lab


def run(lab: EmbeddedLab, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = lab.run_tool(*words, env={"TSCM_PASSPHRASE": "all of them"}, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_archive_create_for_a_group_groups_failures_by_reason(lab: EmbeddedLab) -> None:
    text = run(lab, "archive", "create", "--group", "all", "--jobs", "4", code=4).stdout
    assert all(f"{name}: " in text for name in ("tscm-old", "tscm-new"))
    assert text.count("SHA-256 ") == 2
    assert text.count("FAILED on 2 hosts: ") == 1, text
    assert "  gone-1, gone-2" in text
    lines = run(lab, "archive", "create", "--group", "all", "--json", code=4).stdout.splitlines()
    events = [json.loads(line) for line in lines]
    hashes = {one["host"]: one["archive"]["sha256"] for one in events if one["event"] == "backup"}
    assert sorted(hashes) == ["tscm-new", "tscm-old"]
    assert sorted(one["host"] for one in events if one["event"] == "error") == ["gone-1", "gone-2"]
    run(lab, "archive", "create", "--group", "rest", code=1)


def test_schedule_is_written_to_every_host_of_a_group(lab: EmbeddedLab) -> None:
    text = run(lab, "schedule", "--group", "both", "--yes").stdout
    assert text.count("/etc/cron.d/tscm_backup") + text.count("tscm_backup on ") >= 4, text
    dry_run = run(lab, "schedule", "--group", "both", "--dry-run").stdout
    assert dry_run.count("the file exists already") == 2, dry_run
    removed = run(lab, "schedule", "--group", "all", "--remove", "--yes", code=4).stdout
    assert all(f"tscm_backup on {name} removed" in removed for name in ("tscm-old", "tscm-new")), removed


def test_doctor_shows_a_common_finding_of_hosts_once(lab: EmbeddedLab) -> None:
    text = run(lab, "doctor", "--group", "rest", code=4).stdout
    assert sum("gone-1, gone-2: " in line for line in text.splitlines()) >= 1, text
    assert "tscm-old" not in text
    run(lab, "archive", "create", "tscm-old", "--group", "all", code=2)
    run(lab, "archive", "create", "--group", "all", "--jobs", "0", code=2)


def test_checks_of_several_pairs_show_each_reason_once(lab: EmbeddedLab) -> None:
    good = run(lab, "plan", "--checks-only", "--from", "tscm-old", "--to", "tscm-new").stdout
    assert "Nothing was changed" in good
    text = run(lab, "plan", "--checks-only", "--group", "rest", "--to", "tscm-new", code=3).stdout
    assert text.count("unreachable: ") == 1, text
    assert "gone-1 → tscm-new, gone-2 → tscm-new: unreachable: HOST" in text
    assert "0 of 2 migrations can start; nothing was changed" in text
    plan = lab.folder / "plan.toml"
    rows = ('{ from = "tscm-old", to = "tscm-new" }', '{ from = "gone-1", to = "gone-2" }')
    plan.write_text(f'name = "c"\n[[waves]]\nname = "w"\npairs = [{", ".join(rows)}]\n')
    mixed = run(lab, "campaign", "plan", str(plan), "--checks-only", "--json", code=3).stdout
    pairs = {one["from"]: one for one in map(json.loads, mixed.splitlines())}
    assert pairs["tscm-old"]["passed"]
    assert {one["severity"] for one in pairs["tscm-old"]["checks"]} <= {"ok", "warning", "info"}
    assert not pairs["gone-1"]["passed"]
    plan.write_text(f'name = "c"\n[[waves]]\nname = "w"\npairs = [{rows[0]}]\n')
    assert "1 of 1 migrations can start" in run(lab, "campaign", "plan", str(plan), "--checks-only").stdout
    run(lab, "plan", "--group", "rest", "--to", "tscm-new", code=2)
    run(lab, "plan", "--checks-only", "--group", "rest", code=2)
    run(lab, "plan", "--checks-only", "--group", "rest", "--from", "tscm-old", "--to", "tscm-new", code=2)
    run(lab, "plan", "--checks-only", "--group", "all", "--to", "tscm-new", code=2)
