"""Commands after a migration: devices update, verify, archive create, host adopt, and a rollback after these."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.harness.namespaces.switch import Switch
from tests.harness.profile import Device
from tests.support.migrations import MIGRATE, all_output, needed, run_of
from tscm_migrate.inventory.read import load

if TYPE_CHECKING:
    import subprocess

    from tests.harness.namespaces import NamespaceLab
    from tests.lab.conftest import MakeLab

pytestmark = needed(600)

ENV = {"TSCM_PASSPHRASE": "pass phrase of the lab"}
DEVICES = (Device("a-asa", "asa"), Device("b-isr", "isr", fails=2), Device("c-pan", "pan"))  # updates are tried twice


def tool(lab: NamespaceLab, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    result = lab.run_tool(*words, env=ENV, timeout=400)
    assert result.returncode == status, all_output(result)
    return result


def report(lab: NamespaceLab) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(lab.run_tool("run", "report", "--json").stdout)
    return loaded


def test_failed_devices_are_updated_compared_and_adopted_later(make_lab: MakeLab) -> None:
    lab = make_lab({"devices": DEVICES})
    text = lab.inventory.read_text().replace("[hosts.tscm-old]", '[hosts.tscm-old]\npriority = ["c-pan", "a-asa"]')
    lab.inventory.write_text(f"{text}\n[policy]\ndevice_jobs = 1\n")
    run = run_of(tool(lab, *MIGRATE, "--yes", status=4).stdout)
    began = [entry["device"] for entry in lab.journal("new") if entry["event"] == "update-start"]
    assert began == ["c-pan", "a-asa", "b-isr", "b-isr"], "in the order of their priority"
    before = report(lab)
    assert [one["name"] for one in before["devices"] if not one["ok"]] == ["b-isr"]
    times = {one["name"]: one["downtime"] for one in before["devices"]}
    assert times["c-pan"] < times["a-asa"] <= before["downtime"]["seconds"] + 0.1

    tool(lab, "devices", "update", "--failed", "--yes")
    after = report(lab)
    assert (after["outcome"], after["to_do"]) == ("done", [])
    assert all(one["ok"] for one in after["devices"])
    assert after["downtime"] == before["downtime"], "the downtime ended with the migration"
    assert "no device's update has failed" in tool(lab, "devices", "update", run, "--yes").stdout

    lab.inventory.write_text(
        f'{lab.inventory.read_text()}\n[groups]\nnew = ["tscm-new"]\nboth = ["tscm-old", "tscm-new"]\n'
    )
    tool(lab, "verify", "tscm-new")
    assert "tscm-new: equal" in tool(lab, "verify", "--group", "both", "--jobs", "1").stdout
    lab.on("new", "echo changed >> /opt/threatstop/etc/devices/a-asa/policy.dat")
    different = tool(lab, "verify", run, status=4)
    assert "devices/a-asa/policy.dat" in different.stdout, all_output(different)
    assert report(lab)["parity"] == after["parity"], "the report keeps the comparison of the migration"
    rows = tool(lab, "verify", "--group", "new", "--json", status=4).stdout.splitlines()
    assert [one["same"] for one in map(json.loads, rows) if one["event"] == "verified"] == [False]

    tool(lab, "host", "adopt", "--yes")
    assert load(lab.inventory).host("tscm-new").address == "10.1.1.43"
    moved = tool(lab, "archive", "list", "tscm-old", status=2)
    assert "tscm-old was migrated to tscm-new, which is at 10.1.1.43 now" in moved.stderr
    made = json.loads(tool(lab, "archive", "create", "tscm-new", "--json").stdout.splitlines()[-1])
    assert made["archive"]["name"].endswith(".gpg")
    assert sorted(made["devices"]) == ["a-asa", "b-isr", "c-pan"]
    listed = json.loads(tool(lab, "archive", "list", "tscm-new", "--json").stdout)
    assert made["archive"]["name"] in [one["name"] for one in listed]
    assert lab.on("new", "ls /var/lib/tscm-migrate").stdout.split() == ["own-settings.tar"], "no lock, nothing paused"
    _assert_rollback_after_adopt(lab, run)


def _assert_rollback_after_adopt(lab: NamespaceLab, run: str) -> None:
    """Roll back while the inventory has tscm-new at the address of tscm-old, and says that tscm-old was migrated."""
    with Switch(lab) as switch:
        hook = f"\n[hooks]\nonline = {json.dumps(switch.command('on'))}\n"
        lab.inventory.write_text(lab.inventory.read_text() + hook)
        back = tool(lab, "rollback", run, "--yes")
    assert lab.addresses() == {"old": "10.1.1.43", "new": "10.1.1.50"}, all_output(back)
    assert lab.collisions() == []
    assert 'write address = "10.1.1.50" below [hosts.tscm-new], and delete moved_to' in back.stdout, all_output(back)
