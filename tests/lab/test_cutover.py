"""The cutover: tscm-old leaves its address, tscm-new takes it, and two hosts never use it at the same time."""

from __future__ import annotations

import itertools
import json
import re
import signal
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from tests.harness.namespaces.lab import MACS
from tests.harness.profile import Device
from tests.support.migrations import MIGRATE, all_output, needed, run_of

if TYPE_CHECKING:
    import subprocess

    from tests.harness.namespaces import NamespaceLab
    from tests.lab.conftest import MakeLab

pytestmark = needed(600)

ENV = {"TSCM_PASSPHRASE": "pass phrase of the lab"}
ADDRESS = "10.1.1.43"


def migrate(lab: NamespaceLab, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    return lab.run_tool(*MIGRATE, "--yes", "--no-rehearsal", *options, env={**ENV, **env}, timeout=400)


def holders(lab: NamespaceLab, since: float) -> set[str]:
    """Return the appliances that answered ARP requests for the old address since a time."""
    names = {mac: name for name, mac in MACS.items()}
    return {names[one.mac] for one in lab.heard() if one.ip == ADDRESS and one.kind == "reply" and one.at >= since}


def holders_from_now(lab: NamespaceLab) -> set[str]:
    """Return the appliances that answer for the old address, after twenty more answers."""
    since = time.time()
    lab.wait(lambda: len([one for one in lab.heard() if one.ip == ADDRESS and one.at >= since]) > 20, "answers")
    return holders(lab, since)


def wait_for_holder(lab: NamespaceLab, name: str) -> None:
    began = time.time()
    lab.wait(lambda: name in holders(lab, began), f"{name} at {ADDRESS}")


def state(lab: NamespaceLab) -> str:
    return lab.on("old", "cat /var/lib/tscm-migrate/isolation/state").stdout.strip()


def has_cron_entry(lab: NamespaceLab, name: str) -> bool:
    return lab.on(name, "test -e /etc/cron.d/multidevice-core").returncode == 0


def assert_old_served_all_the_time(lab: NamespaceLab, boots: dict[str, str], since: float) -> None:
    """Assert that tscm-old answered all the time, that its updates run, and that no file of the tool is left."""
    assert old_serves(lab)
    assert {name: lab.boot_id(name) for name in ("old", "new")} == boots
    heard = [one.round for one in lab.heard() if (one.ip, one.mac) == (ADDRESS, MACS["old"]) and one.at >= since]
    assert holders(lab, since) == {"old"}
    # counted in requests (ten a second), not in seconds: on a busy machine the watcher is delayed as well
    assert max(after - before for before, after in itertools.pairwise(heard)) < 50
    for name in ("old", "new"):
        left = lab.on(name, "ls -d /var/lib/tscm-migrate/* /dev/shm/.tscm* 2>/dev/null").stdout
        assert left == "", (name, left)
    assert not any(one["event"] == "chosen" for one in lab.journal("new")), "no archive was chosen in a restore"


def update_started_since(lab: NamespaceLab, since: float) -> bool:
    """Return whether cron has started an update on tscm-old since a time."""
    updates = [one for one in lab.journal("old") if one["event"].startswith("ts-update")]
    return any(datetime.fromisoformat(one["t"]).timestamp() >= since for one in updates)


def old_serves(lab: NamespaceLab) -> bool:
    """Return whether tscm-old has its address and its cron entry."""
    return (
        lab.is_on("old") and has_cron_entry(lab, "old") and "inet 10.1.1.43/" in lab.on("old", "ip -4 addr show").stdout
    )


def isolate_and_kill(lab: NamespaceLab, revert_after: int) -> None:
    """Migrate with a tool that is killed after the isolation, while the timer of tscm-old still runs."""
    fault = {"kind": "kill", "when": "after", "text": "confirm that no host answers"}
    words = [*MIGRATE, "--yes", "--no-rehearsal", "--offline", "isolate", "--revert-after", str(revert_after)]
    faulty = lab.workstation.inside(sys.executable, "-m", "tests.harness.faulty_tool", json.dumps([fault]), *words)
    killed = lab.workstation.run(*faulty, env=ENV, timeout=400)
    assert killed.returncode == -signal.SIGKILL, all_output(killed)


def wait_until_returned(lab: NamespaceLab) -> None:
    """Wait until tscm-old has returned to its address by its timer, and has removed the timer's files."""
    lab.wait(lambda: "back at" in lab.on("old", "cat /var/log/tscm-migrate.log").stdout, "tscm-old to return")
    lab.wait(lambda: not state(lab), "its files to be removed")


def test_an_isolated_appliance_returns_when_the_tool_is_killed(make_lab: MakeLab) -> None:
    lab = make_lab()
    isolate_and_kill(lab, revert_after=6)
    wait_until_returned(lab)
    wait_for_holder(lab, "old")
    assert has_cron_entry(lab, "old")
    assert lab.collisions() == []
    routes = lab.on("old", "ip route; ip -4 -o addr show dev eth0; ls /var/lib/tscm-migrate/ 2>&1").stdout
    assert "default via 10.1.1.1" in routes
    assert "169.254" not in routes
    assert "isolation" not in routes


def test_an_isolated_appliance_that_restarts_leaves_again_and_can_be_rolled_back(make_lab: MakeLab) -> None:
    lab = make_lab()
    result = migrate(lab, "--offline", "isolate", "--no-restore-ssh")
    assert result.returncode == 0, all_output(result)
    lab.wait(lambda: state(lab) == "confirmed", "the timer to be confirmed")
    lab.power_off("old")
    lab.power_on("old")
    own = "ip -4 -o addr show dev eth0 scope global"
    lab.wait(lambda: not lab.on("old", own).stdout and state(lab) == "confirmed", "tscm-old to leave again")
    assert holders_from_now(lab) == {"new"}
    back = lab.run_tool("rollback", run_of(result.stdout), "--yes", timeout=400)
    assert back.returncode == 0, all_output(back)
    assert old_serves(lab)
    assert lab.on("old", "ls /etc/cron.d").stdout.split() == ["multidevice-core"]


def test_an_isolated_appliance_stays_away_while_its_address_is_in_use(make_lab: MakeLab) -> None:
    lab = make_lab()
    isolate_and_kill(lab, revert_after=600)
    lab.wait(lambda: state(lab) == "away", "tscm-old to be away")
    come_back = "touch /var/lib/tscm-migrate/isolation/return"  # as when the timer has run out
    lab.on("new", f"ip addr add {ADDRESS}/24 dev eth0")
    lab.on("old", come_back)
    lab.wait(lambda: "staying offline" in lab.on("old", "cat /var/log/tscm-migrate.log").stdout, "an attempt to return")
    assert lab.collisions() == []
    lab.on("new", f"ip addr del {ADDRESS}/24 dev eth0")
    lab.on("old", come_back)
    wait_until_returned(lab)
    assert has_cron_entry(lab, "old")
    assert lab.collisions() == []


def test_a_rollback_after_a_migration_restores_both_appliances(make_lab: MakeLab) -> None:
    lab = make_lab()
    known = lab.inventory.with_name("known_hosts")
    pins = sorted(known.read_text().split("\n"))
    result = migrate(lab, "--offline", "isolate", "--no-restore-ssh")
    assert result.returncode == 0, all_output(result)
    back = lab.run_tool("rollback", run_of(result.stdout), "--yes", timeout=400)
    assert back.returncode == 0, all_output(back)
    assert old_serves(lab)
    assert lab.collisions() == []
    assert holders_from_now(lab) == {"old"}
    assert "address 10.1.1.50" in lab.on("new", "cat /etc/network/interfaces").stdout
    assert lab.on("new", "ls -A /var/lib/tscm-migrate").stdout == ""
    assert sorted(known.read_text().split("\n")) == pins
    assert "host key changed" not in all_output(lab.run_tool(*MIGRATE, "--yes", "--dry-run", env=ENV))


def test_an_address_conflict_stops_before_the_restore(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.on("watcher", f"ip addr add {ADDRESS}/24 dev eth0; ip addr show")
    result = migrate(lab)
    assert result.returncode == 1, all_output(result)
    assert "2 hosts answer" in all_output(result)
    assert old_serves(lab)
    assert not any(one["event"] == "chosen" for one in lab.journal("new"))


@pytest.mark.parametrize(
    ("damage", "options", "env", "message"),
    [
        pytest.param("", (), {"TSCM_PASSPHRASE": "another"}, "passphrase|decrypt", id="wrong-passphrase"),
        pytest.param("truncate -s -2000 $a", (), {}, "cannot be opened|damaged", id="damaged"),
    ],
)
def test_a_bad_archive_stops_before_the_cutover(
    make_lab: MakeLab, damage: str, options: tuple[str, ...], env: dict[str, str], message: str
) -> None:
    lab = make_lab()
    made = lab.on(
        "old",
        'runuser -u threatstop -- sh -c \'printf "%s\\n" "$P" >/tmp/p; tsadmin backup --gpg_passphrase_file=/tmp/p; rm /tmp/p\''.replace(
            "$P", ENV["TSCM_PASSPHRASE"]
        ),
    )
    name = re.search(r"threatstop_backup_\S+\.tsbak\.gpg", made.stdout)
    assert name, made
    if damage:
        lab.on("old", f"a=/opt/threatstop/backup/{name[0]}; {damage}")
    boots, since = {one: lab.boot_id(one) for one in ("old", "new")}, time.time()
    result = migrate(lab, "--archive", name[0], *options, **env)
    assert result.returncode == 1, all_output(result)
    assert re.search(message, all_output(result)), all_output(result)
    assert_old_served_all_the_time(lab, boots, since)
    if damage:  # cron starts updates once a minute; one of the cases is enough
        ended = time.time()
        lab.wait(lambda: update_started_since(lab, ended), "the next update of tscm-old", 70)


def test_an_archive_of_another_host_stops_before_the_cutover(make_lab: MakeLab) -> None:
    lab = make_lab()
    made = lab.on(
        "new",
        'runuser -u threatstop -- sh -c \'printf "%s\\n" "x y" >/tmp/p; tsadmin backup --gpg_passphrase_file=/tmp/p; rm /tmp/p\'',
    )
    name = re.search(r"threatstop_backup_\S+\.tsbak\.gpg", made.stdout)
    assert name, made
    data = (lab.root_of("new") / "opt/threatstop/backup" / name[0]).read_bytes()
    place = lab.root_of("old") / "opt/threatstop/backup" / name[0]
    place.write_bytes(data)
    lab.on("old", f"chown threatstop: /opt/threatstop/backup/{name[0]}")
    lab.on("new", f"rm -f /opt/threatstop/backup/{name[0]}")
    boots, since = {one: lab.boot_id(one) for one in ("old", "new")}, time.time()
    result = migrate(lab, "--archive", name[0], TSCM_PASSPHRASE="x y")
    assert result.returncode in {1, 3}, all_output(result)
    assert "another" in all_output(result)
    assert_old_served_all_the_time(lab, boots, since)


def test_an_archive_missing_in_the_restore_list_stops_before_the_cutover(make_lab: MakeLab) -> None:
    lab = make_lab(None, {"faults": {"hides_archives": True}})
    boots, since = {one: lab.boot_id(one) for one in ("old", "new")}, time.time()
    result = migrate(lab)
    assert result.returncode == 1, all_output(result)
    assert_old_served_all_the_time(lab, boots, since)


def test_a_new_appliance_that_keeps_its_address_is_reported_and_rolled_back(make_lab: MakeLab) -> None:
    lab = make_lab(None, {"faults": {"reboot_keeps_address": True}})
    lab.inventory.write_text(lab.inventory.read_text() + "\n[policy]\nreboot_timeout = 25\n")
    result = migrate(lab, "--offline", "isolate")
    assert result.returncode == 5, all_output(result)
    assert "it restarted, but is at 10.1.1.50" in all_output(result)
    back = lab.run_tool("rollback", "--yes", timeout=400)
    assert back.returncode == 0, all_output(back)
    assert old_serves(lab)
    assert lab.collisions() == []
    assert "address 10.1.1.50" in lab.on("new", "cat /etc/network/interfaces").stdout


def test_packages_are_updated_first_and_a_failed_device_is_retried(make_lab: MakeLab) -> None:
    devices = (
        Device("edge-asa", "asa", fails=1),
        Device("branch-isr", "isr", asks="Accept the new host key of the device?"),
    )
    lab = make_lab(
        {"devices": devices, "upgrade_to": "1.51-01"},
        {"core_version": "1.46-01", "upgrade_to": "1.51-01", "upgrade_wants_reboot": True},
    )
    boot = lab.boot_id("new")
    result = migrate(lab, "--update-packages")
    assert result.returncode == 4, all_output(result)
    assert lab.boot_id("new") != boot
    done = [one for name in ("old", "new") for one in lab.journal(name) if one["event"] == "upgrade"]
    assert {(one["manager"], one["noninteractive"]) for one in done} == {("apt-get", "noninteractive")}
    ends = [(one["device"], one["ok"]) for one in lab.journal("new") if one["event"] == "update-end"]
    assert ends == [("edge-asa", False), ("edge-asa", True)]
    assert "tsadmin update branch-isr" in all_output(result)


def test_a_scheduled_backup_is_paused_with_the_updates(make_lab: MakeLab) -> None:
    lab = make_lab()
    assert lab.run_tool("schedule", "tscm-old", "--yes").returncode == 0
    result = migrate(lab, "--offline", "isolate")
    assert result.returncode == 0, all_output(result)
    paused_entries = lab.on("old", "ls /etc/cron.d /var/lib/tscm-migrate/held").stdout
    assert paused_entries.split() == [
        "/etc/cron.d:", "tscm-migrate-isolation", "/var/lib/tscm-migrate/held:", "multidevice-core", "tscm_backup",
    ]  # fmt: skip


def test_hooks_take_snapshots_and_power_off(make_lab: MakeLab) -> None:
    lab = make_lab()
    log = lab.folder / "hooks.log"
    text = lab.inventory.read_text()
    hook = f"echo $TSCM_ROLE $TSCM_HOST $TSCM_ADDRESS ${{TSCM_PASSPHRASE:-none}} >> {log}"
    ssh = f"ssh -F none -i {lab.workstation.key} -o UserKnownHostsFile={lab.inventory.with_name('known_hosts')} threatstop@{ADDRESS} 'sudo shutdown -h now' || true"
    lab.inventory.write_text(
        text
        + f"\n[hooks]\nsnapshot = {json.dumps('echo snapshot; ' + hook)}\noffline = {json.dumps(hook + '; ' + ssh)}\n"
    )
    result = migrate(lab)
    assert result.returncode == 0, all_output(result)
    assert log.read_text().splitlines() == [
        f"old tscm-old {ADDRESS} none", "new tscm-new 10.1.1.50 none", f"old tscm-old {ADDRESS} none",
    ]  # fmt: skip
    assert not lab.is_on("old")
