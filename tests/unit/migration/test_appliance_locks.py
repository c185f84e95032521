"""The locks on the appliances: who gets one, who is refused, and what a new connection is checked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.local_shell import RUN, LocalShell, appliance_of, as_shell, host_below, migration, posix_only
from tscm_migrate.appliance import lockfile
from tscm_migrate.appliance.lockfile import ApplianceLock
from tscm_migrate.errors import AddressUnclear, ConnectionLost, Locked
from tscm_migrate.events import Event, Message
from tscm_migrate.migration import journal, locks

if TYPE_CHECKING:
    from pathlib import Path

    from tscm_migrate.migration.context import Migration

pytestmark = posix_only
OTHER = "20240401-030000-9f9f"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Migration, list[Event]]:
    """A run whose two appliances are folders of this machine."""
    monkeypatch.setenv("TSCM_STATE", str(tmp_path / "state"))
    m, seen = migration(tmp_path / "state")
    for role, appliance in (("old", m.old), ("new", m.new)):
        (tmp_path / role).mkdir()
        host = host_below(tmp_path / role, appliance.name, appliance.host.address)
        appliance.moved(host, as_shell(LocalShell(host)))
    return m, seen


def lock_of(path: Path) -> ApplianceLock | None:
    file = path / "hold" / "lock"
    return ApplianceLock.parse(file.read_text(encoding="utf-8")) if file.exists() else None


def put(path: Path, lock: ApplianceLock) -> None:
    (path / "hold").mkdir(exist_ok=True)
    (path / "hold" / "lock").write_text(lock.text() + "\n", encoding="utf-8")


def ended(root: Path, *, started: bool, outcome: str = "") -> None:
    made = journal.Journal.create(OTHER, root)
    made.write("run-started", run=OTHER, old="tscm-old", new="tscm-new")
    if started:
        made.write("step-started", step="hold-updates")
    if outcome:
        made.write("run-ended", outcome=outcome)


def test_both_appliances_are_locked_in_their_role_and_unlocked(run: Any, tmp_path: Path) -> None:
    m, _ = run
    locks.take(m, m.old, m.new)
    for role in ("old", "new"):
        found = lock_of(tmp_path / role)
        assert found is not None
        assert (found.run, found.role, found.workstation) == (RUN, role, locks.workstation_id())
    assert m.journal.record.locked == ["tscm-old", "tscm-new"]
    locks.take(m, m.old, m.new)  # a resume finds its own
    locks.release(m)
    assert lock_of(tmp_path / "old") is None
    assert lock_of(tmp_path / "new") is None
    assert m.journal.record.locked == []


def test_first_appliance_is_unlocked_when_the_second_is_refused(run: Any, tmp_path: Path) -> None:
    m, _ = run
    theirs = ApplianceLock(OTHER, "new", "anna@elsewhere", "another workstation", 1, "2024")
    put(tmp_path / "new", theirs)
    with pytest.raises(Locked, match=OTHER) as refused:
        locks.take(m, m.old, m.new)
    assert "anna@elsewhere" in refused.value.message()
    assert lock_of(tmp_path / "old") is None
    assert lock_of(tmp_path / "new") == theirs
    assert m.journal.record.locked == []


@pytest.mark.parametrize(
    ("started", "outcome", "replaced"),
    [(True, "done", True), (False, "", True), (True, "", False), (True, "interrupted", False)],
)
def test_lock_of_a_dead_run_is_replaced_only_if_the_run_is_finished(
    run: Any, tmp_path: Path, *, started: bool, outcome: str, replaced: bool
) -> None:
    m, seen = run
    ended(tmp_path / "state", started=started, outcome=outcome)
    put(tmp_path / "old", ApplianceLock(OTHER, "old", workstation=locks.workstation_id()))
    if not replaced:
        with pytest.raises(Locked, match=OTHER):
            locks.take(m, m.old)
        return
    locks.take(m, m.old)
    found = lock_of(tmp_path / "old")
    assert found is not None
    assert found.run == RUN
    assert any(isinstance(event, Message) and OTHER in event.text for event in seen)


def test_lock_of_a_live_run_is_not_replaced(run: Any, tmp_path: Path) -> None:
    m, _ = run
    ended(tmp_path / "state", started=True, outcome="done")
    put(tmp_path / "old", ApplianceLock(OTHER, "old", workstation=locks.workstation_id()))
    with locks.local_locks(OTHER, []), pytest.raises(Locked):
        locks.take(m, m.old)


@pytest.mark.parametrize("other", [("new", None), ("old", "another workstation")])
def test_lock_of_another_role_or_workstation_is_refused(
    run: Any, tmp_path: Path, other: tuple[str, str | None]
) -> None:
    m, _ = run
    role, workstation = other
    put(tmp_path / "old", ApplianceLock(RUN, role, workstation=workstation or locks.workstation_id()))
    with locks.local_locks(RUN, []), pytest.raises(Locked):
        locks.take(m, m.old)


@pytest.mark.parametrize(
    ("found", "refused"),
    [
        (ApplianceLock(RUN, "new"), True), (ApplianceLock(RUN, "old"), False), (ApplianceLock(RUN, ""), False),
        (ApplianceLock(OTHER, "new"), False), (None, False),
    ],
)  # fmt: skip
def test_connection_to_the_other_appliance_of_the_run_is_refused(
    run: Any, tmp_path: Path, found: ApplianceLock | None, *, refused: bool
) -> None:
    m, _ = run
    locks.take(m, m.old)
    check = m.old.vet
    assert check is not None
    (tmp_path / "there").mkdir()
    if found is not None:
        put(tmp_path / "there", found)
    shell = as_shell(LocalShell(host_below(tmp_path / "there", "tscm-old")))
    if refused:
        with pytest.raises(AddressUnclear, match="the new appliance answers"):
            check(shell)
    else:
        check(shell)


def test_short_task_locks_an_appliance_and_is_refused_during_a_run(run: Any, tmp_path: Path) -> None:
    m, _ = run
    appliance = appliance_of(LocalShell(host_below(tmp_path / "old", "tscm-old")))
    with locks.alone(appliance, "schedule"):
        found = lockfile.read(appliance)
        assert found is not None
        assert found.run.startswith("schedule-")
        with pytest.raises(Locked), locks.alone(appliance, "backup"):
            pass
    assert lockfile.read(appliance) is None
    locks.refuse_locked(appliance)
    locks.take(m, m.old)
    with locks.local_locks(RUN, []):
        with pytest.raises(Locked, match=RUN), locks.alone(appliance, "backup"):
            pass
        with pytest.raises(Locked, match=RUN):
            locks.refuse_locked(appliance)
    assert lockfile.read(appliance) is not None


@pytest.mark.parametrize(
    ("state", "force", "removed", "told"),
    [
        ("free", False, True, "tscm-old is not locked"),
        ("stale", False, True, "it has ended"),
        ("unfinished", False, False, "alive=False"),
        ("unfinished", True, True, "it has ended"),
        ("elsewhere", False, False, "alive=True"),
        ("elsewhere", True, True, "forced: make sure that it has ended"),
    ],
)
def test_lock_is_removed_if_its_run_has_ended_or_by_force(
    run: Any, tmp_path: Path, state: str, told: str, *, force: bool, removed: bool
) -> None:
    m, seen = run
    if state != "free":
        ended(tmp_path / "state", started=True, outcome="done" if state == "stale" else "")
        workstation = "another workstation" if state == "elsewhere" else locks.workstation_id()
        put(tmp_path / "old", ApplianceLock(OTHER, "old", "anna@desk", workstation, 77, "2024-04-01"))
    if removed:
        locks.remove(m.old, seen.append, force=force)
        (message,) = [event for event in seen if isinstance(event, Message)]
        assert told in message.text
        assert message.level == ("warning" if "forced" in told else "info")
        assert state == "free" or f"run {OTHER} of anna@desk, pid 77, since 2024-04-01" in message.text
    else:
        with pytest.raises(Locked, match=OTHER) as refused:
            locks.remove(m.old, seen.append, force=force)
        assert f"alive={refused.value.alive}" == told
    assert (lock_of(tmp_path / "old") is None) == removed


def test_paused_updates_are_reported_with_the_command_to_resume_them(run: Any, tmp_path: Path) -> None:
    m, seen = run
    aside = tmp_path / "old" / "hold" / "held" / "multidevice-core"
    aside.parent.mkdir(parents=True)
    aside.write_text("* * * * * root ts-update\n")
    locks.remove(m.old, seen.append, force=False)
    (warning,) = [event for event in seen if isinstance(event, Message) and event.level == "warning"]
    assert "its updates are PAUSED" in warning.text
    assert warning.text.endswith(f"sudo mv {aside} {m.old.host.paths.cron_entry}")


def test_lock_that_cannot_be_removed_is_reported_with_a_command(run: Any, tmp_path: Path) -> None:
    m, seen = run
    locks.take(m, m.old)
    seen.clear()
    lost = LocalShell(m.old.host, recorded={"": Lost()})
    m.old.moved(m.old.host, as_shell(lost))
    locks.release(m)
    (message,) = [event for event in seen if isinstance(event, Message)]
    assert "tscm-old keeps its lock" in message.text
    assert message.text.endswith("tscm-migrate run unlock tscm-old")
    assert m.journal.record.locked == ["tscm-old"]


class Lost:
    """A command whose connection is lost."""

    def __call__(self) -> str:
        raise ConnectionLost("tscm-old", "gone")


def test_only_connected_appliances_locked_by_this_run_are_unlocked(run: Any, tmp_path: Path) -> None:
    m, _ = run
    locks.take(m, m.old)
    put(tmp_path / "new", ApplianceLock(OTHER, "new"))
    assert m.old.vet is not None
    locks.release(m)
    assert m.old.vet is None, "its connections are not checked any more"
    assert lock_of(tmp_path / "old") is None
    assert lock_of(tmp_path / "new") is not None


def test_short_task_is_refused_during_an_unfinished_run_without_a_lock(run: Any, tmp_path: Path) -> None:
    assert run
    ended(tmp_path / "state", started=True)
    appliance = appliance_of(LocalShell(host_below(tmp_path / "old", "tscm-old")))
    with pytest.raises(Locked, match=OTHER), locks.alone(appliance, "schedule"):
        pass
    assert lock_of(tmp_path / "old") is None
