"""The old one is dead: its off-site copy becomes a new one, at its address, with its keys and its devices."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tscm_migrate.lab.namespaces import available
from tscm_migrate.lab.namespaces.lab import NamespaceLab
from tscm_migrate.lab.profile import new_profile, old_profile
from tscm_migrate.lab.rig import PASSPHRASE, Ended, Rig

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = [
    pytest.mark.namespaces,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(available() is not None, reason=f"no namespace lab: {available()}"),
]

ENV = {"TSCM_PASSPHRASE": PASSPHRASE}
RESCUE = ("migrate", "--archive", "offsite:latest", "--to", "tscm-new", "--yes")


class Site:
    """A site whose old one was backed up and copied off-site, and then lost its power for ever."""

    def __init__(self, lab: NamespaceLab, store: Path) -> None:
        self.lab, self.rig = lab, Rig(lab)
        self.store = store
        store.mkdir()
        self._with_store()
        made = lab.on("old", "tsadmin backup </dev/null", root=False)
        assert made.returncode == 0, made.stdout + made.stderr
        pulled = lab.run_tool("offsite", "pull", "--host", "tscm-old", env=ENV)
        assert pulled.returncode == 0, said(pulled)
        self.was = what_matters(lab, "old")
        lab.power_off("old")

    def _with_store(self) -> None:
        with self.lab.inventory.open("a") as inventory:
            inventory.write(f'\n[offsite]\nstore = "{self.store}"\n')

    def fresh(self) -> dict[str, Any]:
        """The new one as new, no state on the workstation; returns what the new one is like."""
        self.lab.reset("new")
        shutil.rmtree(self.lab.folder / "workstation", ignore_errors=True)
        (self.lab.folder / "workstation").mkdir()
        self._with_store()
        self.collided = len(self.lab.collisions())
        return self.told()

    def told(self) -> dict[str, Any]:
        """All that a run may change on the new one."""
        about = self.rig.state().new
        about.pop("archives")
        return {**about, **what_matters(self.lab, "new")}

    def run(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self.lab.run_tool(*args, env={**ENV, **env}, timeout=200)


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


def what_matters(lab: NamespaceLab, name: str) -> dict[str, str]:
    return {
        "shown keys": lab.on(name, "cat /etc/ssh/ssh_host_*_key.pub | awk '{print $1, $2}'").stdout,
        "devices": lab.on(name, "cd /opt/threatstop/etc/devices && find . -type f -exec sha256sum {} + | sort").stdout,
        "address": lab.on(name, "ip -4 -o addr show scope global | awk '{print $4}'").stdout,
    }


def said(result: subprocess.CompletedProcess[str]) -> str:
    return f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"


def run_of(text: str) -> str:
    found = re.search(r"\b(\d{8}-\d{6}-[0-9a-f]{4})\b", text)
    assert found, text
    return found[1]


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def assert_restored(site: Site, done: subprocess.CompletedProcess[str] | Ended) -> None:
    text = done.text if isinstance(done, Ended) else said(done)
    assert what_matters(site.lab, "new") == site.was, text
    assert site.lab.on("new", "test -e /etc/cron.d/multidevice-core").returncode == 0
    updated = {one["device"] for one in site.lab.journal("new") if one["event"] == "update"}
    assert updated == {"edge-asa", "branch-isr", "dc-panos", "dns-nios"}
    assert len(site.lab.collisions()) == site.collided
    assert not site.rig.leaks()
    assert PASSPHRASE not in text


def test_a_dead_one_is_restored_from_its_newest_copy(site: Site) -> None:
    before = files_of(site.lab.folder)
    planned = site.run("plan", *RESCUE[1:-1])
    assert planned.returncode == 0, said(planned)
    assert "prove from here that nobody answers at 10.1.1.43" in planned.stdout
    assert "tscm-old is dead for this run" in planned.stdout
    for gone in ("Hold the old one's updates", "Make a fresh backup", "Take the old one off"):
        assert gone not in planned.stdout
    done = site.run(*RESCUE)
    assert done.returncode == 0, said(done)
    assert_restored(site, done)
    mine = {name for name in files_of(site.lab.folder) - before if ".tsbak" in name and not name.startswith("hosts/")}
    assert not mine, "nothing of the archive is left on the workstation"
    report = json.loads(site.run("report", "show", run_of(done.stdout), "--json").stdout)
    compared = next(row for row in report["parity"] if row["name"] == "compared with")
    assert "verified" in compared["has"]
    assert report["downtime"] is None
    logged_in = site.run("archives", "tscm-old")
    assert logged_in.returncode == 0, "the old address shows the old one's pinned keys"


def test_whoever_answers_at_the_old_address_stops_it_before_anything_is_changed(lab: NamespaceLab) -> None:
    lab.run_tool("offsite", "pull", "--host", "tscm-old", env=ENV)
    before = lab.on("new", "find /opt /etc /var/lib -type f | sort | xargs sha256sum 2>/dev/null").stdout
    for verb in (("check", *RESCUE[1:-1]), RESCUE):
        refused = lab.run_tool(*verb, env=ENV)
        assert refused.returncode == 3, said(refused)
        assert "somebody is at 10.1.1.43" in said(refused)
        assert "--from" in said(refused)
    forced = lab.run_tool(*RESCUE, "--allow", "old-answers", env=ENV)
    assert forced.returncode == 3, "it cannot be talked away"
    assert lab.on("new", "find /opt /etc /var/lib -type f | sort | xargs sha256sum 2>/dev/null").stdout == before


def test_a_wrong_passphrase_is_refused_before_anything_is_changed(lab: NamespaceLab) -> None:
    lose_the_old_one(lab)
    before = lab.on("new", "find /opt /etc /var/lib -type f | sort | xargs sha256sum 2>/dev/null").stdout
    for phrase, words in (("not the one", "gpg"), ("", "no passphrase")):
        refused = lab.run_tool(*RESCUE, env={"TSCM_PASSPHRASE": phrase} if phrase else {})
        assert refused.returncode == 1, said(refused)
        assert words in refused.stderr
        assert "--passphrase-file" in refused.stderr
    assert lab.on("new", "find /opt /etc /var/lib -type f | sort | xargs sha256sum 2>/dev/null").stdout == before


@pytest.fixture
def rig(lab: NamespaceLab) -> Iterator[Rig]:
    yield Rig(lab)


def test_a_rescue_that_is_killed_is_resumed_and_can_be_taken_back_at_any_time(lab: NamespaceLab) -> None:
    was, home = lose_the_old_one(lab), what_matters(lab, "new")
    rig = Rig(lab)
    for about, verb in (
        ("action-started fetch", "resume"),
        ("noted first_pass", "resume"),
        ("noted restored", "resume"),
    ):
        pass
    first = rig.run(*RESCUE, plan=[{"kind": "kill", "about": "x", "n": 12, "when": "after"}])
    assert first.status == -9, first.text
    del was, home, os, shutil
