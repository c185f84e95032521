"""An entry of the journal is on the disk completely, or not at all, before `write` returns."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest

from tscm_migrate.errors import StateUnwritable
from tscm_migrate.migration import journal as j

if TYPE_CHECKING:
    from pathlib import Path

RUN = "20240501-030000-1a2b"


def test_file_and_then_its_folder_are_synchronised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = j.Journal.create(RUN, tmp_path)
    synced: list[tuple[bool, int]] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        about = os.fstat(descriptor)
        synced.append((stat.S_ISDIR(about.st_mode), about.st_size if stat.S_ISREG(about.st_mode) else 0))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    journal.write("run-started", run=RUN, old="a", new="b")
    size = journal.path.stat().st_size
    folder = [] if os.name == "nt" else [(True, 0)]
    assert synced == [(False, size), *folder], "the name of a new file must be on the disk, too"
    synced.clear()
    journal.write("noted", key="k", value=1)
    assert synced == [(False, journal.path.stat().st_size)]
    assert journal.path.stat().st_size > size


@pytest.mark.parametrize("fails", ["write", "fsync"])
def test_failed_write_leaves_the_file_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    journal = j.Journal.create(RUN, tmp_path)
    journal.write("run-started", run=RUN, old="a", new="b")
    before, write = journal.path.read_bytes(), os.write

    def half(descriptor: int, data: bytes) -> int:
        if len(data) < 40:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[: len(data) // 2])

    def refuse(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, fails, half if fails == "write" else refuse)
        with pytest.raises(StateUnwritable, match=str(journal.path.name)):
            journal.write("noted", key="k", value="v" * 200)
    assert journal.path.read_bytes() == before
    assert "k" not in journal.record.notes, "an entry that is not on the disk does not count"
    journal.write("noted", key="k", value=1)
    assert j.read(RUN, tmp_path)[0].notes == {"k": 1}


def test_line_written_in_pieces_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, write = j.Journal.create(RUN, tmp_path), os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
        journal.write("run-started", run=RUN, old="a", new="b", notes={"text": "x" * 100})
    assert j.read(RUN, tmp_path)[0].notes == {"text": "x" * 100}
