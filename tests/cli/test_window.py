"""The commands `rehearse`, and `migrate` in a change window, on the embedded appliances."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.embedded import EmbeddedLab
from tests.harness.profile import new_profile, old_profile
from tests.support.embedded_lab import needs_embedded_lab

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, needs_embedded_lab, pytest.mark.timeout(400)]
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


def events_of(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == kind]


def appliance_state(lab: EmbeddedLab) -> dict[str, list[str]]:
    """Return our files on each appliance, and the cron entry if it is in its place."""
    state = {}
    for name in ("old", "new"):
        root = lab.root_of(name)
        hold, entry = root / "var/lib/tscm-migrate", root / "etc/cron.d/multidevice-core"
        state[name] = sorted(path.name for path in hold.glob("*")) + [entry.name] * entry.is_file()
    assert "multidevice-core" in state["old"], "updates are paused on the old appliance"
    return state


def devices(lab: EmbeddedLab) -> list[str]:
    root = lab.root_of("new") / "opt/threatstop/etc"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_rehearsal_changes_no_appliance_and_gives_the_plan_its_estimate(lab: EmbeddedLab) -> None:
    before, before_devices = appliance_state(lab), devices(lab)
    events = run(lab, "rehearse", *PAIR)
    (downtime,) = [event for event in events_of(events, "estimated") if event["step"] == "downtime"]
    assert downtime["basis"].startswith("as rehearsed by run ")
    assert "not measured yet: " in downtime["basis"], "no device was updated from this workstation yet"
    assert "restore" not in downtime["basis"].partition("not measured yet: ")[2], "the restore was measured"
    assert 0 < downtime["least"] < downtime["seconds"] < downtime["most"]
    assert events_of(events, "run_started")[0]["verb"] == "rehearse"
    assert appliance_state(lab) == before
    assert devices(lab) == before_devices
    assert lab.is_on("old")
    messages = [event["text"] for event in events_of(events, "said")]
    assert any(text.startswith("prepare: syslog: what devices send to 127.0.1.43") for text in messages), messages
    end = events_of(events, "run_finished")[-1]
    assert end["downtime_estimate"] == downtime["seconds"]
    assert end["next"][-1].endswith("tscm-migrate migrate --from tscm-old --to tscm-new"), end["next"]
    planned = run(lab, "plan", *PAIR)
    estimated = {event["step"]: event for event in events_of(planned, "estimated")}
    steps = {event["step"] for event in events_of(planned, "action_started")}
    assert estimated.keys() - {"", "downtime"} == steps, "what is skipped takes no time"
    assert estimated[""]["most"] > downtime["most"], "the total contains the downtime"
    estimates = [event for event in events_of(planned, "estimated") if event["step"] == "downtime"]
    figures = ("seconds", "least", "most", "basis")
    assert [[one[key] for key in figures] for one in estimates] == [[downtime[key] for key in figures]]


def test_kept_rehearsal_is_reused_until_something_changes(lab: EmbeddedLab) -> None:
    (before,) = [event for event in events_of(run(lab, "plan", *PAIR), "estimated") if event["step"] == "downtime"]
    assert 0 < before["least"] < before["most"]
    assert "not rehearsed" in before["basis"]
    before_state = appliance_state(lab)
    run(lab, "rehearse", *PAIR, "--keep")
    assert appliance_state(lab) == before_state
    steps = [event["step"] for event in events_of(run(lab, "plan", *PAIR), "action_started")]
    assert "rehearse-restore" not in steps
    assert "backup" in steps
    (lab.guest("new").path("devices") / "another").write_text("a device that came later")
    steps = [event["step"] for event in events_of(run(lab, "plan", *PAIR), "action_started")]
    assert "rehearse-restore" in steps


def test_cutover_that_does_not_fit_the_window_is_refused(lab: EmbeddedLab) -> None:
    before = appliance_state(lab)
    events = run(
        lab, "migrate", *PAIR, "--yes", "--not-after", (datetime.now(UTC) + timedelta(seconds=20)).isoformat(), code=3
    )
    assert events_of(events, "error")[0]["code"] == "window.closed"
    assert appliance_state(lab) == before
    assert lab.is_on("old")


def test_migration_waits_for_its_window_and_then_makes_its_backup(lab: EmbeddedLab) -> None:
    opens = datetime.now(UTC) + timedelta(seconds=45)
    closes = opens + timedelta(minutes=30)
    events = run(
        lab, "migrate", *PAIR, "--yes", "--not-before", opens.isoformat(), "--not-after", closes.isoformat(),
    )  # fmt: skip
    assert [event["verb"] for event in events_of(events, "run_started")] == ["rehearse", "migrate"]
    offline = next(e for e in events_of(events, "step_started") if e["step"] == "take-offline")
    assert datetime.fromisoformat(offline["time"]) >= opens
    backups = [e for e in events_of(events, "step_started") if e["step"] == "backup"]
    assert len(backups) == 2
    assert datetime.fromisoformat(backups[1]["time"]) >= opens
    assert events_of(events, "run_finished")[-1]["outcome"] in {"done", "attention"}
    assert not lab.is_on("old")


@pytest.mark.parametrize(
    "words",
    [("--not-before", "25:00"), ("--stage-at", "21:00"), ("--pause-before", "cutover"), ("--not-before", "22:00", "--stage-at", "soon")],
)  # fmt: skip
def test_invalid_window_is_refused_before_any_connection(lab: EmbeddedLab, words: tuple[str, ...]) -> None:
    events = run(lab, "migrate", *PAIR, "--yes", *words, code=2)
    assert not events_of(events, "run_started")
