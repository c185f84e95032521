"""A killed run of an earlier version is rolled back or resumed by this version."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.embedded import EmbeddedLab
from tests.harness.profile import new_profile, old_profile
from tests.support.embedded_lab import needs_embedded_lab
from tests.support.migrations import all_output
from tscm_migrate.migration.journal import Journal
from tscm_migrate.ssh import known_hosts

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    needs_embedded_lab,
]
STORED = Path(__file__).parents[1] / "data" / "journals" / "complete.jsonl"
STORED_RUN, FIRST, SECOND = "20261001-120000-c0de", "20261002-120000-aaaa", "20261003-120000-bbbb"
PAUSED_SINCE = 13  # number of entries up to the end of the step that pauses the old appliance's updates


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedLab]:
    with EmbeddedLab(tmp_path_factory.mktemp("lab"), old_profile(ts_update_seconds=0.2), new_profile()) as made:
        yield made


def prepare_killed_run(lab: EmbeddedLab, run: str) -> None:
    """Put the lab into the state of an earlier version that was killed after it had paused tscm-old's updates."""
    text = STORED.read_text(encoding="utf-8").replace("/lab/", f"{lab.folder}/").replace(STORED_RUN, run)
    entries = [json.loads(line) for line in text.splitlines()][:PAUSED_SINCE]
    assert entries[-1]["event"] == "step-done"
    assert entries[-1]["data"]["step"] == "hold-updates"
    _of_this_lab(lab, entries[0]["data"]["notes"])
    journal = Journal.create(run, Path(lab.env()["XDG_STATE_HOME"]) / "tscm-migrate")
    for entry in entries:
        journal.write(entry["event"], **entry["data"])
    root = lab.root_of("old")
    held = root / "var/lib/tscm-migrate/held"
    held.mkdir(parents=True)
    (root / "etc/cron.d/multidevice-core").rename(held / "multidevice-core")


def _of_this_lab(lab: EmbeddedLab, notes: dict[str, Any]) -> None:
    """Replace the stored host keys and hashes of device files by those of this lab."""
    pins = known_hosts.load(lab.folder / "known_hosts")
    for name, address in (("old", "127.0.1.43"), ("new", "127.0.1.50")):
        keys = {entry.type: entry.fingerprint for entry in pins.pinned(f"[{address}]:{lab.port}")}
        notes["facts"][name]["host_keys"] = sorted(keys.items())
        notes[f"{name}_keys"] = [keys["ssh-ed25519"]]
    etc = lab.root_of("old") / "opt/threatstop/etc"
    for path in notes["old_files"]:
        notes["old_files"][path] = hashlib.sha256((etc / path).read_bytes()).hexdigest()


def test_a_run_of_an_earlier_version_is_rolled_back_or_resumed(lab: EmbeddedLab) -> None:
    prepare_killed_run(lab, FIRST)
    shown = lab.run_tool("run", "show", FIRST)
    assert shown.returncode == 0, all_output(shown)
    assert f"tscm-migrate rollback {FIRST}" in shown.stdout
    undone = lab.run_tool("rollback", FIRST, "--yes")
    assert undone.returncode == 0, all_output(undone)
    assert (lab.root_of("old") / "etc/cron.d/multidevice-core").exists()
    assert not (lab.root_of("old") / "var/lib/tscm-migrate").exists(), "no lock and no other file of the tool is left"

    prepare_killed_run(lab, SECOND)
    resumed = lab.run_tool("resume", SECOND, "--yes", timeout=400, env={"TSCM_PASSPHRASE": "a passphrase"})
    assert resumed.returncode == 0, all_output(resumed)
    assert lab.addresses() == {"old": None, "new": "127.0.1.43"}
    assert lab.collisions() == []
    devices = lab.root_of("new") / "opt/threatstop/etc/devices"
    assert sorted(path.name for path in devices.iterdir()) == ["branch-isr", "dc-panos", "dns-nios", "edge-asa"]
