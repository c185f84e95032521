"""No more is taken than was announced, and what changes while it is copied is not complete; on real sshd's."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.contract.test_transfers import ALL, MB, Way, boxes, pair  # noqa: F401 - fixtures
from tests.support.pair import NAME, OTHER, Box, available
from tscm_migrate.errors import ArchiveChanged, MigrateError, TransferError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(available() is not None, reason=f"no pair of appliances: {available()}")


@pytest.fixture(
    params=[kind if kind in {"pull shell", "pull sftp"} else pytest.param(kind, marks=pytest.mark.slow) for kind in ALL]
)
def way(request: pytest.FixtureRequest, pair: tuple[Box, Box], tmp_path: Path) -> Way:  # noqa: F811
    made = Way(request.param, *pair, tmp_path / "here")
    made.folder.mkdir()
    return made


def nothing_kept(way: Way) -> None:
    assert not (way.there / NAME).exists()
    for part in (way.part(NAME), way.folder / "spool" / f".{NAME}.part"):
        assert not part.exists() or part.stat().st_size == 0


def test_more_than_was_listed_is_not_taken(way: Way) -> None:
    archive = way.old.put(NAME, 12 * MB)
    with pytest.raises(ArchiveChanged):
        way.send(replace(archive, size=200_000))
    nothing_kept(way)


def test_an_archive_that_grows_meanwhile_is_not_complete(way: Way) -> None:
    archive = way.old.put(NAME, 4 * MB)
    stop = threading.Event()

    def write() -> None:
        with (way.old.backups / NAME).open("ab") as file:
            while not stop.wait(0.02):
                file.write(b"more")
                file.flush()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while (way.old.backups / NAME).stat().st_size == archive.size:
            assert writer.is_alive()
            time.sleep(0.01)
        with pytest.raises(MigrateError, match=r"changed|announced|listing|written to|bytes on"):
            way.send(archive)
    finally:
        stop.set()
        writer.join()
    assert not (way.there / NAME).exists()


def test_a_change_that_leaves_the_size_is_one(pair: tuple[Box, Box], tmp_path: Path) -> None:  # noqa: F811
    """Written to between its hash and its final name: only the time tells."""
    way = Way("pull shell", *pair, tmp_path)
    archive = way.old.put(NAME, MB)
    real = (way.old.backups / NAME).read_bytes()
    fake = way.old.folder / "bin/cat"
    # the bytes that pass are the old ones, and so is what is hashed; the file gets others in the end
    fake.write_text(f'#!/bin/sh\n/bin/cat "$@"; sleep 1; /bin/touch {way.old.backups / NAME}\n')
    fake.chmod(0o755)
    with pytest.raises(ArchiveChanged, match="written to while it was copied"):
        way.send(archive)
    assert (way.old.backups / NAME).read_bytes() == real
    assert [p.name for p in tmp_path.iterdir() if NAME in p.name] == []


def test_a_disk_is_not_filled_by_what_a_stream_of_tar_has_more(pair: tuple[Box, Box], tmp_path: Path) -> None:  # noqa: F811
    way = Way("tar relay", *pair, tmp_path)
    archives = [way.old.put(NAME, 5), way.old.put(OTHER, 5)]
    fake = way.old.folder / "bin/tar"
    fake.write_text(f'#!/bin/sh\ntruncate -s 100M {way.old.backups / NAME}\nexec /bin/tar "$@"\n')
    fake.chmod(0o755)
    with pytest.raises(TransferError):
        way.send(*archives)
    assert sum(path.stat().st_size for path in way.there.iterdir()) < 1000
