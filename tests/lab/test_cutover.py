"""The dangerous hour: the old one goes, the new one comes, and never are two at one address."""

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
from tests.support.migrations import MIGRATE, needed, run_of, said
from tscm_migrate.demo.profile import Device

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
    """Who answered for the old address, by ARP, since a time."""
    names = {mac: name for name, mac in MACS.items()}
    return {names[one.mac] for one in lab.heard() if one.ip == ADDRESS and one.kind == "reply" and one.at >= since}


def holders_from_now(lab: NamespaceLab) -> set[str]:
    """Who answers for the old address, after twenty answers."""
    since = time.time()
    lab.wait(lambda: len([one for one in lab.heard() if one.ip == ADDRESS and one.at >= since]) > 20, "answers")
    return holders(lab, since)


def wait_for_holder(lab: NamespaceLab, name: str) -> None:
    began = time.time()
    lab.wait(lambda: name in holders(lab, began), f"{name} at {ADDRESS}")


def state(lab: NamespaceLab) -> str:
    return lab.on("old", "cat /var/lib/tscm-migrate/isolation/state").stdout.strip()


def entry(lab: NamespaceLab, name: str) -> bool:
    return lab.on(name, "test -e /etc/cron.d/multidevice-core").returncode == 0


def never_gone(lab: NamespaceLab, boots: dict[str, str], since: float) -> None:
    """Stopped in time: the old one has answered all along, its updates run, and nothing of ours is left on either."""
    assert untouched(lab)
    assert {name: lab.boot_id(name) for name in ("old", "new")} == boots
    heard = [one.round for one in lab.heard() if (one.ip, one.mac) == (ADDRESS, MACS["old"]) and one.at >= since]
    assert holders(lab, since) == {"old"}
    # by questions, ten a second, not by time: on a busy machine the one who asks waits as well
    assert max(after - before for before, after in itertools.pairwise(heard)) < 50
    for name in ("old", "new"):
        left = lab.on(name, "ls -d /var/lib/tscm-migrate/* /dev/shm/.tscm* 2>/dev/null").stdout
        assert left == "", (name, left)
    assert not any(one["event"] == "chosen" for one in lab.journal("new")), "no archive was chosen in a restore"


def updated_since(lab: NamespaceLab, since: float) -> bool:
    """Whether cron has begun an update on the old one."""
    begun = [one for one in lab.journal("old") if one["event"].startswith("ts-update")]
    return any(datetime.fromisoformat(one["t"]).timestamp() >= since for one in begun)


def untouched(lab: NamespaceLab) -> bool:
    """The old one serves as before: it has its address and its updates."""
    return lab.is_on("old") and entry(lab, "old") and "inet 10.1.1.43/" in lab.on("old", "ip -4 addr show").stdout


def isolated_and_killed(lab: NamespaceLab, revert_after: int) -> None:
    """Migrate with a tool that kills itself when the old appliance has left, and its timer is not yet stopped."""
    fault = {"kind": "kill", "when": "after", "text": "confirm that no host answers"}
    words = [*MIGRATE, "--yes", "--no-rehearsal", "--offline", "isolate", "--revert-after", str(revert_after)]
    faulty = lab.workstation.inside(sys.executable, "-m", "tests.harness.faulty_tool", json.dumps([fault]), *words)
    killed = lab.workstation.run(*faulty, env=ENV, timeout=400)
    assert killed.returncode == -signal.SIGKILL, said(killed)


def back_again(lab: NamespaceLab) -> None:
    """Wait until the old appliance has come back by itself, and has removed what it needed for that."""
    lab.wait(lambda: "back at" in lab.on("old", "cat /var/log/tscm-migrate.log").stdout, "the old one to come back")
    lab.wait(lambda: not state(lab), "its files to be removed")


def test_a_workstation_that_dies_right_after_the_isolation_leaves_the_old_one_to_come_back(rooms: MakeLab) -> None:
    lab = rooms()
    isolated_and_killed(lab, revert_after=6)
    back_again(lab)
    wait_for_holder(lab, "old")
    assert entry(lab, "old")
    assert lab.collisions() == []
    routes = lab.on("old", "ip route; ip -4 -o addr show dev eth0; ls /var/lib/tscm-migrate/ 2>&1").stdout
    assert "default via 10.1.1.1" in routes
    assert "169.254" not in routes
    assert "isolation" not in routes


def test_an_isolated_old_one_that_restarts_leaves_again_and_can_still_be_called_back(rooms: MakeLab) -> None:
    lab = rooms()
    result = migrate(lab, "--offline", "isolate", "--no-restore-ssh")
    assert result.returncode == 0, said(result)
    lab.wait(lambda: state(lab) == "confirmed", "the timer to hear")
    lab.power_off("old")
    lab.power_on("old")
    own = "ip -4 -o addr show dev eth0 scope global"
    lab.wait(lambda: not lab.on("old", own).stdout and state(lab) == "confirmed", "the old one to leave again")
    assert holders_from_now(lab) == {"new"}
    back = lab.run_tool("rollback", run_of(result.stdout), "--yes", timeout=400)
    assert back.returncode == 0, said(back)
    assert untouched(lab)
    assert lab.on("old", "ls /etc/cron.d").stdout.split() == ["multidevice-core"]


def test_an_isolated_old_one_never_collides_with_whoever_has_taken_its_address(rooms: MakeLab) -> None:
    lab = rooms()
    isolated_and_killed(lab, revert_after=600)
    lab.wait(lambda: state(lab) == "away", "the old one to be away")
    come_back = "touch /var/lib/tscm-migrate/isolation/return"  # as when its time is over
    lab.on("new", f"ip addr add {ADDRESS}/24 dev eth0")
    lab.on("old", come_back)
    lab.wait(lambda: "staying away" in lab.on("old", "cat /var/log/tscm-migrate.log").stdout, "a try to come back")
    assert lab.collisions() == []
    lab.on("new", f"ip addr del {ADDRESS}/24 dev eth0")
    lab.on("old", come_back)
    back_again(lab)
    assert entry(lab, "old")
    assert lab.collisions() == []


def test_a_rollback_after_the_end_brings_both_back_to_where_they_were(rooms: MakeLab) -> None:
    lab = rooms()
    known = lab.inventory.with_name("known_hosts")
    pins = sorted(known.read_text().split("\n"))
    result = migrate(lab, "--offline", "isolate", "--no-restore-ssh")
    assert result.returncode == 0, said(result)
    back = lab.run_tool("rollback", run_of(result.stdout), "--yes", timeout=400)
    assert back.returncode == 0, said(back)
    assert untouched(lab)
    assert lab.collisions() == []
    assert holders_from_now(lab) == {"old"}
    assert "address 10.1.1.50" in lab.on("new", "cat /etc/network/interfaces").stdout
    assert lab.on("new", "ls -A /var/lib/tscm-migrate").stdout == ""
    assert sorted(known.read_text().split("\n")) == pins
    assert "host key changed" not in said(lab.run_tool(*MIGRATE, "--yes", "--dry-run", env=ENV))


def test_an_address_conflict_is_found_before_the_restore(rooms: MakeLab) -> None:
    lab = rooms()
    lab.on("watcher", f"ip addr add {ADDRESS}/24 dev eth0; ip addr show")
    result = migrate(lab)
    assert result.returncode == 1, said(result)
    assert "2 hosts answer" in said(result)
    assert untouched(lab)
    assert not any(one["event"] == "chosen" for one in lab.journal("new"))


@pytest.mark.parametrize(
    ("damage", "options", "env", "says"),
    [
        pytest.param("", (), {"TSCM_PASSPHRASE": "another"}, "passphrase|decrypt", id="wrong-passphrase"),
        pytest.param("truncate -s -2000 $a", (), {}, "cannot be opened|damaged", id="damaged"),
    ],
)
def test_a_bad_archive_is_found_while_the_old_one_still_serves(
    rooms: MakeLab, damage: str, options: tuple[str, ...], env: dict[str, str], says: str
) -> None:
    lab = rooms()
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
    assert result.returncode == 1, said(result)
    assert re.search(says, said(result)), said(result)
    never_gone(lab, boots, since)
    if damage:  # cron comes once a minute: once is enough to see that it does
        ended = time.time()
        lab.wait(lambda: updated_since(lab, ended), "the next update of the old one", 70)


def test_an_archive_of_another_host_is_found_while_the_old_one_still_serves(rooms: MakeLab) -> None:
    lab = rooms()
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
    assert result.returncode in {1, 3}, said(result)
    assert "another" in said(result)
    never_gone(lab, boots, since)


def test_an_archive_that_the_restore_does_not_list_is_found_while_the_old_one_still_serves(rooms: MakeLab) -> None:
    lab = rooms(None, {"faults": {"hides_archives": True}})
    boots, since = {one: lab.boot_id(one) for one in ("old", "new")}, time.time()
    result = migrate(lab)
    assert result.returncode == 1, said(result)
    never_gone(lab, boots, since)


def test_an_appliance_that_comes_back_at_its_own_address_is_said_to_be_there_and_can_go_back(rooms: MakeLab) -> None:
    lab = rooms(None, {"faults": {"reboot_keeps_address": True}})
    lab.inventory.write_text(lab.inventory.read_text() + "\n[policy]\nreboot_timeout = 25\n")
    result = migrate(lab, "--offline", "isolate")
    assert result.returncode == 5, said(result)
    assert "it restarted, but is at 10.1.1.50" in said(result)
    back = lab.run_tool("rollback", "--yes", timeout=400)
    assert back.returncode == 0, said(back)
    assert untouched(lab)
    assert lab.collisions() == []
    assert "address 10.1.1.50" in lab.on("new", "cat /etc/network/interfaces").stdout


def test_packages_come_first_and_a_device_that_fails_once_is_tried_again(rooms: MakeLab) -> None:
    devices = (
        Device("edge-asa", "asa", fails=1),
        Device("branch-isr", "isr", asks="Accept the new host key of the device?"),
    )
    lab = rooms(
        {"devices": devices, "upgrade_to": "1.51-01"},
        {"core_version": "1.46-01", "upgrade_to": "1.51-01", "upgrade_wants_reboot": True},
    )
    boot = lab.boot_id("new")
    result = migrate(lab, "--update-packages")
    assert result.returncode == 4, said(result)
    assert lab.boot_id("new") != boot
    done = [one for name in ("old", "new") for one in lab.journal(name) if one["event"] == "upgrade"]
    assert {(one["manager"], one["noninteractive"]) for one in done} == {("apt-get", "noninteractive")}
    ends = [(one["device"], one["ok"]) for one in lab.journal("new") if one["event"] == "update-end"]
    assert ends == [("edge-asa", False), ("edge-asa", True)]
    assert "tsadmin update branch-isr" in said(result)


def test_a_scheduled_backup_is_held_with_the_updates(rooms: MakeLab) -> None:
    lab = rooms()
    assert lab.run_tool("schedule", "tscm-old", "--yes").returncode == 0
    result = migrate(lab, "--offline", "isolate")
    assert result.returncode == 0, said(result)
    held = lab.on("old", "ls /etc/cron.d /var/lib/tscm-migrate/held").stdout
    assert held.split() == [
        "/etc/cron.d:", "tscm-migrate-isolation", "/var/lib/tscm-migrate/held:", "multidevice-core", "tscm_backup",
    ]  # fmt: skip


def test_hooks_do_the_switching(rooms: MakeLab) -> None:
    lab = rooms()
    log = lab.folder / "hooks.log"
    text = lab.inventory.read_text()
    hook = f"echo $TSCM_ROLE $TSCM_HOST $TSCM_ADDRESS ${{TSCM_PASSPHRASE:-none}} >> {log}"
    ssh = f"ssh -F none -i {lab.workstation.key} -o UserKnownHostsFile={lab.inventory.with_name('known_hosts')} threatstop@{ADDRESS} 'sudo shutdown -h now' || true"
    lab.inventory.write_text(
        text
        + f"\n[hooks]\nsnapshot = {json.dumps('echo snapshot; ' + hook)}\noffline = {json.dumps(hook + '; ' + ssh)}\n"
    )
    result = migrate(lab)
    assert result.returncode == 0, said(result)
    assert log.read_text().splitlines() == [
        f"old tscm-old {ADDRESS} none", "new tscm-new 10.1.1.50 none", f"old tscm-old {ADDRESS} none",
    ]  # fmt: skip
    assert not lab.is_on("old")
