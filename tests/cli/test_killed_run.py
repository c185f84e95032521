"""A run killed while the updates of the old appliance are paused: every later command shows that, and can undo it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.harness import embedded
from tests.harness.profile import new_profile, old_profile
from tests.support.embedded_lab import needs_embedded_lab
from tests.support.migrations import PAIR, run_of
from tscm_migrate.demo.base import tool_command
from tscm_migrate.migration.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.embedded import EmbeddedLab

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    needs_embedded_lab,
]
CRON_ENTRY = "old/root/etc/cron.d/multidevice-core"
KILLED_BEFORE = "if [ $TSCM_STEP = {step} ]; then kill -9 $PPID; fi"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[EmbeddedLab]:
    with embedded.EmbeddedLab(tmp_path / "lab", old_profile(ts_update_seconds=0.2), new_profile()) as lab:
        yield lab


def tool(lab: EmbeddedLab, *words: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the tool without an inventory in its environment."""
    base = {name: value for name, value in lab.env().items() if name != "TSCM_INVENTORY"}
    return subprocess.run(
        tool_command(*words), env={**base, "TSCM_PASSPHRASE": "pass phrase", **env}, cwd=cwd or lab.folder,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def killed_run(lab: EmbeddedLab, step: str) -> str:
    """Start a migration that is killed at the beginning of the step; return the id of its run."""
    site = lab.inventory.read_text(encoding="utf-8")
    lab.inventory.write_text(f'{site}\n[notify]\nbefore_step = "{KILLED_BEFORE.format(step=step)}"\n', encoding="utf-8")
    done = tool(lab, "migrate", *PAIR, "--yes", "--inventory", os.path.relpath(lab.inventory, lab.folder))
    lab.inventory.write_text(site, encoding="utf-8")
    assert done.returncode == -9, done.stdout + done.stderr
    return run_of(done.stdout)


def folder_of(lab: EmbeddedLab, run: str) -> Path:
    return next((lab.folder / "workstation").rglob(run))


def test_rollback_uses_the_inventory_of_the_run(lab: EmbeddedLab, tmp_path: Path) -> None:
    run = killed_run(lab, "transfer")
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "inventory").mkdir(parents=True)
    other = '[hosts.tscm-old]\naddress = "127.0.0.1"\nport = 1\n[hosts.tscm-new]\naddress = "127.0.0.1"\nport = 1\n'
    (elsewhere / "inventory" / "hosts.toml").write_text(other, encoding="utf-8")
    done = tool(lab, "rollback", run, "--yes", cwd=elsewhere)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (lab.folder / CRON_ENTRY).exists()


def test_inventory_option_has_priority_over_that_of_the_run(lab: EmbeddedLab, tmp_path: Path) -> None:
    run = killed_run(lab, "backup")
    moved = tmp_path / "moved.toml"
    moved.write_text("", encoding="utf-8")
    done = tool(lab, "resume", run, "--yes", "--inventory", str(moved))
    assert done.returncode == 2
    assert "there is no host 'tscm-new'" in done.stderr


def test_run_show_names_paused_updates_of_a_killed_run(lab: EmbeddedLab) -> None:
    run = killed_run(lab, "transfer")
    shown = tool(lab, "run", "show", run).stdout
    assert re.search(rf"^tscm-old: its updates are PAUSED.*tscm-migrate rollback {run}$", shown, re.MULTILINE), shown
    assert "OFFLINE" not in shown


def test_resume_without_its_secret_changes_nothing(lab: EmbeddedLab) -> None:
    run = killed_run(lab, "transfer")
    before = (folder_of(lab, run) / "journal.jsonl").read_bytes()
    done = tool(lab, "resume", run, "--yes", TSCM_PASSPHRASE="")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "is encrypted, and no passphrase was given" in done.stderr
    assert (folder_of(lab, run) / "journal.jsonl").read_bytes() == before


def test_rollback_takes_the_newest_unfinished_run_and_names_others(lab: EmbeddedLab) -> None:
    run = killed_run(lab, "backup")
    runs = folder_of(lab, run).parent
    another = Journal.create("20200101-000000-aaaa", runs.parent)  # of two other appliances
    another.write("run-started", run="20200101-000000-aaaa", old="tscm-a", new="tscm-b", options={"to": "tscm-b"})
    another.write("step-started", step="hold-updates")
    done = tool(lab, "rollback", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"run {run}" in done.stdout.splitlines()[0]
    assert "warning: run 20200101-000000-aaaa (tscm-a → tscm-b) is also unfinished" in done.stdout


def test_readable_part_of_a_damaged_journal_is_shown(lab: EmbeddedLab) -> None:
    run = killed_run(lab, "transfer")
    journal = folder_of(lab, run) / "journal.jsonl"
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    pause_line = next(n for n, line in enumerate(lines) if '"step-done"' in line and "hold-updates" in line)
    lines[pause_line + 2] = lines[pause_line + 2].replace('"t": "2', '"t": "1')
    journal.write_text("".join(lines), encoding="utf-8")
    done = tool(lab, "run", "show", run)
    assert done.returncode == 1
    assert "done      hold-updates" in done.stdout
    assert "tscm-old: its updates are PAUSED" in done.stdout
    assert f"line {pause_line + 3} is damaged" in done.stderr
    assert "tscm-migrate run unlock HOST" in done.stderr
    # the remedy of the error: move the folder away; `run unlock` then lists what is still paused
    shutil.move(folder_of(lab, run), lab.folder / "away")
    unlocked = tool(lab, "run", "unlock", "tscm-old", "--inventory", str(lab.inventory))
    assert unlocked.returncode == 0, unlocked.stderr
    command = re.search(r"its updates are PAUSED.*: (sudo mv .*)$", unlocked.stdout, re.MULTILINE)
    assert command, unlocked.stdout
    assert lab.on("old", command[1].removeprefix("sudo ")).returncode == 0
    assert (lab.folder / CRON_ENTRY).exists()
    assert "PAUSED" not in tool(lab, "run", "unlock", "tscm-old", "--inventory", str(lab.inventory)).stdout
