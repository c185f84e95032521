"""The journal: entries are chained; only an incomplete last line is tolerated."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.unprivileged import UNPRIVILEGED, WHY_NOT
from tscm_migrate.errors import JournalDamaged, JournalNewer, UsageError
from tscm_migrate.migration import journal as j
from tscm_migrate.migration import locks, run_list

if TYPE_CHECKING:
    from pathlib import Path


def made(root: Path, run: str = "r1") -> j.Journal:
    journal = j.Journal.create(run, root)
    journal.write("run-started", run=run, old="a", new="b", options={"to": "tscm-new"})
    journal.write("captured", step="hold-updates", undo={"in_place": True})
    journal.write("step-started", step="hold-updates")
    journal.write("noted", key="archive", value={"name": "ä\nb"})
    return journal


def test_written_entries_are_read(tmp_path: Path) -> None:
    journal = made(tmp_path)
    record, entries = j.read("r1", tmp_path)
    assert [entry.event for entry in entries] == ["run-started", "captured", "step-started", "noted"]
    assert record == journal.record
    assert record.notes["archive"] == {"name": "ä\nb"}


def test_incomplete_last_line_is_dropped(tmp_path: Path) -> None:
    made(tmp_path)
    path = tmp_path / "runs" / "r1" / "journal.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    journal = j.Journal.open("r1", tmp_path)
    assert "archive" not in journal.record.notes
    journal.write("step-done", step="hold-updates")
    record, entries = j.read("r1", tmp_path)
    assert [entry.n for entry in entries] == [0, 1, 2, 3]
    assert record.done == ["hold-updates"]


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_changed_bit_before_the_last_line_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, position: int, bit: int
) -> None:
    root = tmp_path_factory.mktemp("j")
    made(root)
    path = root / "runs" / "r1" / "journal.jsonl"
    raw = bytearray(path.read_bytes())
    end = raw.rindex(b"\n", 0, len(raw) - 1)
    raw[position % end] ^= 1 << bit
    path.write_bytes(bytes(raw))
    # a bit of the format's number makes it a later version's
    with pytest.raises((JournalDamaged, JournalNewer)) as caught:
        j.read("r1", root)
    assert "journal.jsonl" in caught.value.message()


def test_removed_line_is_an_error(tmp_path: Path) -> None:
    made(tmp_path)
    path = tmp_path / "runs" / "r1" / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"".join(lines[2:]))
    with pytest.raises(JournalDamaged):
        j.read("r1", tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="no modes there")
def test_journal_and_folder_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    journal = made(tmp_path)
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(journal.folder.stat().st_mode) == 0o700


def test_first_captured_state_is_kept(tmp_path: Path) -> None:
    journal = made(tmp_path)
    journal.write("captured", step="hold-updates", undo={"in_place": False})
    assert journal.record.undo["hold-updates"] == {"in_place": True}


def test_reverted_step_is_neither_done_nor_started(tmp_path: Path) -> None:
    journal = made(tmp_path)
    journal.write("step-done", step="hold-updates")
    journal.write("step-reverted", step="hold-updates")
    assert (journal.record.done, journal.record.started, journal.record.reverted) == ([], [], ["hold-updates"])


def test_unknown_run_is_refused_with_remedy(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        j.Journal.open("nope", tmp_path)
    assert "tscm-migrate run list" in caught.value.remedy()


def test_line_is_one_json_object_in_ascii(tmp_path: Path) -> None:
    path = made(tmp_path).path
    lines = path.read_bytes().splitlines()
    assert [json.loads(line.decode("ascii"))["n"] for line in lines] == [0, 1, 2, 3]


def test_runs_are_listed_with_the_newest_first(tmp_path: Path) -> None:
    for run in ("20260101-000000-aaaa", "20260301-000000-bbbb", "20260201-000000-cccc"):
        made(tmp_path, run)
    assert [run[:8] for run in j.runs(tmp_path)] == ["20260301", "20260201", "20260101"]


def test_first_line_contains_the_format(tmp_path: Path) -> None:
    _, entries = j.read(made(tmp_path).record.run, tmp_path)
    assert [entry.data.get("format") for entry in entries] == [j.FORMAT, None, None, None]


def test_later_format_is_not_reported_as_damage(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "r2"
    folder.mkdir(parents=True)
    line = {"n": 0, "t": "2030-01-01T00:00:00Z", "event": "run-started", "data": {"format": j.FORMAT + 1}, "chain": "x"}
    (folder / "journal.jsonl").write_text(json.dumps(line) + "\n")
    for read in (j.read, j.Journal.open):
        with pytest.raises(JournalNewer) as caught:
            read("r2", tmp_path)
        assert f"its format is {j.FORMAT + 1}" in caught.value.message()
    assert locks.unfinished("r2", tmp_path), "no other run may start"
    assert [line.state for line in run_list.listing(tmp_path)] == ["newer"]


@pytest.mark.slow
def test_rollback_refuses_a_step_of_a_later_version(tmp_path: Path) -> None:
    made(tmp_path).write("step-started", step="bless")
    env = {**os.environ, "TSCM_STATE": str(tmp_path), "TSCM_INVENTORY": str(tmp_path / "hosts.toml")}
    (tmp_path / "hosts.toml").write_text('[hosts.a]\naddress = "127.0.0.1"\n[hosts.b]\naddress = "127.0.0.2"\n')
    for verb in ("resume", "rollback"):
        words = [sys.executable, "-m", "tscm_migrate", verb, "r1", "--yes"]
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert "it has begun steps that this version does not have: bless" in done.stderr
        assert "(journal.newer, exit code 1)" in done.stderr


def test_mistyped_run_gets_a_suggestion(tmp_path: Path) -> None:
    made(tmp_path, "20260101-000000-aaaa")
    with pytest.raises(UsageError) as caught:
        j.read("20260101-00000-aaaa", tmp_path)
    assert "did you mean '20260101-000000-aaaa'?" in caught.value.message()


@pytest.mark.parametrize("name", ["", ".", "..", "../runs/r1", "r1/"])
def test_invalid_run_id_is_refused(tmp_path: Path, name: str) -> None:
    made(tmp_path)
    with pytest.raises(UsageError):
        j.read(name, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
@pytest.mark.parametrize("closed", ["runs/r1/journal.jsonl", "runs/r1", "runs"])
def test_unreadable_run_is_reported_with_its_path(tmp_path: Path, closed: str) -> None:
    made(tmp_path)
    made(tmp_path, "r2")
    (tmp_path / closed).chmod(0o000)
    env = {**os.environ, "TSCM_STATE": str(tmp_path)}

    def tool(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [*UNPRIVILEGED, sys.executable, "-m", "tscm_migrate", *words]
        return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)

    try:
        for words in (
            ("run", "show", "r1"),
            ("run", "report", "--text", "r1"),
            ("resume", "r1", "--yes"),
            ("rollback", "r1", "--yes"),
        ):
            done = tool(*words)
            assert done.returncode == 1
            assert f"{tmp_path / 'runs'}" in done.stderr
            assert "cannot be read: Permission denied" in done.stderr
            assert "(journal.unreadable, exit code 1)" in done.stderr
        if closed != "runs":
            states = {line.split()[0]: line.split()[1] for line in tool("run", "list").stdout.splitlines()}
            assert states == {"r1": "unreadable", "r2": "unfinished"}
    finally:
        (tmp_path / closed).chmod(0o700)
