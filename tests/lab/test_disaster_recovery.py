"""Disaster recovery: the off-site copy of a dead appliance is restored on tscm-new, with address, keys and devices."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.namespaces.lab import NamespaceLab
from tests.harness.profile import new_profile, old_profile
from tests.harness.rig import PASSPHRASE, Rig, ToolRun
from tests.support.migrations import all_output, needed, run_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = needed(600)

ENV = {"TSCM_PASSPHRASE": PASSPHRASE}
RECOVERY = ("migrate", "--archive", "offsite:latest", "--to", "tscm-new", "--yes")


class Site:
    """A site whose tscm-old has an off-site copy, and is off."""

    def __init__(self, lab: NamespaceLab, store: Path) -> None:
        self.lab, self.rig = lab, Rig(lab)
        self.store = store
        store.mkdir()
        self._with_store()
        made = lab.on("old", "tsadmin backup </dev/null", root=False)
        assert made.returncode == 0, made.stdout + made.stderr
        pulled = lab.run_tool("offsite", "pull", "--host", "tscm-old", env=ENV)
        assert pulled.returncode == 0, all_output(pulled)
        self.was = keys_devices_and_address(lab, "old")
        lab.power_off("old")

    def _with_store(self) -> None:
        with self.lab.inventory.open("a") as inventory:
            inventory.write(f'\n[offsite]\nstore = "{self.store}"\n')

    def fresh(self) -> dict[str, Any]:
        """Reset tscm-new and the workstation, and return the state of tscm-new."""
        self.lab.reset("new")
        shutil.rmtree(self.lab.folder / "workstation", ignore_errors=True)
        (self.lab.folder / "workstation").mkdir()
        self._with_store()
        self.collided = len(self.lab.collisions())
        return self.state_of_new()

    def state_of_new(self) -> dict[str, Any]:
        """Return all that a run may change on tscm-new."""
        about = self.rig.state().new
        about.pop("archives")
        return {**about, **keys_devices_and_address(self.lab, "new")}

    def run(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self.lab.run_tool(*args, env={**ENV, **env}, timeout=400)


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("dead")
    old = old_profile(boot_seconds=0.2, encryption_configured=True, passphrase=PASSPHRASE)
    with NamespaceLab(folder / "lab", old, new_profile(boot_seconds=0.2)) as lab:
        yield Site(lab, folder / "store")


@pytest.fixture
def site(used: Site) -> Site:
    used.fresh()
    return used


def keys_devices_and_address(lab: NamespaceLab, name: str) -> dict[str, str]:
    return {
        "shown keys": lab.on(name, "cat /etc/ssh/ssh_host_*_key.pub | awk '{print $1, $2}'").stdout,
        "devices": lab.on(name, "cd /opt/threatstop/etc/devices && find . -type f -exec sha256sum {} + | sort").stdout,
        "address": lab.on(name, "ip -4 -o addr show scope global | awk '{print $4}'").stdout,
    }


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def assert_restored(site: Site, done: subprocess.CompletedProcess[str] | ToolRun) -> None:
    text = done.text if isinstance(done, ToolRun) else all_output(done)
    assert keys_devices_and_address(site.lab, "new") == site.was, text
    assert site.lab.on("new", "test -e /etc/cron.d/multidevice-core").returncode == 0
    updated = {one["device"] for one in site.lab.journal("new") if one["event"] == "update-end" and one["ok"]}
    assert updated == {"edge-asa", "branch-isr", "dc-panos", "dns-nios"}
    assert len(site.lab.collisions()) == site.collided
    assert not site.rig.leaks()
    assert PASSPHRASE not in text


@dataclass(frozen=True)
class Base:
    """A recovery without faults: its output and events, and the states before and after it."""

    before: set[str]
    done: subprocess.CompletedProcess[str]
    events: list[dict[str, Any]]
    state_before: dict[str, Any]
    end: dict[str, Any]

    def number(self, about: str) -> int:
        """Return the number of the first event with this description in its journal."""
        events = ((one["n"], one["event"], one["data"]) for one in self.events)
        return int(next(n for n, event, data in events if f"{event} {data.get('step') or data.get('key')}" == about))


@pytest.fixture(scope="module")
def base(used: Site) -> Base:
    state_before = used.fresh()
    before = files_of(used.lab.folder)
    done = used.run(*RECOVERY)
    assert done.returncode == 0, all_output(done)
    assert_restored(used, done)
    return Base(before, done, used.rig.events(), state_before, used.state_of_new())


def test_a_dead_appliance_is_recovered_and_the_run_rolled_back(used: Site, base: Base) -> None:
    left_files = {name for name in files_of(used.lab.folder) - base.before if not name.startswith("hosts/")}
    assert not [name for name in left_files if ".tsbak" in name], "the workstation keeps no part of the archive"
    run = run_of(base.done.stdout)
    report = json.loads(used.run("run", "report", run, "--json").stdout)
    compared = next(row for row in report["parity"] if row["name"] == "compared with")
    assert "verified" in compared["has"]
    assert {"devices", "device files", "host keys", "address"} <= {row["name"] for row in report["parity"]}
    assert report["downtime"] is None
    assert "keep tscm-old off: tscm-new has its address 10.1.1.43 now" in base.done.stdout
    logged_in = used.run("archive", "list", "tscm-old")
    assert logged_in.returncode == 0, "the host keys at the old address are the pinned ones"
    back = used.run("rollback", run, "--yes")
    assert back.returncode == 0, all_output(back)
    assert used.state_of_new() == base.state_before


@pytest.mark.parametrize(
    ("when", "about", "verb"),
    [
        ("before", "action-done fetch", "resume"),
        ("before", "noted first_pass", "resume"),
        ("before", "noted restored", "rollback"),
    ],
)
def test_a_killed_recovery_is_resumed_or_rolled_back(used: Site, base: Base, when: str, about: str, verb: str) -> None:
    state_before = used.fresh()
    first = used.rig.run(*RECOVERY, plan=[{"kind": "kill", "n": base.number(about), "when": when}])
    assert first.status == -9, first.text
    second = used.rig.run(verb, "--yes")
    assert second.status == 0, second.text
    if verb == "resume":
        assert_restored(used, second)
        assert used.state_of_new() == base.end
    else:
        assert used.state_of_new() == state_before
    assert len(used.lab.collisions()) == used.collided
    assert not used.rig.leaks()


def test_the_plan_of_a_recovery_has_no_step_on_the_old_appliance(site: Site) -> None:
    planned = site.run("plan", *RECOVERY[1:-1])
    assert planned.returncode == 0, all_output(planned)
    assert "confirm that no host answers at 10.1.1.43" in planned.stdout
    assert "tscm-old is treated as dead" in planned.stdout
    for gone in ("Pause updates on", "Make a new backup", "Take the old appliance offline"):
        assert gone not in planned.stdout


def new_files(site: Site) -> str:
    return site.lab.on("new", "find /opt /etc /var/lib -type f | sort | xargs sha256sum 2>/dev/null").stdout


def test_a_host_at_the_old_address_stops_the_recovery_without_changes(site: Site) -> None:
    before = new_files(site)
    site.lab.power_on("old")
    try:
        for verb in (("plan", "--checks-only", *RECOVERY[1:-1]), RECOVERY, (*RECOVERY, "--allow", "old-answers")):
            refused = site.run(*verb)
            assert refused.returncode == 3, all_output(refused)
            assert "a host answers at 10.1.1.43" in all_output(refused)
            assert "--from" in all_output(refused)
    finally:
        site.lab.power_off("old")
    assert new_files(site) == before


def test_a_wrong_passphrase_stops_the_recovery_without_changes(site: Site) -> None:
    before = new_files(site)
    for env, words in (({"TSCM_PASSPHRASE": "another"}, "gpg: "), ({}, "none was given")):
        refused = site.lab.run_tool(*RECOVERY, env=env)
        assert refused.returncode == 1, all_output(refused)
        assert words in refused.stderr
        assert "--passphrase-file" in refused.stderr
    assert new_files(site) == before


def test_a_reinstalled_appliance_at_the_old_address_is_recovered(tmp_path: Path) -> None:
    """tscm-new has the old address already: no other host answers there, and one restore is enough."""
    old = old_profile(boot_seconds=0.2, encryption_configured=True, passphrase=PASSPHRASE)
    new = new_profile(boot_seconds=0.2, address="10.1.1.43")
    with NamespaceLab(tmp_path / "lab", old, new, boot=False) as lab:
        lab.power_on("old")
        site = Site(lab, tmp_path / "store")
        lab.power_on("new")
        site.collided = len(lab.collisions())
        boot = lab.boot_id("new")
        done = site.run(*RECOVERY)
        assert done.returncode == 0, all_output(done)
        assert_restored(site, done)
        assert lab.boot_id("new") == boot
