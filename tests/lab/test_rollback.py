"""A rollback after the power-off of tscm-old: with a hook, with an operator, and refused at an address conflict."""

from __future__ import annotations

import json
import re
import shlex
import time
from typing import TYPE_CHECKING

import pytest

from tests.harness.namespaces.lab import MACS
from tests.harness.namespaces.switch import Switch
from tests.support.migrations import MIGRATE, PAIR, all_output, needed, run_of
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from tests.harness.namespaces import NamespaceLab
    from tests.lab.conftest import MakeLab

pytestmark = needed(600)

ENV = {"TSCM_PASSPHRASE": "pass phrase of the lab"}
ADDRESS = "10.1.1.43"


def migrated(lab: NamespaceLab, *options: str) -> str:
    """Migrate successfully, and return the id of the run."""
    result = lab.run_tool(*MIGRATE, "--yes", "--no-rehearsal", *options, env=ENV, timeout=400)
    assert result.returncode == 0, result.stdout + result.stderr
    return run_of(result.stdout)


def answers(lab: NamespaceLab, since: float) -> list[str]:
    """Return the appliances that answered ARP requests for the old address, in order, without repetitions."""
    names = {mac: name for name, mac in MACS.items()}
    answering = [names[one.mac] for one in lab.heard() if (one.ip, one.kind) == (ADDRESS, "reply") and one.at >= since]
    return [name for index, name in enumerate(answering) if not index or answering[index - 1] != name]


def assert_rolled_back(lab: NamespaceLab, since: float, state: dict[str, str]) -> None:
    """Assert that tscm-old serves with its updates, and that tscm-new left first and is in its earlier state."""
    assert lab.addresses() == {"old": ADDRESS, "new": "10.1.1.50"}
    assert answers(lab, since) == ["new", "old"]
    assert lab.collisions() == []
    assert {name: restorable_state(lab, name) for name in ("old", "new")} == state


def restorable_state(lab: NamespaceLab, name: str) -> str:
    """Return what a migration changes and a rollback restores; archives stay, so `state_of` would differ."""
    return lab.on(
        name,
        "cat /etc/cron.d/*; find /opt/threatstop/etc -type f -exec sha256sum {} + | sort; "
        "cat /etc/ssh/ssh_host_*_key.pub /etc/hostname /etc/network/interfaces; "
        "ls -A /etc/cron.d /var/lib/tscm-migrate 2>/dev/null | grep -v tscm-migrate",
    ).stdout


def with_hooks(lab: NamespaceLab, **hooks: str) -> None:
    text = "".join(f"{name} = {json.dumps(command)}\n" for name, command in hooks.items())
    lab.inventory.write_text(f"{lab.inventory.read_text()}\n[hooks]\n{text}")


def test_a_hook_powers_the_old_appliance_on(make_lab: MakeLab) -> None:
    lab = make_lab()
    before = {name: restorable_state(lab, name) for name in ("old", "new")}
    assert "ts-update" in before["old"]
    with Switch(lab) as switch:
        with_hooks(lab, online=switch.command("on"))
        run, since = migrated(lab), time.time()
        assert not lab.is_on("old")
        assert switch.pressed == []
        result = lab.run_tool("rollback", run, "--yes", env=ENV, timeout=400)
        assert result.returncode == 0, result.stdout + result.stderr
        assert switch.pressed == ["on.old"]
    assert_rolled_back(lab, since, before)


def test_an_old_appliance_that_powers_off_during_the_undo_is_switched_on_again(make_lab: MakeLab) -> None:
    """Its shutdown was requested and takes seconds: that it still answers does not mean that it stays."""
    lab = make_lab()
    before = {name: restorable_state(lab, name) for name in ("old", "new")}
    with Switch(lab) as switch:
        later = f"(sleep 4; {switch.command('off')}) >/dev/null 2>&1 </dev/null & kill -INT $PPID"
        with_hooks(lab, offline=later, online=switch.command("on"))
        result = lab.run_tool(*MIGRATE, "--yes", "--no-rehearsal", env=ENV, timeout=400)
        assert switch.pressed == ["off.old", "on.old"], all_output(result)
    assert result.returncode == 5, all_output(result)
    assert "all changes were undone" in result.stdout
    assert lab.addresses() == {"old": ADDRESS, "new": "10.1.1.50"}
    assert {name: restorable_state(lab, name) for name in ("old", "new")} == before


def test_a_rollback_restores_devices_and_keys_of_the_new_appliance(make_lab: MakeLab) -> None:
    lab = make_lab()
    slow = "systemctl stop ssh; setsid sh -c 'sleep 2; systemctl start ssh' >/dev/null 2>&1 &"  # sshd is down for two seconds
    text = lab.inventory.read_text()
    lab.inventory.write_text(f"{text}\n[hosts.tscm-new.commands]\nreload_ssh = {json.dumps(slow)}\n")
    before = {name: restorable_state(lab, name) for name in ("old", "new")}
    pins = lab.inventory.with_name("known_hosts").read_text()
    with Switch(lab) as switch:
        with_hooks(lab, online=switch.command("on"))
        migrated_run = lab.run_tool(*MIGRATE, "--yes", "--bypass-netconf", env=ENV, timeout=400)
        assert migrated_run.returncode == 4, all_output(migrated_run)
        assert restorable_state(lab, "new") != before["new"]
        result = lab.run_tool("rollback", run_of(migrated_run.stdout), "--yes", env=ENV, timeout=400)
        assert result.returncode == 0, all_output(result)
    assert {name: restorable_state(lab, name) for name in ("old", "new")} == before, all_output(result)
    assert lab.addresses() == {"old": ADDRESS, "new": "10.1.1.50"}
    assert lab.inventory.with_name("known_hosts").read_text() == pins
    check = lab.run_tool("plan", "--checks-only", *PAIR, env=ENV)  # the host keys equal the pinned ones
    assert check.returncode == 0, all_output(check)


def test_what_a_rollback_cannot_undo_is_reported_without_mac_addresses(make_lab: MakeLab) -> None:
    lab = make_lab()
    # its devices are outside the saved folder, and its restore writes another file
    program = lab.on("new", "readlink -f $(command -v tsadmin)").stdout.strip()
    wrapper = f"""#!/bin/sh
[ "$1" != restore ] || {{ echo x >/srv/feed/edge.list; echo "writing /srv/feed/edge.list"; }}
exec {program}.real "$@"
"""
    lab.on("new", f"mv {program} {program}.real; printf %s {shlex.quote(wrapper)} >{program}; chmod 755 {program}; "
                  "mkdir -p /srv/devices /srv/feed; chmod 777 /srv/feed; cd /opt/threatstop/etc && rm -rf devices && ln -s /srv/devices devices")  # fmt: skip
    for name in ("old", "new"):  # neither /sys nor ip shows a MAC address
        lab.on(name, "umount -l /sys; i=$(command -v ip); mv $i /usr/local/sbin/ip.real; printf '%s\\n' '#!/bin/sh' "
                     "'case \"$*\" in \"-o link\") exit 1;; esac' 'exec /usr/local/sbin/ip.real \"$@\"' >$i; chmod 755 $i")  # fmt: skip
    with Switch(lab) as switch:
        with_hooks(lab, online=switch.command("on"))
        run = migrated(lab)
        result = lab.run_tool("rollback", run, "--yes", env=ENV, timeout=400)
        assert result.returncode == 4, all_output(result)
    output = " ".join((result.stdout + result.stderr).split())
    assert "all changes were undone" not in output
    assert "/srv/feed/edge.list was written by the restore" in output
    for device in lab.profile("old").devices:
        assert f"device {device.name} came with the restore and is still there" in output
    assert lab.addresses() == {"old": ADDRESS, "new": "10.1.1.50"}
    assert lab.collisions() == []
    lab.on("new", "rm -rf /srv/devices/* /srv/feed")
    again = lab.run_tool("rollback", run, "--yes", env=ENV, timeout=400)
    assert again.returncode == 0, all_output(again)


def test_restored_cron_entries_are_removed_by_a_rollback(make_lab: MakeLab) -> None:
    lab = make_lab()
    for name in ("old", "new"):
        lab.on(name, f"echo '# from tscm-{name}' > /etc/cron.d/site-job")
    before = {name: restorable_state(lab, name) for name in ("old", "new")}
    with Switch(lab) as switch:
        with_hooks(lab, online=switch.command("on"))
        run, since = migrated(lab, "--restore-cron"), time.time()
        assert "from tscm-old" in restorable_state(lab, "new")
        result = lab.run_tool("rollback", run, "--yes", env=ENV, timeout=400)
        assert result.returncode == 0, all_output(result)
    assert_rolled_back(lab, since, before)


def test_an_operator_powers_the_old_appliance_on(make_lab: MakeLab) -> None:
    lab = make_lab()
    before = {name: restorable_state(lab, name) for name in ("old", "new")}
    run, since = migrated(lab, "--no-encrypt"), time.time()
    screen = Terminal(lab.workstation.tool("rollback", run), {**lab.env(), **ENV})
    try:
        screen.wait_for("Undo this on", limit=60)
        screen.type("y")
        screen.wait_for(f"Bring tscm-old back to {ADDRESS} (power it on).", limit=120)
        assert answers(lab, time.time() - 0.5) == [], "tscm-new has left first"
        lab.power_on("old")
        screen.type("y")
        assert screen.finish(120) == 0, screen.shown
    finally:
        screen.close()
    assert_rolled_back(lab, since, before)


def test_a_rollback_of_an_earlier_run_keeps_the_files_of_a_later_one(make_lab: MakeLab) -> None:
    lab = make_lab()
    site = lab.inventory.read_text()
    lab.inventory.write_text(f'{site}\n[notify]\nbefore_step = "test $TSCM_STEP != backup"\non_failure = "stop"\n')
    failed = lab.run_tool(*MIGRATE, "--yes", env=ENV, timeout=400)
    assert failed.returncode == 1, failed.stdout + failed.stderr
    lab.inventory.write_text(site)
    migrated(lab, "--no-restore-ssh")
    hash_command = "sha256sum /var/lib/tscm-migrate/own-settings.tar"
    before = lab.on("new", hash_command).stdout
    assert before
    result = lab.run_tool("rollback", run_of(failed.stdout), "--yes", env=ENV, timeout=400)
    assert result.returncode == 0, result.stdout + result.stderr
    assert lab.on("new", hash_command).stdout == before, "the later run's files for its rollback are kept"


@pytest.mark.parametrize("who", ["tscm-new", "another-host"])
def test_the_old_appliance_stays_off_while_its_address_may_be_in_use(make_lab: MakeLab, who: str) -> None:
    lab = make_lab()
    with Switch(lab) as switch:
        hooks = {"online": switch.command("on")}
        if who == "another-host":  # tscm-new is off, so it cannot look for hosts on its network
            hooks["offline"] = "case $TSCM_ROLE in new) ;; *) exit 1;; esac"
            run = migrated(lab)
            lab.power_off("new")
            lab.on("watcher", f"ip addr add {ADDRESS}/24 dev eth0")
        else:  # tscm-new answers, but accepts no login: it cannot be isolated, and the run is unattended
            run = migrated(lab)
            lab.on("new", "systemctl stop ssh")
        with_hooks(lab, **hooks)
        result = lab.run_tool("rollback", run, "--yes", env=ENV, timeout=400)
        output = result.stdout + result.stderr
        assert result.returncode == 4, output
        assert f"tscm-migrate rollback {run}" in output
        assert "two hosts would answer at one address" in output
        assert "tscm-migrate resume" not in output, "a rollback does not recommend resume"
        announced = re.findall(r"^\d+\. (.*)$", output, re.MULTILINE)
        assert "return tscm-old to 10.1.1.43" in announced
        assert not any("ompare" in line or "packages" in line for line in announced), announced
        assert switch.pressed == []
    assert not lab.is_on("old")
    assert lab.collisions() == []
