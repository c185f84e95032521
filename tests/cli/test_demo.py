"""The command `demo`, with and without its interactive shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

embedded = pytest.importorskip("tscm_migrate.demo.embedded")
ROOT = Path(__file__).parents[2]


def run_demo(folder: Path, *options: str, script: str | None = None, limit: float) -> subprocess.CompletedProcess[str]:
    """Run the demo with its files below `folder`; `script` is the input of its shell."""
    if embedded.available():
        pytest.skip(embedded.available())
    return subprocess.run(
        [sys.executable, "-m", "tscm_migrate", "demo", *options],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        input=script or "",
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_demo_migrates_and_leaves_only_the_workstation_folder(tmp_path: Path) -> None:
    done = run_demo(tmp_path, limit=240)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "\nmigrate tscm-old → tscm-new" in done.stdout
    text = " ".join(done.stdout.split())
    assert "tscm-old goes offline and is replaced by tscm-new; estimated downtime of its " in text
    assert "\ndone: tscm-new serves at 127.0.1.43" in done.stdout
    assert "\x1b" not in done.stdout
    (folder,) = tmp_path.glob("tscm-demo-*")
    assert {p.name for p in folder.iterdir() if p.is_dir()} == {"workstation"}


SHELL_INPUT = """
tscm-migrate migrate --from tscm-old --to tscm-new --ticket CHG-4711 --approved-by "A. Lovelace" --yes >log 2>&1 &
timeout 200 sh -c 'until grep -q "done take-offline" log; do sleep 0.1; done'
kill -TERM $!
wait $!; echo "migrate: $?"
appliance
RUN=$(tscm-migrate run list | cut -d" " -f1)
tscm-migrate resume --yes >log2 2>&1; echo "resume: $?"
appliance
tscm-migrate rollback --run $RUN --yes >log3 2>&1; echo "rollback: $?"
appliance
tscm-migrate report bundle; echo "bundle: $?"
tscm-migrate report check tscm-run-$RUN.tar.gz; echo "check: $?"
tscm-migrate support bundle; echo "support: $?"
tscm-migrate run report --text | grep ticket
cat log log2 log3
"""


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_demo_shell_can_interrupt_resume_and_roll_back(tmp_path: Path) -> None:
    done = run_demo(tmp_path, "--interactive", script=SHELL_INPUT, limit=450)
    text = done.stdout + done.stderr
    for pattern in (
        "migrate: 5",
        r"tscm-old  off  does not answer\ntscm-new  .*\nresume: 0",  # on a slow machine, the run may have done one step more
        r"tscm-old  off  does not answer\ntscm-new  on   127\.0\.1\.43\nrollback: 0",
        r"tscm-old  on   127\.0\.1\.43\ntscm-new  on   127\.0\.1\.50\n",
        "bundle: 0\n",
        "ok  chain of the journal\n",
        "check: 0\n",
        "support: 0\n",
        "ticket: CHG-4711\n",
    ):
        assert re.search(pattern, text), text[-6000:]
