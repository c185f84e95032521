"""The record computed from the entries of a journal: state, time, notes, steps and locks; and finding runs."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tscm_migrate.errors import JournalDamaged, StateUnreadable, StateUnwritable, UsageError
from tscm_migrate.inventory.read import load
from tscm_migrate.migration import journal as j
from tscm_migrate.migration.journal import JournalEntry, RunRecord
from tscm_migrate.migration.resume import inventory_of
from tscm_migrate.options import MigrateOptions
from tscm_migrate.util import private, redact

DAY = "2024-05-01T03:"
RUN = "20240501-030000-1a2b"


def record_of(*entries: tuple[str, str, dict[str, Any]]) -> RunRecord:
    """Return the record after these entries, each with minute and second, event, and data."""
    record = RunRecord()
    for n, (at, event, data) in enumerate(entries):
        record.apply(JournalEntry(n, f"{DAY}{at}.000Z" if at else "", event, data))
    return record


def started(at: str = "00:00", **more: Any) -> tuple[str, str, dict[str, Any]]:
    return at, "run-started", {"run": RUN, "old": "tscm-old", "new": "tscm-new", **more}


def test_first_entry_has_the_run_its_appliances_and_options() -> None:
    record = record_of(started(options={"yes": True}, notes={"key": 1}))
    assert (record.run, record.old, record.new, record.verb) == (RUN, "tscm-old", "tscm-new", "migrate")
    assert (record.options, record.notes, record.began) == ({"yes": True}, {"key": 1}, f"{DAY}00:00.000Z")
    assert record_of(started(verb="rehearse")).verb == "rehearse"


@pytest.mark.parametrize(
    ("entries", "state"),
    [
        ([], "nothing begun"),
        ([("00:01", "step-started", {"step": "one"})], "unfinished"),
        ([("00:01", "step-started", {"step": "one"}), ("00:02", "run-ended", {"outcome": "done"})], "done"),
        ([("00:01", "step-started", {"step": "one"}), ("00:02", "run-ended", {"outcome": "interrupted"})], "interrupted"),
        ([("00:02", "run-ended", {"outcome": "interrupted"})], "undone"),
        ([("00:02", "run-ended", {"outcome": "rolled-back"})], "rolled-back"),
        ([("00:02", "run-ended", {})], "nothing begun"),
    ],
)  # fmt: skip
def test_state_of_a_run_is_its_outcome_or_its_progress(
    entries: list[tuple[str, str, dict[str, Any]]], state: str
) -> None:
    assert record_of(started(), *entries).state == state


@pytest.mark.parametrize(("verb", "state"), [("rehearse", "rehearsed"), ("prompts learn", "rehearsed"), ("", "rolled-back")])  # fmt: skip
def test_rolled_back_rehearsal_has_the_state_rehearsed(verb: str, state: str) -> None:
    assert record_of(started(verb=verb), ("00:02", "run-ended", {"outcome": "rolled-back"})).state == state


def test_resumed_run_has_no_outcome_and_another_verb() -> None:
    first = (started(), ("00:01", "step-started", {"step": "one"}), ("00:02", "run-ended", {"outcome": "interrupted"}))
    resumed = record_of(*first, ("00:03", "run-resumed", {}))
    assert (resumed.outcome, resumed.verb, resumed.step) == ("", "resume", "")
    assert record_of(*first, ("00:03", "rollback-started", {})).verb == "rollback"


def test_time_of_a_run_is_the_sum_of_its_sessions() -> None:
    sessions = [started("00:00"), ("00:10", "noted", {"key": "k", "value": 1})]
    assert record_of(*sessions).total_seconds == 10.0, "a session that has not ended counts to its last entry"
    sessions += [("05:00", "run-resumed", {})]  # the first one was killed
    assert record_of(*sessions).total_seconds == 10.0
    sessions += [("05:30", "run-ended", {"outcome": "interrupted"})]
    record = record_of(*sessions)
    assert (record.seconds, record.total_seconds, record.session_began) == (40.0, 40.0, "")
    sessions += [("09:00", "rollback-started", {}), ("09:50", "run-ended", {"outcome": "rolled-back", "seconds": 7.5})]
    assert record_of(*sessions).total_seconds == 47.5, "a session records its time without the questions"
    assert record_of(*sessions, ("10:00", "run-ended", {"outcome": "done", "seconds": 9})).total_seconds == 47.5


def test_clock_set_back_or_missing_subtracts_no_time() -> None:
    assert record_of(started("10:00"), ("05:00", "noted", {"key": "k", "value": 1})).total_seconds == 0.0
    assert record_of(started("10:00"), ("", "noted", {"key": "k", "value": 1})).total_seconds == 0.0


def test_note_of_a_step_is_removed_with_the_step() -> None:
    def note(key: str) -> tuple[str, str, dict[str, Any]]:
        return "00:01", "noted", {"key": key, "value": key.upper()}

    begun = [started(), ("00:00", "step-started", {"step": "one"}), note("a")]
    assert record_of(*begun).owners == {"a": "one"}
    for end in ("step-done", "step-failed", "step-revert-failed"):
        record = record_of(*begun, ("00:02", end, {"step": "one", "error": "no room"}), note("b"))
        assert record.owners == {"a": "one"}, "a note after the end of the step is kept"
        assert record.failed == ("" if end == "step-done" else "no room")
        assert (
            record_of(*begun, ("00:02", end, {"step": "one"}), ("00:03", "step-reverted", {"step": "one"})).notes == {}
        )
    other = [("00:02", "step-started", {"step": "two"}), note("b"), ("00:04", "step-reverted", {"step": "one"})]
    record = record_of(*begun, *other)
    assert (record.notes, record.owners) == ({"b": "B"}, {"b": "two"})


def test_steps_and_locks_are_ordered_without_duplicates() -> None:
    entries = [
        ("00:01", "step-started", {"step": "one"}), ("00:01", "step-started", {"step": "one"}),
        ("00:02", "step-done", {"step": "one", "skipped": "it is there"}), ("00:02", "step-done", {"step": "one"}),
        ("00:03", "locked", {"host": "tscm-old"}), ("00:03", "locked", {"host": "tscm-old"}),
        ("00:03", "locked", {"host": "tscm-new"}), ("00:04", "unlocked", {"host": "tscm-old"}),
        ("00:04", "unlocked", {"host": "tscm-old"}), ("00:05", "of a later version", {}),
    ]  # fmt: skip
    record = record_of(started(), *entries)
    assert (record.started, record.done, record.skipped) == (["one"], ["one"], {"one": "it is there"})
    assert record.locked == ["tscm-new"]
    undone = record_of(started(), *entries, ("00:06", "step-reverted", {"step": "one"}))
    assert (undone.started, undone.done, undone.reverted) == ([], [], ["one"])
    again = record_of(started(), *entries, ("00:06", "step-reverted", {"step": "one"}), entries[0])
    assert (again.started, again.reverted) == (["one"], [])


def made(root: Path, run: str = RUN) -> j.Journal:
    journal = j.Journal.create(run, root)
    journal.write("run-started", run=run, old="tscm-old", new="tscm-new")
    journal.write("step-started", step="one")
    return journal


def test_unwritten_event_counts_in_this_process_only(tmp_path: Path) -> None:
    journal = made(tmp_path)
    before = journal.path.read_bytes()
    journal.remember("step-reverted", step="one")
    assert journal.record.reverted == ["one"]
    assert journal.path.read_bytes() == before
    journal.write("noted", key="k", value=1)
    assert j.read(RUN, tmp_path)[0].notes == {"k": 1}, "the next entry has the next number"


def test_journal_of_a_dry_run_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    journal = j.Journal.nowhere()
    journal.write("step-started", step="one")
    assert journal.record.started == ["one"]
    assert list(tmp_path.iterdir()) == []


def test_damaged_journal_is_read_up_to_the_damage(tmp_path: Path) -> None:
    journal = made(tmp_path)
    journal.write("step-done", step="one")
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole.replace(b"step-done", b"step-dons") + b'{"n": 3')
    record, entries, damage = j.read_up_to_damage(RUN, tmp_path)
    assert (record.started, record.done, len(entries)) == (["one"], [], 2)
    assert isinstance(damage, JournalDamaged)
    assert "line 3" in damage.message()
    assert RUN in damage.remedy() + damage.message()
    parsed, again = j.parse(journal.path.read_bytes(), journal.path)
    assert (parsed, str(again)) == (entries, str(damage))
    with pytest.raises(JournalDamaged):
        j.Journal.open(RUN, tmp_path)
    assert j.parse(whole, journal.path)[1] is None


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.replace(b'"n": 1', b'"n": 2'),
        lambda line: line.replace(b'"sum": "', b'"sum": "0'),
        lambda line: b"[]\n",
        lambda line: b'{"n": 1, "t": "", "event": "step-started", "data": {}}\n',
        lambda line: b"null\n",
    ],
    ids=["number", "checksum", "list", "without a checksum", "null"],
)
def test_line_out_of_order_is_damage(tmp_path: Path, change: Any) -> None:
    journal = made(tmp_path)
    first, second = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(first + change(second))
    with pytest.raises(JournalDamaged):
        j.read(RUN, tmp_path)


def test_existing_run_cannot_be_created_again(tmp_path: Path) -> None:
    made(tmp_path)
    with pytest.raises(StateUnwritable, match=RUN):
        j.Journal.create(RUN, tmp_path)


def test_run_id_contains_the_start_time() -> None:
    one, other = (j.new_run_id(datetime(2024, 5, 1, 3, 0, 7, tzinfo=UTC)) for _ in range(2))
    assert one[:16] == other[:16] == "20240501-030007-"
    assert len(one) == len(other) == 20
    assert j.new_run_id()[:8] >= "20240501"


def test_only_folders_with_a_journal_are_runs(tmp_path: Path) -> None:
    assert list(j.runs(tmp_path)) == []
    made(tmp_path)
    (tmp_path / "runs" / "empty").mkdir()
    (tmp_path / "runs" / "file").write_text("")
    assert list(j.runs(tmp_path)) == [RUN]


@pytest.mark.parametrize("call", ["iterdir", "is_file"])
def test_unlistable_runs_are_an_error_and_unreadable_ones_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    made(tmp_path)

    def refuse(_self: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, call, refuse)
    if call == "iterdir":
        with pytest.raises(StateUnreadable, match="runs"):
            list(j.runs(tmp_path))
        return
    assert list(j.runs(tmp_path)) == [RUN], "the error is raised when the run is read"
    with pytest.raises(StateUnreadable, match=RUN):
        j.read(RUN, tmp_path)


def test_state_folder_that_is_a_file_is_an_error_and_a_missing_one_is_not(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert list(j.runs(state)) == []
    state.mkdir()
    (state / "runs").write_text("a file")
    with pytest.raises(StateUnreadable, match="runs"):
        list(j.runs(state))


def test_unknown_run_is_a_usage_error_also_without_any_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no run"):
        j.read(RUN, tmp_path)


def test_times_are_rounded_to_milliseconds() -> None:
    ended = ("01:00", "run-ended", {"outcome": "done", "seconds": 7.12345})
    assert record_of(started(), ended).total_seconds == 7.123


def test_first_line_has_format_one(tmp_path: Path) -> None:
    assert b'"data": {"format": 1,' in made(tmp_path).path.read_bytes()


@pytest.mark.parametrize(
    ("error", "why"),
    [(OSError(errno.EACCES, "Permission denied"), "Permission denied"), (OSError("the share is away"), "the share is away")],
    ids=["with a number", "without one"],
)  # fmt: skip
@pytest.mark.parametrize("call", ["mkdir", "open", "read_bytes", "iterdir", "is_file", "write"])
def test_system_error_is_shown_without_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: OSError, why: str
) -> None:
    journal = made(tmp_path)

    def refuse(*_: Any, **__: Any) -> Any:
        raise error

    another, mkdir = "20240501-040000-3c4d", Path.mkdir

    def refuse_one(self: Path, *words: Any, **more: Any) -> None:
        return refuse() if self.name == another else mkdir(self, *words, **more)

    calls: dict[str, Any] = {
        "mkdir": lambda: j.Journal.create(another, tmp_path),
        "open": lambda: j.Journal.open(RUN, tmp_path),
        "iterdir": lambda: list(j.runs(tmp_path)),
        "write": lambda: journal.write("noted", key="k", value=1),
    }
    with monkeypatch.context() as patched:
        if call == "open":  # it can be read, and cannot be written
            raw = journal.path.read_bytes()
            patched.setattr(Path, "read_bytes", lambda _: raw)
        patched.setattr(os if call == "write" else Path, call, refuse_one if call == "mkdir" else refuse)
        with pytest.raises((StateUnreadable, StateUnwritable)) as caught:
            calls.get(call, lambda: j.read(RUN, tmp_path))()
    assert isinstance(caught.value, StateUnwritable) == (call in {"mkdir", "open", "write"})
    assert why in caught.value.message()
    assert "Errno" not in caught.value.message()


def test_no_descriptor_stays_open_after_a_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = j.Journal.create(RUN, tmp_path)
    opened, closed = list[int](), list[int]()
    really_open, really_close = os.open, os.close

    def note_open(*words: Any, **more: Any) -> int:
        opened.append(really_open(*words, **more))
        return opened[-1]

    def note_close(descriptor: int) -> None:
        closed.append(descriptor)
        really_close(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", note_open)
        patched.setattr(os, "close", note_close)
        journal.write("run-started", run=RUN, old="tscm-old", new="tscm-new")
    assert opened == closed
    assert len(opened) == (1 if os.name == "nt" else 2), "the file, and its folder because the file is new"


def test_opened_journal_has_the_record_of_its_entries(tmp_path: Path) -> None:
    record = made(tmp_path).record
    assert j.Journal.open(RUN, tmp_path).record == record
    assert record.started == ["one"]


def test_inventory_is_a_file_that_still_exists(tmp_path: Path) -> None:
    file = tmp_path / "hosts.toml"
    record = record_of(started(notes={"inventory": str(file)}))
    assert record.inventory is None
    file.touch()
    assert record.inventory == file
    assert record_of(started()).inventory is None


def test_another_inventory_is_not_used_instead_of_one_that_no_longer_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TSCM_STATE", str(tmp_path))
    file = tmp_path / "hosts.toml"
    journal = j.Journal.create(RUN, tmp_path)
    journal.write("run-started", run=RUN, old="tscm-old", new="tscm-new", notes={"inventory": str(file)})
    with pytest.raises(UsageError, match="no longer exists") as refused:
        inventory_of(RUN, verb="roll back")
    assert refused.value.remedy() == f"name the file: tscm-migrate rollback {RUN} --inventory FILE"
    assert inventory_of(RUN, verb="roll back", given="other.toml") == "other.toml"
    file.touch()
    assert inventory_of(RUN, verb="roll back") == file


def test_path_of_the_inventory_is_journalled_also_if_a_secret_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redact, "known", redact.Redactor())
    file = tmp_path / "Kunde-Zw9-nord" / "hosts.toml"
    private.folder(file.parent)
    private.write(file, '[hosts.tscm-old]\naddress = "10.1.1.43"\n')
    redact.known.add("Kunde-Zw9-nord")
    inventory = load(file)
    options = MigrateOptions.parse({"to": "tscm-new", "archive": "offsite:Kunde-Zw9-nord/x.tsbak"})
    journal = j.Journal.create(RUN, tmp_path)
    journal.write("run-started", run=RUN, old="", new="", notes={"inventory": str(inventory.path)},
                  options={"archive": options.archive})  # fmt: skip
    record, _ = j.read(RUN, tmp_path)
    assert record.inventory == file
    assert record.options["archive"] == options.archive
    assert redact.outside("refused: Kunde-Zw9-nord") == f"refused: {redact.BLANK}"
