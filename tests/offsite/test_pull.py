"""Pulls from a real sshd: each archive is stored once and complete; a failure leaves no incomplete copy."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.support.incoming import NOW, encrypted, name_of, plain
from tscm_migrate.errors import (
    ApplianceError,
    ArchiveEmpty,
    ArchiveRefused,
    CommandTimeout,
    CopyDamaged,
    ListingFailed,
    PlaintextRefused,
)
from tscm_migrate.events import Event, Message
from tscm_migrate.model import Paths
from tscm_migrate.offsite import catalog
from tscm_migrate.offsite.freshness import judge
from tscm_migrate.offsite.pull import PullOptions, pull
from tscm_migrate.offsite.upload import CopyPolicy
from tscm_migrate.ssh.connect import NoSecrets, connect

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.sshd import Sshd
    from tscm_migrate.model import Host
    from tscm_migrate.offsite.stores.local import LocalStore
    from tscm_migrate.ssh.shell import Shell

LATEST = PullOptions()
pytestmark = pytest.mark.slow


def newest(backups: Path) -> Path:
    return backups / "threatstop_backup_2026-02-03_00_00_00.tsbak.gpg"


def test_the_newest_archive_by_name_is_stored_completely(shell: Shell, store: LocalStore, backups: Path) -> None:
    done = pull(shell, store, LATEST, now=NOW)
    (copy,) = catalog.load(store).copies
    assert done.outcome == "stored"
    assert copy.manifest.archive == newest(backups).name
    assert copy.manifest.sha256 == hashlib.sha256(newest(backups).read_bytes()).hexdigest()
    assert copy.manifest.taken_at.isoformat() == "2026-02-03T00:00:00+00:00"
    assert b"".join(store.read(copy.manifest.data)) == newest(backups).read_bytes()


def test_an_archive_listed_larger_than_any_backup_is_refused_unread(
    shell: Shell, store: LocalStore, backups: Path
) -> None:
    """For such a size, an object store would need upload parts too large for the memory."""
    os.truncate(newest(backups), (64 << 30) + 1)  # sparse
    with pytest.raises(ArchiveRefused, match="more than any backup"):
        pull(shell, store, LATEST, now=NOW)
    assert len(pull(shell, store, PullOptions("all"), now=NOW).copies) == 2


def test_a_manifest_contains_no_terminal_control_characters(host: Host, store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "os").write_text('ID=x\nPRETTY_NAME="Ubuntu \x1b]52;c;eA==\x07\x9b2J20\u202e.04"\n')
    with connect(
        replace(host, paths=replace(host.paths, os_release=str(tmp_path / "os"))), credentials=NoSecrets()
    ) as s:
        pull(s, store, LATEST, now=NOW)
    assert catalog.load(store).copies[0].manifest.os == "Ubuntu 20.04"


def test_all_pulls_all_archives_with_valid_names(shell: Shell, store: LocalStore) -> None:
    done = pull(shell, store, PullOptions(archive="all"), now=NOW)
    assert [copied.manifest.archive[18:28] for copied in done.copies] == ["2026-02-03", "2026-02-02", "2026-02-01"]


def test_a_second_pull_transfers_nothing(shell: Shell, store: LocalStore) -> None:
    pull(shell, store, PullOptions(archive="all"), now=NOW)
    keys = sorted(entry.key for entry in store.entries())
    assert pull(shell, store, PullOptions(archive="all"), now=NOW).outcome == "already"
    assert sorted(entry.key for entry in store.entries()) == keys


def test_a_changed_archive_is_stored_in_addition(shell: Shell, store: LocalStore, backups: Path) -> None:
    events: list[Event] = []
    pull(shell, store, LATEST, now=NOW)
    newest(backups).write_bytes(encrypted(1000, seed=99))
    assert pull(shell, store, LATEST, now=NOW, emit=events.append).outcome == "stored"
    assert len(catalog.load(store).copies) == 2
    assert any(isinstance(event, Message) and "changed since" in event.text for event in events)


def test_a_damaged_copy_is_replaced(shell: Shell, store: LocalStore) -> None:
    first = pull(shell, store, LATEST, now=NOW).copies[0].manifest
    (store.root / first.data).unlink()
    assert pull(shell, store, LATEST, now=NOW).outcome == "stored"
    (copy,) = catalog.load(store).copies
    assert copy.verified_at
    assert copy.manifest.data != first.data


def test_an_unverified_copy_is_verified_by_the_next_pull(shell: Shell, store: LocalStore) -> None:
    pull(shell, store, PullOptions(copying=CopyPolicy(verify="size")), now=NOW)
    assert pull(shell, store, LATEST, now=NOW + timedelta(days=1)).outcome == "already"
    assert catalog.load(store).copies[0].verified_at == NOW + timedelta(days=1)


@pytest.mark.parametrize("name", ["none.tsbak", "../../etc/passwd", "notes.txt", "threatstop_latest.tsbak.gpg", "-rf"])
def test_a_name_that_is_not_an_archive_is_refused(shell: Shell, store: LocalStore, name: str) -> None:
    with pytest.raises(ApplianceError, match="there is no such archive"):
        pull(shell, store, PullOptions(archive=name), now=NOW)


def test_a_host_without_archives_is_reported_with_a_remedy(shell: Shell, store: LocalStore, backups: Path) -> None:
    for path in backups.iterdir():
        path.unlink()
    with pytest.raises(ApplianceError, match="tsadmin backup"):
        pull(shell, store, LATEST, now=NOW)


def test_an_unencrypted_archive_is_refused_where_encryption_is_required(
    shell: Shell, store: LocalStore, backups: Path
) -> None:
    newest(backups).write_bytes(plain(500_000))
    with pytest.raises(PlaintextRefused):
        pull(shell, store, PullOptions(copying=CopyPolicy(require_encryption=True)), now=NOW)
    assert list(store.entries()) == []


def test_a_pull_from_a_slow_host_ends_at_the_timeout(
    sshd: Sshd, store: LocalStore, backups: Path, tmp_path: Path
) -> None:
    shim = tmp_path / "bin"
    shim.mkdir()
    (shim / "cat").write_text("#!/bin/sh\nwhile :; do echo drip; sleep 0.1; done\n")
    (shim / "cat").chmod(0o755)
    host = sshd.host("tscm-a", paths=Paths(backup_dir=str(backups), tsadmin="true"))
    with connect(host, credentials=NoSecrets()) as shell:
        dripping = _with_path(shell, shim)
        with pytest.raises(CommandTimeout, match="not done after"):
            pull(dripping, store, PullOptions(limit=1.0), now=NOW)
    assert list(store.entries()) == []


def test_bytes_changed_in_transit_are_noticed(shell: Shell, store: LocalStore, tmp_path: Path) -> None:
    shim = tmp_path / "bin"
    shim.mkdir()
    (shim / "cat").write_text("#!/bin/sh\n/bin/cat | tr 'a' 'b'\n")
    (shim / "cat").chmod(0o755)
    with pytest.raises(CopyDamaged, match="not those"):
        pull(_with_path(shell, shim), store, LATEST, now=NOW)
    assert list(store.entries()) == []


def test_an_archive_that_is_being_written_does_not_stop_the_others(
    shell: Shell, store: LocalStore, backups: Path
) -> None:
    events: list[Event] = []
    empty = backups / "threatstop_backup_2026-02-04_00_00_00.tsbak.gpg"
    empty.touch()
    with pytest.raises(ArchiveEmpty, match="0 bytes"):
        pull(shell, store, LATEST, now=NOW)
    target = newest(backups)
    writing = subprocess.Popen(
        ["sh", "-c", f"while sleep 0.01; do head -c 5000 /dev/zero; done >> {shlex.quote(str(target))}"]
    )
    try:
        done = pull(shell, store, PullOptions(archive="all"), now=NOW, emit=events.append)
    finally:
        writing.kill()
        writing.wait(60)
    assert [name[18:28] for name, _ in done.failed] == ["2026-02-04", "2026-02-03"]
    assert [error.code for _, error in done.failed] == ["appliance.empty-archive", "offsite.damaged"]
    assert [copy.manifest.archive[18:28] for copy in catalog.load(store).copies] == ["2026-02-02", "2026-02-01"]
    assert sum(isinstance(event, Message) and "was not stored" in event.text for event in events) == 2


def test_an_archive_removed_after_the_listing_does_not_stop_the_others(
    shell: Shell, store: LocalStore, backups: Path
) -> None:
    """A purge may run meanwhile; the archives have copies, so they are hashed on the appliance first."""
    pull(shell, store, PullOptions(archive="all"), now=NOW)
    names = sorted(path.name for path in backups.glob("threatstop_backup_*"))
    done = pull(cast("Shell", _PurgedShell(shell, backups / names[0])), store, PullOptions(archive="all"), now=NOW)
    assert [(name, error.code) for name, error in done.failed] == [(names[0], "appliance")]
    assert [copied.outcome for copied in done.copies] == ["already", "already"]


def test_a_missing_backup_folder_is_reported(sshd: Sshd, store: LocalStore, tmp_path: Path) -> None:
    host = sshd.host("tscm-b", paths=Paths(backup_dir=str(tmp_path / "none"), tsadmin="true"))
    with connect(host, credentials=NoSecrets()) as shell, pytest.raises(ListingFailed, match="does not exist"):
        pull(shell, store, LATEST, now=NOW)


def test_the_time_zone_of_a_name_follows_from_the_file_time(shell: Shell, store: LocalStore, backups: Path) -> None:
    for path in backups.glob("threatstop_backup_2026-02-0*.gpg"):
        path.unlink()
    made = NOW - timedelta(hours=1)
    for zone in (9, -8):
        path = backups / name_of(made + timedelta(hours=zone))
        path.write_bytes(encrypted(1000, seed=zone))
        os.utime(path, (made.timestamp() + 20,) * 2)
        pull(shell, store, LATEST, now=NOW)
        (status,) = judge(catalog.load(store), ["tscm-a"], lambda _: timedelta(hours=2), NOW)
        assert (status.state, status.age) == ("fresh", timedelta(hours=1))
        path.unlink()


class _ShellWithPath:
    """A shell with another folder first in PATH."""

    def __init__(self, shell: Shell, folder: Path) -> None:
        self._shell, self._folder = shell, folder
        self.host = shell.host

    def run(self, script: str, **more: Any) -> Any:
        return self._shell.run(script, **more)

    def reader(self, script: str, **more: Any) -> Any:
        return self._shell.reader(f"PATH={self._folder}:$PATH; {script}", **more)


class _PurgedShell(_ShellWithPath):
    """A shell of an appliance that removes a file when the first archive is hashed."""

    def run(self, script: str, **more: Any) -> Any:
        if "sha256sum" in more["display"]:
            self._folder.unlink(missing_ok=True)
        return super().run(script, **more)


def _with_path(shell: Shell, folder: Path) -> Any:
    return _ShellWithPath(shell, folder)


def test_concurrent_pulls_make_one_copy(host: Host, store: LocalStore, backups: Path) -> None:
    newest(backups).write_bytes(encrypted(8_000_000))
    start = threading.Barrier(3)
    outcomes: list[str] = []

    def run() -> None:
        with connect(replace(host), credentials=NoSecrets()) as shell:
            start.wait(30)
            outcomes.append(pull(shell, store, LATEST, now=NOW).outcome)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(outcomes) == 3
    assert "stored" in outcomes
    (copy,) = catalog.load(store).copies
    assert not copy.damaged
    assert b"".join(store.read(copy.manifest.data)) == newest(backups).read_bytes()
