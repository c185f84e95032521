"""`rehearse`, and `migrate` in a change window, on the embedded appliances: what each leaves behind."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tscm_migrate.demo.embedded import EmbeddedLab, available
from tscm_migrate.demo.profile import new_profile, old_profile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.slow, pytest.mark.skipif(available() is not None, reason=str(available())), pytest.mark.timeout(400),
]  # fmt: skip
PAIR = ("--from", "tscm-old", "--to", "tscm-new")
ENV = {"TSCM_PASSPHRASE": "open the window"}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[EmbeddedLab]:
    with EmbeddedLab(tmp_path, old_profile(), new_profile()) as lab:
        yield lab


def run(lab: EmbeddedLab, *words: str, code: int = 0) -> list[dict[str, Any]]:
    done = lab.run_tool(*words, "--json", env=ENV, timeout=350)
    assert done.returncode == code, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def named(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == kind]


def held(lab: EmbeddedLab) -> dict[str, list[str]]:
    """What of ours is left on either appliance, and whether the cron entry is in its place."""
    found = {}
    for name in ("old", "new"):
        root = lab.root_of(name)
        hold, entry = root / "var/lib/tscm-migrate", root / "etc/cron.d/multidevice-core"
        found[name] = sorted(path.name for path in hold.glob("*")) + [entry.name] * entry.is_file()
    assert "multidevice-core" in found["old"], "updates run on the old appliance"
    return found


def devices(lab: EmbeddedLab) -> list[str]:
    root = lab.root_of("new") / "opt/threatstop/etc"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_a_rehearsal_leaves_both_as_they_were_and_gives_the_plan_its_estimate(lab: EmbeddedLab) -> None:
    before, before_devices = held(lab), devices(lab)
    events = run(lab, "rehearse", *PAIR)
    (downtime,) = [event for event in named(events, "estimated") if event["step"] == "downtime"]
    assert downtime["basis"].startswith("as rehearsed by run ")
    assert "not measured yet: " in downtime["basis"], "no device was updated from this workstation yet"
    assert "restore" not in downtime["basis"].partition("not measured yet: ")[2], "the restore was measured"
    assert 0 < downtime["least"] < downtime["seconds"] < downtime["most"]
    assert named(events, "run_started")[0]["verb"] == "rehearse"
    assert held(lab) == before
    assert devices(lab) == before_devices
    assert lab.is_on("old")
    told = [event["text"] for event in named(events, "said")]
    assert any(text.startswith("prepare: syslog: what devices send to 127.0.1.43") for text in told), told
    planned = run(lab, "plan", *PAIR)
    estimates = [event for event in named(planned, "estimated") if event["step"] == "downtime"]
    figures = ("seconds", "least", "most", "basis")
    assert [[one[key] for key in figures] for one in estimates] == [[downtime[key] for key in figures]]


def test_a_kept_rehearsal_is_not_made_again_until_something_changes(lab: EmbeddedLab) -> None:
    (before,) = [event for event in named(run(lab, "plan", *PAIR), "estimated") if event["step"] == "downtime"]
    assert 0 < before["least"] < before["most"]
    assert "not rehearsed" in before["basis"]
    before_state = held(lab)
    run(lab, "rehearse", *PAIR, "--keep")
    assert held(lab) == before_state
    steps = [event["step"] for event in named(run(lab, "plan", *PAIR), "action_started")]
    assert "rehearse-restore" not in steps
    assert "backup" in steps
    (lab.guest("new").path("devices") / "another").write_text("a device that came later")
    steps = [event["step"] for event in named(run(lab, "plan", *PAIR), "action_started")]
    assert "rehearse-restore" in steps


def test_a_cutover_that_no_longer_fits_is_refused_before_anything_goes_offline(lab: EmbeddedLab) -> None:
    before = held(lab)
    events = run(
        lab, "migrate", *PAIR, "--yes", "--not-after", (datetime.now(UTC) + timedelta(seconds=20)).isoformat(), code=3
    )
    assert named(events, "error")[0]["code"] == "window.closed"
    assert held(lab) == before
    assert lab.is_on("old")


def test_a_migration_waits_for_its_window_and_makes_its_backup_inside(lab: EmbeddedLab) -> None:
    opens = datetime.now(UTC) + timedelta(seconds=45)
    closes = opens + timedelta(minutes=30)
    events = run(
        lab, "migrate", *PAIR, "--yes", "--not-before", opens.isoformat(), "--not-after", closes.isoformat(),
    )  # fmt: skip
    assert [event["verb"] for event in named(events, "run_started")] == ["rehearse", "migrate"]
    offline = next(e for e in named(events, "step_started") if e["step"] == "take-offline")
    assert datetime.fromisoformat(offline["time"]) >= opens
    backups = [e for e in named(events, "step_started") if e["step"] == "backup"]
    assert len(backups) == 2
    assert datetime.fromisoformat(backups[1]["time"]) >= opens
    assert named(events, "run_finished")[-1]["outcome"] in {"done", "attention"}
    assert not lab.is_on("old")


@pytest.mark.parametrize(
    "words",
    [("--not-before", "25:00"), ("--stage-at", "21:00"), ("--pause-before", "cutover"), ("--not-before", "22:00", "--stage-at", "soon")],
)  # fmt: skip
def test_a_window_that_cannot_be_is_refused_before_anything_is_connected(
    lab: EmbeddedLab, words: tuple[str, ...]
) -> None:
    events = run(lab, "migrate", *PAIR, "--yes", *words, code=2)
    assert not named(events, "run_started")
