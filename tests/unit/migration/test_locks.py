"""One run at a time on this workstation: locks of the operating system, which end with their process."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from tests.support.unprivileged import UNPRIVILEGED, WHY_NOT
from tscm_migrate.appliance.lockfile import ApplianceLock
from tscm_migrate.errors import Locked, StateUnwritable
from tscm_migrate.migration import journal, locks
from tscm_migrate.model import Host

if TYPE_CHECKING:
    from pathlib import Path

RUN = "20240501-030000-1a2b"
HOSTS = (Host("tscm-old", "10.1.1.43"), Host("tscm-new", "10.1.1.50"))
HOLDER = """
import sys
from pathlib import Path
from tscm_migrate.migration import locks
from tscm_migrate.model import Host
with locks.local_locks(sys.argv[2], [Host("tscm-new", "10.1.1.50")], Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    """Start another process that has tscm-new locked."""
    words = [sys.executable, "-c", HOLDER, str(tmp_path), RUN]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_second_process_is_refused_with_the_owner_of_the_lock(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(Locked) as refused, locks.local_locks("other", HOSTS, tmp_path):
        pass
    assert refused.value.host == "tscm-new"
    assert refused.value.run == RUN
    assert f"pid {holder.pid}" in refused.value.message()
    holder.communicate("")
    with locks.local_locks("other", HOSTS, tmp_path):
        pass


def test_lock_of_a_killed_process_is_free(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    found = locks.new_lock(RUN, "old", tmp_path)
    assert not locks.proved_dead(found, tmp_path)
    os.kill(holder.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    holder.communicate()
    assert locks.proved_dead(found, tmp_path)


def test_run_of_another_workstation_always_counts_as_alive(tmp_path: Path) -> None:
    elsewhere = locks.new_lock(RUN, "old", tmp_path / "elsewhere")
    assert not locks.proved_dead(elsewhere, tmp_path / "here")
    assert not locks.proved_dead(ApplianceLock(), tmp_path)


def begun(root: Path, run: str, *, started: bool, outcome: str = "") -> journal.Journal:
    made = journal.Journal.create(run, root)
    made.write("run-started", run=run, old="tscm-old", new="tscm-new")
    if started:
        made.write("step-started", step="hold-updates")
    if outcome:
        made.write("run-ended", outcome=outcome)
    return made


@pytest.mark.parametrize(
    ("started", "outcome", "refused"),
    [(True, "", True), (True, "interrupted", True), (False, "", False), (True, "done", False)],
)
def test_run_over_an_unfinished_run_is_refused(tmp_path: Path, *, started: bool, outcome: str, refused: bool) -> None:
    begun(tmp_path, RUN, started=started, outcome=outcome)
    locks.refuse_over_unfinished("another-host", root=tmp_path)
    with pytest.raises(Locked, match=RUN) if refused else nullcontext():
        locks.refuse_over_unfinished("tscm-new", root=tmp_path)


def test_notes_of_a_step_are_removed_when_it_is_reverted(tmp_path: Path) -> None:
    made = begun(tmp_path, RUN, started=False)
    made.write("captured", step="backup", undo={"a": 1})
    made.write("step-started", step="backup")
    made.write("noted", key="archive", value={"name": "x"})
    made.write("step-done", step="backup")
    made.write("noted", key="kept", value=1)
    made.write("step-reverted", step="backup")
    record, _ = journal.read(RUN, tmp_path)
    assert record.notes == {"kept": 1}
    assert record.undo == {"backup": {"a": 1}}, "the captured state is kept"
    assert (record.started, record.done, record.reverted) == ([], [], ["backup"])


@pytest.mark.skipif(not hasattr(os, "pwrite"), reason="a file size limit is POSIX")
def test_full_disk_leaves_no_partial_line(tmp_path: Path) -> None:
    import resource

    made = begun(tmp_path, RUN, started=True)
    before = made.path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 40, hard))  # room for half a line
        with pytest.raises(StateUnwritable):
            made.write("noted", key="k", value="v" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert made.path.read_bytes() == before
    made.write("noted", key="k", value=1)
    assert journal.read(RUN, tmp_path)[0].notes == {"k": 1}


@pytest.mark.skipif(os.name == "nt", reason="no modes there")
def test_state_folder_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    root = tmp_path / "state" / "tscm-migrate"
    begun(root, RUN, started=True)
    with locks.local_locks(RUN, HOSTS, root):
        folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
        assert {path.name for path in folders} == {"tscm-migrate", "runs", RUN, "locks"}
        assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}


@pytest.mark.slow
@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
def test_killed_run_is_shown_on_a_read_only_disk(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    begun(tmp_path, RUN, started=True)
    locks.workstation_id(tmp_path)
    os.kill(holder.pid, signal.SIGKILL)  # its lock file stays
    holder.communicate()
    folders = [tmp_path, *(path for path in tmp_path.rglob("*") if path.is_dir())]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    for path in (*files, *folders):
        path.chmod(0o500 if path in folders else 0o400)
    try:
        assert "unfinished" in tool(tmp_path, "run", "list").stdout
        assert "tscm-migrate rollback" in tool(tmp_path, "run", "show", RUN).stdout
        assert "unfinished" in tool(tmp_path, "run", "report", "--text", RUN).stdout
        code = (
            "import sys; from pathlib import Path; from tscm_migrate.migration import locks\n"
            "root = Path(sys.argv[1]); print(len(locks.workstation_id(root)))\n"
            "try: locks.is_running(sys.argv[2], root)\n"
            "except locks.StateUnwritable as error: print(error)\n"
        )
        words = [*UNPRIVILEGED, sys.executable, "-c", code, str(tmp_path), RUN]
        said = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
        assert said[0] == "16"
        assert said[1].endswith(".lock cannot be written: Permission denied"), "it is unknown whether the run is alive"
    finally:
        for path in folders:
            path.chmod(0o700)


def tool(state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [*UNPRIVILEGED, sys.executable, "-m", "tscm_migrate", *words]
    env = {**os.environ, "TSCM_STATE": str(state)}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done


def test_workstation_id_is_kept_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    made = locks.workstation_id(tmp_path)
    assert len(made) == 16
    assert locks.workstation_id(tmp_path) == made
    assert [path.name for path in tmp_path.iterdir()] == ["workstation-id"]


def test_same_private_address_behind_two_jump_hosts_is_two_appliances(tmp_path: Path) -> None:
    first, second = (Host(name, "192.168.1.10", gateway=Host(name, f"{name}.example")) for name in ("lyon", "turin"))
    with locks.local_locks(RUN, [first], tmp_path):
        with locks.local_locks("other", [second], tmp_path):
            pass
        with pytest.raises(Locked), locks.local_locks("third", [first], tmp_path):
            pass


def test_local_locks_are_free_and_removed_at_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "locks"
    with locks.local_locks(RUN, HOSTS, tmp_path):
        shown = {path.name for path in folder.glob("*.json")}
        assert shown == {"10.1.1.43_22.json", "10.1.1.50_22.json", f"run-{RUN}.json"}
        about = ApplianceLock.parse((folder / "10.1.1.43_22.json").read_text())
        assert (about.run, about.pid, about.owner.partition("@")[0]) == (RUN, os.getpid(), locks.user_name())
    assert list(folder.glob("*.json")) == []
    assert list(folder.glob("run-*")) == []


def test_unwritable_lock_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "10.1.1.43_22.lock").mkdir()
    with (
        pytest.raises(StateUnwritable, match=r"10\.1\.1\.43_22.lock cannot be written: \w+ "),
        locks.local_locks(RUN, HOSTS, tmp_path),
    ):
        pass


def test_user_id_without_a_name_is_shown_as_question_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr("getpass.getuser", unknown)
    assert locks.user_name() == "?"


def test_first_of_two_workstation_ids_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_late(_made: Path, path: Path) -> None:
        path.write_text("0123456789abcdef")
        raise FileExistsError(17, "File exists")

    monkeypatch.setattr(os, "link", too_late)
    assert locks.workstation_id(tmp_path) == "0123456789abcdef"
    assert [path.name for path in tmp_path.iterdir()] == ["workstation-id"]


def test_state_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StateUnwritable):
        locks.workstation_id(tmp_path / "state")


def test_run_with_damaged_journal_counts_as_unfinished(
    tmp_path: Path,
) -> None:
    assert not locks.unfinished(RUN, tmp_path)
    path = begun(tmp_path, RUN, started=True, outcome="attention").path
    assert not locks.unfinished(RUN, tmp_path)
    path.write_bytes(path.read_bytes().replace(b"attention", b"attentiom"))
    assert locks.unfinished(RUN, tmp_path)
    locks.refuse_over_unfinished("tscm-old", root=tmp_path)  # whose it is cannot be read: the appliances' locks count
    begun(tmp_path, "20240301-030000-0000", started=True)
    with pytest.raises(Locked, match="20240301") as refused:
        locks.refuse_over_unfinished("tscm-old", root=tmp_path)
    assert (refused.value.host, refused.value.alive) == ("tscm-old", False)


def test_unreadable_workstation_id_is_an_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "workstation-id").mkdir()
    with pytest.raises(StateUnwritable, match=r"workstation-id cannot be written: \w+"):
        locks.workstation_id(tmp_path)
