"""A known_hosts file that cannot be read stops a command; one that cannot be written does not stop a migration."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.harness import embedded
from tests.harness.profile import new_profile, old_profile
from tests.support.embedded_lab import needs_embedded_lab
from tests.support.migrations import PAIR, all_output
from tests.support.unprivileged import UNPRIVILEGED, WHY_NOT
from tscm_migrate.demo.base import tool_command

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.embedded import EmbeddedLab

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    needs_embedded_lab,
    pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)),
]


def tool(lab: EmbeddedLab, inventory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*UNPRIVILEGED, *tool_command(*words, "--inventory", str(inventory))],
        env={**lab.env(), "TSCM_PASSPHRASE": "pass phrase"}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=150, check=False,
    )  # fmt: skip


def test_known_hosts_file_that_cannot_be_read_or_written_is_reported(tmp_path: Path) -> None:
    old = old_profile(ts_update_seconds=0.2)
    with embedded.EmbeddedLab(tmp_path / "lab", old, new_profile(boot_seconds=0.2)) as lab:
        site = tmp_path / "site"
        site.mkdir()
        for name in ("hosts.toml", "known_hosts"):
            (site / name).write_text((lab.folder / name).read_text())
        (lab.folder / "workstation" / ".ssh" / "known_hosts").mkdir(
            parents=True
        )  # a folder, so that ~/.ssh/known_hosts cannot be read
        known = site / "known_hosts"
        known.chmod(0o000)
        for words in (("plan", "--checks-only", *PAIR), ("host", "pin", "tscm-old"), ("doctor",)):
            done = tool(lab, site / "hosts.toml", *words)
            assert f"{known}: cannot be read: Permission denied" in all_output(done)
            assert "Internal error" not in all_output(done)
        known.chmod(0o400)
        site.chmod(0o500)
        done = tool(lab, site / "hosts.toml", "migrate", *PAIR, "--yes", "--no-restore-ssh")
        site.chmod(0o700)
        assert done.returncode == 4, all_output(done)
        assert "attention: tscm-new serves at " in done.stdout
        assert f"pin the keys of tscm-new: {known}: cannot be written" in done.stderr
        assert "tscm-migrate host pin tscm-new" in done.stderr
