"""Runs that are cut short: killed, interrupted, out of disk, without a terminal, two at once, a host without power."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.harness import matrix
from tests.harness.faults import TROUBLES
from tests.harness.rig import Rig, differs
from tests.support.migrations import needed

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

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
    """The first event of that name in the journal of an undisturbed run."""
    return next(point.n for point in base.points if point.about == about)


# A fixed share of the matrix; `invoke matrix` does all of it.
RESUMED = (
    ("after", "run-started"),
    ("before", "action-done hold-updates"),
    ("before", "noted archive"),
    ("after", "noted offline_began"),
    ("before", "noted first_pass"),
    ("before", "noted restored"),
    ("after", "noted devices"),
)
TAKEN_BACK = (
    ("after", "locked tscm-new"),
    ("before", "action-done transfer"),
    ("before", "noted first_pass"),
    ("after", "run-ended"),
)


@pytest.mark.parametrize(("when", "about"), RESUMED)
def test_a_killed_run_that_is_resumed_ends_as_if_nothing_had_happened(
    used: Rig, base: matrix.Undisturbed, when: str, about: str
) -> None:
    result = matrix.kill_at(used, matrix.Point(event(base, about), when, about), "resume", base)
    assert result.killed == matrix.KILLED
    assert not result.wrong, result.text


@pytest.mark.parametrize(("when", "about"), TAKEN_BACK)
def test_a_killed_run_that_is_rolled_back_leaves_what_was_there_before(
    used: Rig, base: matrix.Undisturbed, when: str, about: str
) -> None:
    result = matrix.kill_at(used, matrix.Point(event(base, about), when, about), "rollback", base)
    assert result.killed == matrix.KILLED
    assert not result.wrong, result.text


def assert_all_back(rig: Rig, before: dict[str, object], told: object) -> None:
    now = rig.state().told(before)  # type: ignore[arg-type]
    then = before.told(before)  # type: ignore[attr-defined]
    assert not differs(then, {**now, "new archives more": 0}), told
    assert not rig.leaks()
    assert rig.lab.on("old", "ls /var/lib/tscm-migrate 2>&1").returncode != 0, "the lock is gone with the run"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_the_piece_at_hand_and_puts_everything_back(
    base: matrix.Undisturbed, rig: Rig, name: str
) -> None:
    before = rig.state()
    done = rig.migrate([{"kind": "signal", "n": event(base, HOLD), "when": "after", "signal": name}])
    assert done.status == 5, done.text
    assert "all changes were undone" in done.text
    assert name in done.text
    done_pieces = [e for e in rig.events() if e["event"] == "action-done"]
    assert done_pieces, "the piece at hand was finished"
    assert_all_back(rig, before, done.text)  # type: ignore[arg-type]


def test_a_run_that_was_put_back_can_be_resumed(base: matrix.Undisturbed, rig: Rig) -> None:
    before = rig.state()
    done = rig.migrate([{"kind": "signal", "n": event(base, SENT), "when": "after"}])
    assert done.status == 5, done.text
    run = json.loads(rig.run("run", "list", "--json").out)[0]
    assert run["state"] == "undone"
    again = rig.run("resume", run["run"], "--yes")
    assert again.status == 0, again.text
    assert not differs(base.end, rig.state().told(before))


def test_the_second_signal_stops_at_once_and_still_says_what_is_held(base: matrix.Undisturbed, rig: Rig) -> None:
    done = rig.migrate([{"kind": "signal", "n": event(base, HOLD) + 2, "when": "after", "times": 2}])
    assert done.status == 5, done.text
    last = done.out.strip().splitlines()[-3:]
    put_back = any("undone" in line for line in last)
    held = any("PAUSED" in line and "rollback" in line for line in last)
    assert put_back or held, done.text
    assert rig.lab.on("old", "test -e /etc/cron.d/multidevice-core").returncode == (0 if put_back else 1)


def test_an_entry_that_is_laid_back_after_the_proof_does_not_stay_on_an_old_one_that_is_off(
    base: matrix.Undisturbed, rig: Rig
) -> None:
    """Should it ever come back, its updates must not begin by themselves."""
    before, laid_back = rig.state(), TROUBLES["cron entry comes back"].strike
    done = rig.migrate_but(event(base, "step-done assure"), "after", lambda lab: laid_back(lab, "old"))
    assert done.status == 0, done.text
    assert "multidevice-core was restored meanwhile" in done.text
    assert not differs(base.end, rig.state().told(before)), done.text


def test_an_old_one_that_died_before_it_was_to_go_is_not_asked_for_its_entries(
    base: matrix.Undisturbed, rig: Rig
) -> None:
    """Where a hook switches it off, nothing is wanted of it any more; that it is gone is proved all the same."""
    before = rig.state()
    rig.migrate([{"kind": "kill", "n": event(base, "captured take-offline"), "when": "after"}])
    inventory = rig.lab.inventory
    inventory.write_text(inventory.read_text().replace("[hooks]", '[hooks]\noffline = "true"'))
    rig.lab.power_off("old")
    done = rig.run("resume", "--yes")
    assert done.status == 0, done.text
    assert not differs(base.end, rig.state().told(before)), done.text


def test_an_entry_that_somebody_lays_back_stops_the_run_and_leaves_no_held_copy(
    base: matrix.Undisturbed, rig: Rig
) -> None:
    before, laid_back = rig.state(), TROUBLES["cron entry comes back"].strike
    done = rig.migrate_but(event(base, "step-done hold-updates"), "after", lambda lab: laid_back(lab, "old"))
    assert done.status == 1, done.text
    assert "was restored" in done.text
    assert_all_back(rig, before, done.text)  # type: ignore[arg-type]


def test_a_copy_that_is_damaged_when_the_old_one_is_away_is_named_and_the_run_can_go_back(
    base: matrix.Undisturbed, rig: Rig
) -> None:
    before = rig.state()
    done = rig.migrate_but(
        event(base, GONE), "after", lambda lab: TROUBLES["newest archive damaged"].strike(lab, "new")
    )
    assert done.status == 5, done.text
    assert "was damaged after its verification" in done.text
    assert "tscm-migrate rollback" in done.text
    back = rig.run("rollback", "--yes")
    assert back.status == 0, back.text
    kept = {"new archives": "as on old", "new archives more": 0}  # what is on the new one is nothing of the old one's
    assert not differs(before.told(before), {**rig.state().told(before), **kept}), back.text


def test_after_the_cutover_an_interrupt_names_the_way_on_and_back(base: matrix.Undisturbed, rig: Rig) -> None:
    done = rig.migrate([{"kind": "signal", "n": event(base, GONE), "when": "after"}])
    assert done.status == 5, done.text
    run = str(rig.events()[0]["data"]["run"])
    assert f"tscm-migrate resume {run}" in done.text
    assert f"tscm-migrate rollback {run}" in done.text
    assert "OFFLINE" in done.text
    assert "PAUSED" in done.text
    shown = rig.run("run", "show", run)
    assert "OFFLINE" in shown.out
    refused = rig.migrate()  # nobody begins another run over it
    assert refused.status == 3, refused.text
    assert run in refused.text
    assert rig.run("resume", "--yes").status == 0


def test_a_closed_output_does_not_end_a_run(rig: Rig) -> None:
    process = rig.start(*rig.words())
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    assert process.wait(200) == 0, said
    assert rig.events()[-1]["data"]["outcome"] == "done"


def test_a_closed_terminal_changes_no_exit_code(rig: Rig) -> None:
    process = rig.start("run", "show", "no-such-run", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stderr.close()
    assert process.wait(60) == 2


@pytest.mark.parametrize("about", [HOLD, SENT])
def test_a_full_state_folder_stops_the_run_before_the_change_and_everything_is_put_back(
    base: matrix.Undisturbed, rig: Rig, about: str
) -> None:
    before = rig.state()
    done = rig.migrate([{"kind": "full", "n": event(base, about), "count": 1000}])
    assert done.status == 1, done.text
    assert "No space left" in done.text
    assert_all_back(rig, before, done.text)  # type: ignore[arg-type]
    announced = [e["data"]["describes"] for e in rig.events() if e["event"] == "action-started"]
    assert len(announced) < 12, "nothing was done that was not announced on the disk"


def paused(rig: Rig, n: int, folder: Path) -> subprocess.Popen[str]:
    """A migration that waits at event n."""
    folder.mkdir()
    process = rig.start(*rig.words(), plan=[{"kind": "pause", "n": n, "when": "after", "folder": str(folder)}])
    deadline = time.monotonic() + 120
    while not (folder / "paused").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def test_a_second_run_is_refused_and_told_who_and_since_when(
    base: matrix.Undisturbed, rig: Rig, tmp_path: Path
) -> None:
    process = paused(rig, event(base, HOLD), tmp_path / "p")
    mine = rig.migrate()
    other_state = {"TSCM_STATE": str(tmp_path / "other")}
    another = rig.lab.run_tool(*rig.words(), env={"TSCM_PASSPHRASE": "x y", **other_state})  # another workstation
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


def test_a_lock_of_another_workstation_goes_by_force_only(rig: Rig, tmp_path: Path) -> None:
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
def test_a_power_cut_can_be_resumed(used: Rig, base: matrix.Undisturbed, tmp_path: Path, name: str, about: str) -> None:
    used.fresh()
    before = used.state()
    process = paused(used, event(base, about), tmp_path / "p")
    used.lab.power_off(name)
    (tmp_path / "p" / "go").touch()
    first = used.finish(process)
    assert first.status in (1, 5), first.text
    used.lab.power_on(name)
    again = used.run("resume", "--yes")
    assert again.status == 0, again.text
    expected, now = dict(base.end), used.state().told(before)
    if first.status == 1:  # put back, so that a fresh backup was made; the copy of the first one is not deleted
        expected.pop("new archives more"), now.pop("new archives more")
    assert not differs(expected, now), again.text
    assert not used.leaks()
    assert not used.collisions()


def test_a_torn_last_line_is_no_damage_and_a_broken_middle_is_named(rig: Rig) -> None:
    rig.migrate([{"kind": "kill", "n": 20, "when": "after"}])
    run = str(rig.events()[0]["data"]["run"])
    file = rig.runs_folder() / run / "journal.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"n": 21, "t": "2024')
    assert rig.run("run", "show", run).status == 0
    file.write_bytes(whole.replace(b"multidevice-core", b"multidevice-cora", 1))
    damaged = rig.run("resume", run, "--yes")
    assert damaged.status == 1
    assert "damaged" in damaged.err
    file.write_bytes(whole + b'{"n": 21, "t": "2024')
    assert rig.run("rollback", run, "--yes").status == 0
    assert file.read_bytes().startswith(whole), "nothing is rewritten"
