"""Archives that change while they are copied, or exceed their announced size, are refused; on real sshd's."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.contract.test_transfers import ALL, MB, TransferCase, boxes, pair  # noqa: F401 - fixtures
from tests.support.pair import NAME, OTHER, Box, available
from tscm_migrate.errors import ArchiveChanged, MigrateError, TransferError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(available() is not None, reason=f"no pair of appliances: {available()}")


@pytest.fixture(
    params=[kind if kind in {"pull shell", "pull sftp"} else pytest.param(kind, marks=pytest.mark.slow) for kind in ALL]
)
def transfer(request: pytest.FixtureRequest, pair: tuple[Box, Box], tmp_path: Path) -> TransferCase:  # noqa: F811
    made = TransferCase(request.param, *pair, tmp_path / "here")
    made.folder.mkdir()
    return made


def assert_nothing_stored(transfer: TransferCase) -> None:
    assert not (transfer.target / NAME).exists()
    for partial_file in (transfer.partial_file(NAME), transfer.folder / "spool" / f".{NAME}.part"):
        assert not partial_file.exists() or partial_file.stat().st_size == 0


def test_an_archive_larger_than_listed_is_refused(transfer: TransferCase) -> None:
    archive = transfer.old.put(NAME, 12 * MB)
    with pytest.raises(ArchiveChanged):
        transfer.send(replace(archive, size=200_000))
    assert_nothing_stored(transfer)


def test_an_archive_that_grows_during_the_copy_is_refused(transfer: TransferCase) -> None:
    archive = transfer.old.put(NAME, 4 * MB)
    stop = threading.Event()

    def write() -> None:
        with (transfer.old.backups / NAME).open("ab") as file:
            while not stop.wait(0.02):
                file.write(b"more")
                file.flush()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while (transfer.old.backups / NAME).stat().st_size == archive.size:
            assert writer.is_alive()
            time.sleep(0.01)
        with pytest.raises(MigrateError, match=r"changed|announced|listing|written to|bytes on"):
            transfer.send(archive)
    finally:
        stop.set()
        writer.join()
    assert not (transfer.target / NAME).exists()


def test_a_change_of_the_same_size_is_noticed(pair: tuple[Box, Box], tmp_path: Path) -> None:  # noqa: F811
    """The file is written to between its hash and its rename: only its modification time shows it."""
    transfer = TransferCase("pull shell", *pair, tmp_path)
    archive = transfer.old.put(NAME, MB)
    real = (transfer.old.backups / NAME).read_bytes()
    fake = transfer.old.folder / "bin/cat"
    # the copied and hashed bytes are unchanged; only the modification time changes
    fake.write_text(f'#!/bin/sh\n/bin/cat "$@"; sleep 1; /bin/touch {transfer.old.backups / NAME}\n')
    fake.chmod(0o755)
    with pytest.raises(ArchiveChanged, match="written to while it was copied"):
        transfer.send(archive)
    assert (transfer.old.backups / NAME).read_bytes() == real
    assert [p.name for p in tmp_path.iterdir() if NAME in p.name] == []


def test_a_tar_stream_longer_than_announced_does_not_fill_the_disk(pair: tuple[Box, Box], tmp_path: Path) -> None:  # noqa: F811
    transfer = TransferCase("tar relay", *pair, tmp_path)
    archives = [transfer.old.put(NAME, 5), transfer.old.put(OTHER, 5)]
    fake = transfer.old.folder / "bin/tar"
    fake.write_text(f'#!/bin/sh\ntruncate -s 100M {transfer.old.backups / NAME}\nexec /bin/tar "$@"\n')
    fake.chmod(0o755)
    with pytest.raises(TransferError):
        transfer.send(*archives)
    assert sum(path.stat().st_size for path in transfer.target.iterdir()) < 1000
