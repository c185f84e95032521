"""A migration of an appliance with 200 devices: each is updated once, and the journal and the output stay complete."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.harness.embedded import EmbeddedLab
from tests.harness.profile import Device, new_profile, old_profile
from tests.support.embedded_lab import needs_embedded_lab

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, needs_embedded_lab]


def test_each_of_two_hundred_devices_is_updated_once(tmp_path: Path) -> None:
    names = [f"asa-{number:03}" for number in range(200)]
    devices = tuple(Device(name, update_seconds=0.01) for name in names)
    old = old_profile(devices=devices, archives=0, ts_update_seconds=0.1)
    with EmbeddedLab(tmp_path, old, new_profile(boot_seconds=0.2)) as lab:
        words = ("--from", "tscm-old", "--to", "tscm-new", "--no-rehearsal", "--yes", "--json")
        done = lab.run_tool("migrate", *words, env={"TSCM_PASSPHRASE": "many devices"}, timeout=400)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
        updated = [one["device"] for one in lab.journal("new") if one["event"] == "update-end"]
    assert sorted(updated) == names
    events = [json.loads(line) for line in done.stdout.splitlines()]
    step = next(e for e in events if e["event"] == "step_finished" and e["step"] == "update-devices")
    assert not step.get("skipped")
    assert events[-1]["event"] == "run_finished"
