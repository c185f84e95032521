"""A campaign of six pairs in three waves: one unreachable, one with an unknown question, one killed in its cutover."""

from __future__ import annotations

import json
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.support.migrations import needed
from tscm_migrate.campaign import pairs
from tscm_migrate.campaign import plan as plans
from tscm_migrate.campaign import run as running
from tscm_migrate.campaign.journal import CampaignJournal
from tscm_migrate.campaign.pairs import Job
from tscm_migrate.errors import Exit
from tscm_migrate.ui import campaign as ui

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pytest

    from tests.harness.namespaces import NamespaceLab
    from tests.lab.conftest import MakeLab
    from tscm_migrate.campaign.journal import PairResult

pytestmark = [*needed(900)]

PLAN = """
name = "branches"
[options]
encrypt = false
[[waves]]
name = "canary"
pairs = [{ from = "a-old", to = "a-new" }]
[[waves]]
name = "second"
jobs = 4
pairs = [
  { from = "b-old", to = "b-new" },
  { from = "asks-old", to = "asks-new" },
  { from = "gone-old", to = "gone-new" },
  { from = "killed-old", to = "killed-new" },
]
[[waves]]
name = "third"
pairs = [{ from = "f-old", to = "f-new" }]
"""
QUESTION = "Shall the moon be full?"


@dataclass(frozen=True)
class InLab(Job):
    """A job whose process runs on the workstation of its pair's lab, and writes its pid to a file."""

    inside: tuple[str, ...] = ()
    pid_file: str = ""

    def argv(self) -> list[str]:
        return ["sh", "-c", f'echo $$ > {self.pid_file}; exec "$@"', "sh", *self.inside, *super().argv()]


class Site:
    """Six pairs: five have their own lab, the hosts of the sixth do not exist."""

    def __init__(self, make_lab: MakeLab, folder: Path) -> None:
        self.folder = folder
        names = ("a", "b", "asks", "killed", "f")
        with ThreadPoolExecutor(2) as pool:
            labs = list(pool.map(lambda n: self._lab(make_lab, names[n], 30 + n, 60 + n), range(len(names))))
        self.labs = dict(zip(names, labs, strict=True))
        self.kill = "killed"

    def _lab(self, make_lab: MakeLab, name: str, old: int, new: int) -> NamespaceLab:
        asks = {"extra_prompt": QUESTION} if name == "asks" else {}
        lab = make_lab({"address": f"10.1.1.{old}"}, {"address": f"10.1.1.{new}", **asks})
        text = lab.inventory.read_text().replace("tscm-old", f"{name}-old").replace("tscm-new", f"{name}-new")
        if name == "a":
            gone = '\n[hosts.gone-{0}]\naddress = "10.1.1.{1}"\n'
            text += gone.format("old", 7) + gone.format("new", 8)
        lab.inventory.write_text(text)
        return lab

    def work(self, job: Job) -> PairResult:
        """Run a job in the lab of its pair."""
        name = job.pair.partition("-")[0]
        lab = self.labs.get(name, self.labs["a"])
        pid_file = self.folder / f"{name}.pid"
        fields = {**job.__dict__, "inventory": str(lab.inventory)}
        inside = InLab(**fields, inside=tuple(lab.workstation.inside()), pid_file=str(pid_file))

        def watch(_pair: str, event: Mapping[str, Any]) -> None:
            if name == self.kill and (event.get("event"), event.get("step")) == ("step_started", "restore-network"):
                self.kill = ""
                os.kill(int(pid_file.read_text()), signal.SIGKILL)

        return pairs.work(inside, watch=watch)


def test_six_pairs_in_three_waves_with_three_failures(
    make_lab: MakeLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = threading.Lock()

    def make_lab_locked(*args: Any, **more: Any) -> NamespaceLab:
        with lock:
            return make_lab(*args, **more)

    site = Site(make_lab_locked, tmp_path)
    for name, value in next(iter(site.labs.values())).env().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TSCM_STATE", str(tmp_path / "state"))
    (tmp_path / "plan.toml").write_text(PLAN)
    plan = plans.load(tmp_path / "plan.toml", datetime.now(UTC))
    journal, lines = running.begin(plan, "", ""), list[str]()
    status = running.Campaign(plan, journal, lines.append, work=site.work).run()

    text, state = "\n".join(lines), journal.state
    assert status == Exit.ATTENTION, text
    rehearsed = {pair.partition("-")[0]: result for pair, result in state.rehearsed.items()}
    assert {name: one.state for name, one in rehearsed.items()} == {
        "a": "done", "b": "done", "killed": "done", "f": "done", "asks": "not-ready", "gone": "not-ready",
    }, text  # fmt: skip
    assert QUESTION in rehearsed["asks"].error
    migrated = {pair.partition("-")[0]: result for pair, result in state.migrated.items()}
    assert {name: one.state for name, one in migrated.items()} == {"a": "done", "b": "done", "killed": "unfinished"}, (
        text
    )
    assert "stopped after 1 failed: killed-old → killed-new" in state.why
    for name in ("asks", "f"):
        assert site.labs[name].is_on("old"), "not started"

    journal = CampaignJournal.reopened("branches")
    journal.write("resumed")
    status = running.Campaign(plan, journal, lines.append, work=site.work).run()
    text, migrated = "\n".join(lines), {p.partition("-")[0]: one.state for p, one in journal.state.migrated.items()}
    assert migrated == {"a": "done", "b": "done", "killed": "done", "f": "done"}, text
    assert status == Exit.ATTENTION, "two pairs are not migrated"
    runs = {result.run for result in journal.state.migrated.values()}
    assert len(runs) == 4, "the killed pair was resumed with the same run, and no pair was migrated twice"
    for number, name in enumerate(site.labs):
        lab = site.labs[name]
        moved = {"old": None, "new": f"10.1.1.{30 + number}"}
        stays = {"old": f"10.1.1.{30 + number}", "new": f"10.1.1.{60 + number}"}
        assert lab.addresses() == (stays if name == "asks" else moved), name
        assert lab.collisions() == []
    _assert_page(plan, journal, migrated)


def _assert_page(plan: Any, journal: CampaignJournal, migrated: dict[str, str]) -> None:
    rows = {row["pair"].partition("-")[0]: row for row in ui.as_dicts(plan, journal.state)["pairs"]}
    assert {name: rows[name]["state"] for name in migrated} == migrated
    assert all(rows[name]["estimate"] > 0 and rows[name]["downtime"] > 0 for name in migrated)
    page = ui.page_text(plan, journal.state)
    assert all(pair.name in page for _, pair in plan.pairs())
    assert QUESTION in page
    assert json.dumps(ui.as_dicts(plan, journal.state))
