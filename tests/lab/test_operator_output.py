"""Output of a migration between real hosts: plan, checks, live view, report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.lab.test_migrate import PASSPHRASE
from tests.support import snapshots
from tests.support.migrations import MIGRATE, PAIR, all_output, needed, state_of

if TYPE_CHECKING:
    from tests.lab.conftest import MakeLab

pytestmark = needed(600)


def test_plan_and_check_show_the_steps_and_change_nothing(make_lab: MakeLab) -> None:
    with make_lab(new={"os_version": "16.04"}) as lab:
        env = {"TSCM_PASSPHRASE": PASSPHRASE}
        before = [state_of(lab, name) for name in ("old", "new")]
        refused = lab.run_tool("plan", "--checks-only", *PAIR, env=env)
        assert refused.returncode == 3, all_output(refused)
        assert "Error    os-differs" in refused.stdout
        allowed = lab.run_tool("plan", "--checks-only", *PAIR, "--allow", "os-differs", env=env)
        assert allowed.returncode == 0, all_output(allowed)
        assert "os-differs (acknowledged)" in allowed.stdout
        plan = lab.run_tool("plan", *PAIR, "--allow", "os-differs", env=env)
        assert plan.returncode == 0, all_output(plan)
        for words in (
            "tsadmin backup",
            "tsadmin restore --interface=eth0 --gpg",
            "shutdown -h now",
            "as measured",
            "Estimated: ",
            "passphrase:tscm-old from TSCM_",
            "the archive is small",  # like the run, which knows the archive's size
        ):
            assert words in plan.stdout, all_output(plan)
        assert [state_of(lab, name) for name in ("old", "new")] == before
        assert not list(lab.folder.glob("workstation/state/**/journal.jsonl"))


def test_a_missing_rsync_is_reported_as_in_the_snapshot(make_lab: MakeLab) -> None:
    with make_lab(new={"missing": ("rsync",)}) as lab:
        words = ("plan", "--checks-only", *PAIR, "--method", "rsync")
        other = lab.run_tool(*words)
        assert other.returncode == 0, all_output(other)
        assert "rsync cannot be used: there is no rsync on the new appliance; both appliances have tar" in " ".join(
            other.stdout.split()
        )
        words += ("--route", "direct")
        done = lab.run_tool(*words)
        shown = snapshots.page(words, done.stdout + done.stderr, done.returncode, {str(lab.folder): "LAB"})
        snapshots.compare("rsync-missing", shown)


def test_a_run_on_a_terminal_shows_progress_and_writes_a_report(make_lab: MakeLab) -> None:
    with make_lab() as lab:
        done = lab.run_tool(*MIGRATE, "--yes", env={"TSCM_PASSPHRASE": PASSPHRASE}, timeout=400, tty=True)
        assert done.returncode == 0, all_output(done)
        assert "✓ Update every device" in done.stdout
        assert "downtime" in done.stdout
        reports = list(lab.folder.glob("workstation/state/**/report.html"))
        assert len(reports) == 1
        assert str(reports[0]) in done.stdout
        report = json.loads(reports[0].with_suffix(".json").read_text(encoding="utf-8"))
        assert report["outcome"] == "done"
        assert {d["name"] for d in report["devices"]} == {d.name for d in lab.profile("old").devices}
        assert all(d["ok"] for d in report["devices"])
        assert report["downtime"]["seconds"] > 0
        assert report["environment"]["secrets"] == {"passphrase:tscm-old": "TSCM_PASSPHRASE"}
        assert any("tsadmin" in c.get("display", "") for c in report["commands"])
        everything = "".join(f.read_text(encoding="utf-8") for f in reports[0].parent.iterdir())
        assert PASSPHRASE not in everything
        shown = lab.run_tool("run", "report", "--text")
        assert "4 of 4 devices updated" in shown.stdout, all_output(shown)
