"""Interrupted runs: killed, signals, a full disk, no terminal, two runs at once, a host without power."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.harness import matrix
from tests.harness.faults import ENVIRONMENT_FAULTS
from tests.harness.rig import Rig, differences
from tests.support.kills import assert_as_before, assert_ends_well
from tests.support.migrations import needed

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.rig import State

pytestmark = needed(600)

HOLD = "action-started hold-updates"
SENT = "action-started transfer"
GONE = "step-done take-offline"


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with matrix.lab(tmp_path_factory.mktemp("cut")) as lab:
        yield Rig(lab, ("--no-rehearsal",))


@pytest.fixture
def rig(used: Rig) -> Rig:
    used.fresh()
    return used


@pytest.fixture(scope="module")
def base(used: Rig) -> matrix.Undisturbed:
    return matrix.undisturbed(used)


def event(base: matrix.Undisturbed, about: str) -> int:
    """Return the number of the first event with this description in the journal of a run without faults."""
    return next(point.n for point in base.points if point.about == about)


# A fixed part of the matrix; `invoke matrix` runs all of it.
RESUMED = (
    ("after", "run-started"),
    ("before", "action-done hold-updates"),
    ("before", "noted archive"),
    ("after", "noted offline_began"),
    ("before", "noted first_pass"),
    ("before", "noted restored"),
    ("after", "noted devices"),
)
ROLLED_BACK = (
    ("after", "locked tscm-new"),
    ("before", "action-done transfer"),
    ("before", "noted first_pass"),
    ("after", "run-ended"),
)


@pytest.mark.parametrize(("when", "about"), RESUMED)
def test_a_resumed_killed_run_ends_like_an_undisturbed_run(
    used: Rig, base: matrix.Undisturbed, when: str, about: str
) -> None:
    assert_ends_well(used, matrix.Point(event(base, about), when, about), "resume", base)


@pytest.mark.parametrize(("when", "about"), ROLLED_BACK)
def test_a_rolled_back_killed_run_restores_the_earlier_state(
    used: Rig, base: matrix.Undisturbed, when: str, about: str
) -> None:
    assert_ends_well(used, matrix.Point(event(base, about), when, about), "rollback", base)


def assert_undone(rig: Rig, before: State, message: object) -> None:
    assert_as_before(rig, before, message)
    assert rig.lab.on("old", "ls /var/lib/tscm-migrate 2>&1").returncode != 0, "the lock is gone with the run"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_stops_after_the_current_action_and_undoes_all_changes(
    base: matrix.Undisturbed, rig: Rig, name: str
) -> None:
    before = rig.state()
    done = rig.migrate([{"kind": "signal", "n": event(base, HOLD), "when": "after", "signal": name}])
    assert done.status == 5, done.text
    assert "all changes were undone" in done.text
    assert name in done.text
    actions_done = [e for e in rig.events() if e["event"] == "action-done"]
    assert actions_done, "the current action was finished"
    assert_undone(rig, before, done.text)  # type: ignore[arg-type]


def test_a_run_whose_changes_were_undone_can_be_resumed(base: matrix.Undisturbed, rig: Rig) -> None:
    before = rig.state()
    done = rig.migrate([{"kind": "signal", "n": event(base, SENT), "when": "after"}])
    assert done.status == 5, done.text
    run = json.loads(rig.run("run", "list", "--json").out)[0]
    assert run["state"] == "undone"
    again = rig.run("resume", run["run"], "--yes")
    assert again.status == 0, again.text
    assert not differences(base.end, rig.state().relative_to(before))


def test_a_second_signal_stops_at_once_and_reports_what_is_paused(base: matrix.Undisturbed, rig: Rig) -> None:
    done = rig.migrate([{"kind": "signal", "n": event(base, HOLD) + 2, "when": "after", "times": 2}])
    assert done.status == 5, done.text
    last = done.out.strip().splitlines()[-3:]
    undone = any("undone" in line for line in last)
    paused = any("PAUSED" in line and "rollback" in line for line in last)
    assert undone or paused, done.text
    assert rig.lab.on("old", "test -e /etc/cron.d/multidevice-core").returncode == (0 if undone else 1)


def test_a_cron_entry_restored_before_the_power_off_is_paused_again(base: matrix.Undisturbed, rig: Rig) -> None:
    """If it is switched on later, its updates must not start."""
    before, restore_entry = rig.state(), ENVIRONMENT_FAULTS["cron entry comes back"].cause
    done = rig.migrate_and_pause(event(base, "step-done assure"), "after", lambda lab: restore_entry(lab, "old"))
    assert done.status == 0, done.text
    assert "multidevice-core was restored meanwhile" in done.text
    assert not differences(base.end, rig.state().relative_to(before)), done.text


def test_an_old_appliance_off_before_the_cutover_is_not_contacted(base: matrix.Undisturbed, rig: Rig) -> None:
    """With a hook that switches it off, it is not asked for anything; that no host answers is checked all the same."""
    before = rig.state()
    rig.migrate([{"kind": "kill", "n": event(base, "captured take-offline"), "when": "after"}])
    inventory = rig.lab.inventory
    inventory.write_text(inventory.read_text().replace("[hooks]", '[hooks]\noffline = "true"'))
    rig.lab.power_off("old")
    done = rig.run("resume", "--yes")
    assert done.status == 0, done.text
    assert not differences(base.end, rig.state().relative_to(before)), done.text


def test_a_cron_entry_restored_after_the_pause_stops_the_run(base: matrix.Undisturbed, rig: Rig) -> None:
    before, restore_entry = rig.state(), ENVIRONMENT_FAULTS["cron entry comes back"].cause
    done = rig.migrate_and_pause(event(base, "step-done hold-updates"), "after", lambda lab: restore_entry(lab, "old"))
    assert done.status == 1, done.text
    assert "was restored" in done.text
    assert_undone(rig, before, done.text)  # type: ignore[arg-type]


def test_a_copy_damaged_after_the_cutover_is_reported_and_rolled_back(base: matrix.Undisturbed, rig: Rig) -> None:
    before = rig.state()
    done = rig.migrate_and_pause(
        event(base, GONE), "after", lambda lab: ENVIRONMENT_FAULTS["newest archive damaged"].cause(lab, "new")
    )
    assert done.status == 5, done.text
    assert "was damaged after its verification" in done.text
    assert "tscm-migrate rollback" in done.text
    back = rig.run("rollback", "--yes")
    assert back.status == 0, back.text
    kept = {"new archives": "as on old", "new archives more": 0}  # the rollback keeps the copied archive on tscm-new
    assert not differences(before.relative_to(before), {**rig.state().relative_to(before), **kept}), back.text


def test_an_interrupt_after_the_cutover_names_resume_and_rollback(base: matrix.Undisturbed, rig: Rig) -> None:
    done = rig.migrate([{"kind": "signal", "n": event(base, GONE), "when": "after"}])
    assert done.status == 5, done.text
    run = str(rig.events()[0]["data"]["run"])
    assert f"tscm-migrate resume {run}" in done.text
    assert f"tscm-migrate rollback {run}" in done.text
    assert "OFFLINE" in done.text
    assert "PAUSED" in done.text
    shown = rig.run("run", "show", run)
    assert "OFFLINE" in shown.out
    refused = rig.migrate()  # another run must not start
    assert refused.status == 3, refused.text
    assert run in refused.text
    assert rig.run("resume", "--yes").status == 0


def test_a_closed_standard_output_does_not_end_a_run(rig: Rig) -> None:
    process = rig.start(*rig.arguments())
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    assert process.wait(200) == 0, errors
    assert rig.events()[-1]["data"]["outcome"] == "done"


def test_closed_outputs_do_not_change_the_exit_code(rig: Rig) -> None:
    process = rig.start("run", "show", "no-such-run", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stderr.close()
    assert process.wait(60) == 2


@pytest.mark.parametrize("about", [HOLD, SENT])
def test_a_full_state_folder_stops_the_run_and_undoes_all_changes(
    base: matrix.Undisturbed, rig: Rig, about: str
) -> None:
    before = rig.state()
    done = rig.migrate([{"kind": "full", "n": event(base, about), "count": 1000}])
    assert done.status == 1, done.text
    assert "No space left" in done.text
    assert_undone(rig, before, done.text)  # type: ignore[arg-type]
    announced = [e["data"]["describes"] for e in rig.events() if e["event"] == "action-started"]
    assert len(announced) < 12, "each action is written to the disk before it starts"


def start_paused(rig: Rig, n: int, folder: Path) -> subprocess.Popen[str]:
    """Start a migration that pauses at event n."""
    folder.mkdir()
    process = rig.start(*rig.arguments(), plan=[{"kind": "pause", "n": n, "when": "after", "folder": str(folder)}])
    deadline = time.monotonic() + 120
    while not (folder / "paused").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def test_a_second_run_is_refused_with_the_owner_of_the_lock(base: matrix.Undisturbed, rig: Rig, tmp_path: Path) -> None:
    process = start_paused(rig, event(base, HOLD), tmp_path / "p")
    mine = rig.migrate()
    other_state = {"TSCM_STATE": str(tmp_path / "other")}
    another = rig.lab.run_tool(*rig.arguments(), env={"TSCM_PASSPHRASE": "x y", **other_state})  # another workstation
    unlock = rig.lab.run_tool("run", "unlock", "tscm-old", env=other_state)
    (tmp_path / "p" / "go").touch()
    first = rig.finish(process)
    assert first.status == 0, first.text
    run = str(rig.events()[0]["data"]["run"])
    for refused in ((mine.status, mine.text), (another.returncode, another.stdout + another.stderr)):
        assert refused[0] == 3, refused
        assert run in refused[1]
        assert f"pid {process.pid}" in refused[1]
    assert unlock.returncode == 3, "a run that may be alive keeps its lock"
    assert "--force" in unlock.stderr


def test_a_lock_of_another_workstation_needs_force(rig: Rig, tmp_path: Path) -> None:
    rig.migrate([{"kind": "kill", "n": 2, "when": "after"}])
    other = {"TSCM_STATE": str(tmp_path / "other"), "TSCM_PASSPHRASE": "x y"}
    assert rig.lab.run_tool("run", "unlock", "tscm-old", env=other).returncode == 3
    for name in ("tscm-old", "tscm-new"):
        assert rig.lab.run_tool("run", "unlock", name, "--force", env=other).returncode == 0
    assert rig.lab.on("old", "ls -A /var/lib/tscm-migrate 2>/dev/null").stdout == ""


@pytest.mark.parametrize(
    ("name", "about"),
    [
        ("old", "step-started backup"),
        ("new", "action-started verify"),
        ("new", "action-started restore-network"),
        ("new", "action-started update-devices"),
    ],
)
def test_a_run_with_a_power_cut_can_be_resumed(
    used: Rig, base: matrix.Undisturbed, tmp_path: Path, name: str, about: str
) -> None:
    used.fresh()
    before = used.state()
    process = start_paused(used, event(base, about), tmp_path / "p")
    used.lab.power_off(name)
    (tmp_path / "p" / "go").touch()
    first = used.finish(process)
    assert first.status in (1, 5), first.text
    used.lab.power_on(name)
    again = used.run("resume", "--yes")
    assert again.status == 0, again.text
    expected, now = dict(base.end), used.state().relative_to(before)
    if first.status == 1:  # it was undone, so the resume made another backup; the copy of the first one is kept
        expected.pop("new archives more"), now.pop("new archives more")
    assert not differences(expected, now), again.text
    assert not used.leaks()
    assert not used.collisions()


def test_an_incomplete_last_line_is_ignored_and_a_changed_line_is_reported(rig: Rig) -> None:
    rig.migrate([{"kind": "kill", "n": 20, "when": "after"}])
    run = str(rig.events()[0]["data"]["run"])
    file = rig.runs_folder() / run / "journal.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600
    journal = file.read_bytes()
    file.write_bytes(journal + b'{"n": 21, "t": "2024')
    assert rig.run("run", "show", run).status == 0
    file.write_bytes(journal.replace(b"multidevice-core", b"multidevice-cora", 1))
    damaged = rig.run("resume", run, "--yes")
    assert damaged.status == 1
    assert "damaged" in damaged.err
    file.write_bytes(journal + b'{"n": 21, "t": "2024')
    assert rig.run("rollback", run, "--yes").status == 0
    assert file.read_bytes().startswith(journal), "no line is changed"
