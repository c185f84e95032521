"""Retention on the appliance: an archive is deleted only if a verified, identical copy is off-site."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tscm_migrate.errors import PruneRefused
from tscm_migrate.offsite import appliance_retention, catalog
from tscm_migrate.offsite.pull import PullOptions, pull
from tscm_migrate.offsite.retention import RetentionPolicy
from tscm_migrate.ssh.connect import NoSecrets, connect

if TYPE_CHECKING:
    from pathlib import Path

    from tscm_migrate.model import Host
    from tscm_migrate.offsite.stores.local import LocalStore
    from tscm_migrate.ssh.shell import Shell

pytestmark = pytest.mark.slow

NOW = datetime.now(UTC)
ONE = RetentionPolicy(last=1, daily=0, weekly=0, monthly=0, yearly=0, within=timedelta(0), unverified_for=timedelta(0))


def archives(backups: Path) -> list[int]:
    """Return the days of February that have an archive."""
    return sorted(int(path.name[26:28]) for path in backups.glob("threatstop_backup_2026-02-0*.gpg"))


def thin_results(shell: Shell, store: LocalStore, policy: RetentionPolicy = ONE) -> list[str]:
    plan = appliance_retention.plan(shell, catalog.load(store), policy, NOW)
    return [why for _, why in appliance_retention.thin(shell, store, plan)]


def test_archives_without_an_off_site_copy_are_kept(shell: Shell, store: LocalStore, backups: Path) -> None:
    pull(shell, store, PullOptions(), now=NOW)  # only the newest
    plan = appliance_retention.plan(shell, catalog.load(store), ONE, NOW)
    assert [one.verdict.reasons for one in plan] == [("newest verified",), *[("no verified copy off-site",)] * 2]
    assert thin_results(shell, store) == []
    assert archives(backups) == [1, 2, 3]


def test_archives_outside_the_policy_and_links_to_them_are_deleted(
    shell: Shell, store: LocalStore, backups: Path
) -> None:
    pull(shell, store, PullOptions("all"), now=NOW)
    assert (backups / "threatstop_latest.tsbak.gpg").is_symlink()
    assert thin_results(shell, store) == ["", ""]
    assert archives(backups) == [3]
    assert not (backups / "threatstop_latest.tsbak.gpg").is_symlink(), "its target is deleted"
    assert (backups / "notes.txt").exists()
    assert len(catalog.load(store).copies) == 3, "off-site copies are kept"


def test_an_archive_changed_since_its_copy_is_kept(shell: Shell, store: LocalStore, backups: Path) -> None:
    pull(shell, store, PullOptions("all"), now=NOW)
    with next(backups.glob("*02-01*")).open("ab") as file:
        file.write(b"more")
    assert sorted(thin_results(shell, store)) == ["", "it is not what was copied: it has changed since"]
    assert archives(backups) == [1, 3]


@pytest.mark.parametrize("how", ["flipped", "gone"])
def test_an_archive_is_kept_when_its_copy_is_damaged_or_missing(
    shell: Shell, store: LocalStore, backups: Path, tmp_path: Path, how: str
) -> None:
    pull(shell, store, PullOptions("all"), now=NOW)
    plan = appliance_retention.plan(shell, catalog.load(store), ONE, NOW)
    for path in (tmp_path / "store").rglob("*02-02*"):
        if not path.name.endswith(".json"):
            body = bytearray(path.read_bytes())
            body[9] ^= 1
            path.unlink() if how == "gone" else path.write_bytes(body)
    whys = [why for _, why in appliance_retention.thin(shell, store, plan)]
    assert sum("could not be read right" in why for why in whys) == 1
    assert archives(backups) == [2, 3]


def test_a_clock_set_back_stops_the_deletion(shell: Shell, store: LocalStore, backups: Path) -> None:
    pull(shell, store, PullOptions("all"), now=NOW)
    with pytest.raises(PruneRefused, match="went back"):
        appliance_retention.plan(shell, catalog.load(store), ONE, NOW - timedelta(days=1))
    assert archives(backups) == [1, 2, 3]


def test_an_unreachable_host_does_not_stop_the_other_hosts(host: Host, store: LocalStore, tmp_path: Path) -> None:
    with connect(host, credentials=NoSecrets()) as shell:
        pull(shell, store, PullOptions("all"), now=NOW)
    file = tmp_path / "hosts.toml"
    file.write_text(f"""
known_hosts = "{host.known_hosts}"
[defaults]
user = "{host.user}"
identity_file = "{host.identity_file}"
use_agent = false
[hosts.a-gone]
address = "127.0.0.1"
port = 1
[hosts.tscm-a]
address = "127.0.0.1"
port = {host.port}
[hosts.tscm-a.paths]
backup_dir = "{host.paths.backup_dir}"
tsadmin = "/bin/true"
hold_dir = "{tmp_path}/hold"
[offsite]
store = "{tmp_path}/store"
keep = {{ last = 1, daily = 0, weekly = 0, monthly = 0, yearly = 0, within = "0d" }}
""")
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path)}
    argv = [sys.executable, "-m", "tscm_migrate", "offsite", "prune", "--there", "--yes", "--inventory", str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100, check=False, env=env)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "a-gone: nothing more was deleted: " in done.stdout
    assert archives(tmp_path / "backup") == [3]
