"""`schedule` on an appliance: dry run, confirmation, lock, and a purge that deletes only archives with a copy."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.harness.embedded import EmbeddedLab
from tests.harness.profile import new_profile, old_profile
from tests.support.embedded_lab import needs_embedded_lab
from tests.support.migrations import all_output
from tscm_migrate.appliance import lockfile
from tscm_migrate.inventory.read import load

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    needs_embedded_lab,
]
OLD = "tscm-old"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedLab]:
    with EmbeddedLab(tmp_path_factory.mktemp("room"), old_profile(archives=4), new_profile()) as made:
        yield made


def entry(lab: EmbeddedLab, name: str = "old") -> Path:
    return lab.guest(name).path("cron_d") / "tscm_backup"  # type: ignore[arg-type]


def schedule(lab: EmbeddedLab, *words: str) -> subprocess.CompletedProcess[str]:
    return lab.run_tool("schedule", *words, timeout=60)


def test_schedule_shows_its_changes_and_needs_confirmation(lab: EmbeddedLab) -> None:
    shown = schedule(lab, OLD, "--dry-run")
    assert shown.returncode == 0, all_output(shown)
    assert "of its 4 archives the purge (of which a verified copy is off-site) would delete 0 now" in shown.stdout
    unasked = schedule(lab, OLD)
    assert unasked.returncode == 2, all_output(unasked)
    assert "--yes" in unasked.stderr
    assert schedule(lab, OLD, "--remove", "--purge", "--yes").returncode == 2, (
        "it is ambiguous: it could mean to delete archives now"
    )
    assert not entry(lab).exists()


def test_a_host_without_a_backup_is_refused_with_a_remedy(lab: EmbeddedLab) -> None:
    shown = schedule(lab, "tscm-new", "--dry-run")
    assert shown.returncode == 0, all_output(shown)
    assert "tsadmin backup" in shown.stdout
    refused = schedule(lab, "tscm-new", "--yes")
    assert refused.returncode == 3, all_output(refused)
    assert "--allow" not in refused.stderr
    assert f"ssh -t -p {lab.port} " in refused.stderr
    assert " tsadmin backup" in refused.stderr
    assert not entry(lab, "new").exists()
    given = schedule(lab, "tscm-new", "--yes", "--passphrase-file-there", "/root/p")
    assert given.returncode == 0, all_output(given)
    assert schedule(lab, "tscm-new", "--remove", "--yes").returncode == 0
    assert not entry(lab, "new").exists()


def test_schedule_honours_the_lock_of_a_run(lab: EmbeddedLab) -> None:
    folder = load(lab.inventory).host(OLD).paths.hold_dir
    text = lockfile.ApplianceLock(
        "20240501-030000-1a2b", "old", "else@where", "another", 7, "2024-05-01T03:00:00Z"
    ).text()
    lab.on("old", f"mkdir -p {folder} && printf '%s\\n' '{text}' > {folder}/lock")
    for words in ((OLD, "--yes"), (OLD, "--remove", "--yes")):
        refused = schedule(lab, *words)
        assert refused.returncode == 3, all_output(refused)
        assert "20240501-030000-1a2b" in refused.stderr
    assert not entry(lab).exists()
    lab.on("old", f"rm -r {folder}")


def test_the_purge_deletes_only_archives_with_an_off_site_copy(lab: EmbeddedLab, tmp_path: Path) -> None:
    backups = lab.guest("old").path("backup")
    long_ago = time.time() - 400 * 86400
    names = sorted(path.name for path in backups.glob("threatstop_backup_*"))
    for name in names:
        os.utime(backups / name, (long_ago, long_ago))
    (tmp_path / "store").mkdir()
    store = ("--store", str(tmp_path / "store"), "--host", OLD)
    assert lab.run_tool("offsite", "pull", *store).returncode == 0
    assert not (backups / ".tscm-offsite").exists(), "a pull changes only appliances with a schedule"
    written = schedule(lab, OLD, "--keep", "1", "--yes")
    assert written.returncode == 0, all_output(written)
    assert "of which a verified copy is off-site) would delete 0 now" in written.stdout
    assert entry(lab).is_file()
    pulled = lab.run_tool("offsite", "pull", *store, "--archive", names[0])
    assert pulled.returncode == 0, all_output(pulled)
    shown = schedule(lab, OLD, "--keep", "1", "--dry-run")
    assert "the file exists already, with this content" in shown.stdout
    assert f"would delete 1 now:\n  {names[0]}\n" in shown.stdout
    by_age = schedule(lab, OLD, "--keep", "1", "--purge", "--dry-run")
    assert f"(by number and age) would delete {len(names) - 1} now" in by_age.stdout
    assert "it replaces:" in by_age.stdout
    assert sorted(path.name for path in backups.glob("threatstop_backup_*")) == names, "no archive was deleted"
    assert schedule(lab, OLD, "--remove", "--yes").returncode == 0
    assert not entry(lab).exists()
    assert not (backups / ".tscm-offsite").exists()
    assert json.loads(lab.run_tool("archive", "list", OLD, "--json").stdout)
