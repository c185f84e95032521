"""The demo as a new user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

embedded = pytest.importorskip("tscm_migrate.demo.embedded")
ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_demo_migrates_says_so_and_leaves_only_its_report(tmp_path: Path) -> None:
    if embedded.available():
        pytest.skip(embedded.available())
    import os

    done = subprocess.run(
        [sys.executable, "-m", "tscm_migrate", "demo"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "\nmigrate tscm-old → tscm-new" in done.stdout
    assert "\ndone after" in done.stdout
    assert "\x1b" not in done.stdout
    (folder,) = tmp_path.glob("tscm-demo-*")
    assert {p.name for p in folder.iterdir() if p.is_dir()} == {"workstation"}
