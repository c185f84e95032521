"""An sftp:// store that is a host of the inventory; its host key is checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.sshd import Sshd

pytestmark = pytest.mark.slow


@pytest.fixture
def inventory(sshd: Sshd, tmp_path: Path, backups: Path) -> Path:
    (tmp_path / "store").mkdir()
    text = f"""
known_hosts = "{sshd.known_hosts}"
[defaults]
user = "{sshd.user}"
identity_file = "{sshd.client_key}"
use_agent = false
port = {sshd.port}
[hosts.tscm-a]
address = "127.0.0.1"
[hosts.tscm-a.paths]
backup_dir = "{backups}"
tsadmin = "/bin/true"
[hosts.vault]
address = "127.0.0.1"
[groups]
appliances = ["tscm-a"]
[offsite]
store = "sftp://vault{tmp_path}/store"
"""
    path = tmp_path / "hosts.toml"
    path.write_text(text)
    return path


def offsite(inventory: Path, *args: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "tscm_migrate", "offsite", *args, "--inventory", str(inventory)]
    env = {**os.environ, "XDG_STATE_HOME": str(inventory.parent / "state"), "XDG_CONFIG_HOME": str(inventory.parent)}
    return subprocess.run(argv, capture_output=True, text=True, timeout=100, check=False, env=env)


@pytest.mark.slow
def test_copies_are_pulled_verified_and_pruned_over_sftp(inventory: Path) -> None:
    pulled = offsite(inventory, "pull", "--group", "appliances", "--archive", "all")
    assert pulled.returncode == 0, pulled.stdout + pulled.stderr
    assert len(offsite(inventory, "list", "--json").stdout.splitlines()) == 3
    assert offsite(inventory, "verify").stdout.count("ok") == 3
    text = (
        inventory.read_text()
        + '[offsite.keep]\nlast = 1\ndaily = 0\nweekly = 0\nmonthly = 0\nyearly = 0\nwithin = "1s"\n'
    )
    inventory.write_text(text)
    pruned = offsite(inventory, "prune")
    assert pruned.returncode == 0, pruned.stdout + pruned.stderr
    (left,) = [json.loads(line) for line in offsite(inventory, "list", "--json").stdout.splitlines()]
    assert left["archive"] == "threatstop_backup_2026-02-03_00_00_00.tsbak.gpg"
    stored = [path for path in (inventory.parent / "store").rglob("*") if path.is_file()]
    assert len([path for path in stored if "archives" in path.parts]) == 2
    assert all(path.stat().st_mode & 0o077 == 0 for path in stored)


def test_a_store_without_a_pinned_host_key_is_refused(inventory: Path, tmp_path: Path) -> None:
    (tmp_path / "other_known_hosts").write_text("# nothing\n")
    lines = inventory.read_text().splitlines()
    lines[1] = f'known_hosts = "{tmp_path / "other_known_hosts"}"'
    inventory.write_text("\n".join(lines))
    done = offsite(inventory, "list")
    assert done.returncode == 12
    assert "host pin" in done.stderr


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('rpo = "soon"', "offsite.rpo"),
        ('rpoo = "36h"', "rpo"),
        ("jobs = 0", "offsite.jobs"),
        ('recipients = ["ops@example.test"]', "fingerprint"),
        ("[offsite.keep]\ndayly = 3", "daily"),
        ('[offsite.keep]\nzone = "Mars/Base"', "time zone"),
        ('[offsite.hosts.tscm-b]\nrpo = "1h"', "tscm-a"),
    ],
)
def test_a_wrong_setting_is_reported_with_its_name(inventory: Path, line: str, expected: str) -> None:
    inventory.write_text(inventory.read_text() + line + "\n")
    done = offsite(inventory, "pull", "--host", "tscm-a")
    assert done.returncode in {1, 2}, done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
