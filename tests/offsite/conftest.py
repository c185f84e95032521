from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.contract.conftest import careless_s3, seaweed  # noqa: F401 - fixtures
from tests.harness.sshd import Sshd
from tests.support.incoming import encrypted, name_of
from tscm_migrate.model import Paths
from tscm_migrate.offsite.stores.local import LocalStore
from tscm_migrate.ssh.connect import NoSecrets, connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tscm_migrate.model import Host
    from tscm_migrate.ssh.shell import Shell


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    reason = Sshd.available()
    if reason:
        pytest.skip(reason)
    with Sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    """A backup folder with three archives and some other files."""
    folder = tmp_path / "backup"
    folder.mkdir()
    for day in (1, 2, 3):
        path = folder / name_of(datetime(2026, 2, day, tzinfo=UTC))
        path.write_bytes(encrypted(300_000, seed=day))
    (folder / "threatstop_latest.tsbak.gpg").symlink_to(folder / name_of(datetime(2026, 2, 1, tzinfo=UTC)))
    (folder / "threatstop_backup_2026-02-30_00_00_00.tsbak").write_bytes(b"no such day")
    (folder / "threatstop_backup_2027-01-01_00_00_00.tsbak\nx").write_bytes(b"hostile")
    (folder / "notes.txt").write_text("not an archive")
    return folder


@pytest.fixture
def host(sshd: Sshd, backups: Path) -> Host:
    return sshd.host("tscm-a", paths=Paths(backup_dir=str(backups), tsadmin="true"))


@pytest.fixture
def shell(host: Host) -> Iterator[Shell]:
    with connect(host, credentials=NoSecrets()) as made:
        yield made


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    (tmp_path / "store").mkdir()
    return LocalStore(tmp_path / "store")
