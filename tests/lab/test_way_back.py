"""A rollback after the old one was powered off: by a hook, by hand, and refused where two would answer."""

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
    """A run that went through; its id."""
    result = lab.run_tool(*MIGRATE, "--yes", "--no-rehearsal", *options, env=ENV, timeout=400)
    assert result.returncode == 0, result.stdout + result.stderr
    return run_of(result.stdout)


def answers(lab: NamespaceLab, since: float) -> list[str]:
    """Who answered for the old address, by ARP, one after the other."""
    names = {mac: name for name, mac in MACS.items()}
    seen = [names[one.mac] for one in lab.heard() if (one.ip, one.kind) == (ADDRESS, "reply") and one.at >= since]
    return [name for index, name in enumerate(seen) if not index or seen[index - 1] != name]


def as_before(lab: NamespaceLab, since: float, state: dict[str, str]) -> None:
    """The old one serves with its updates, the new one left first and is what it was."""
    assert lab.addresses() == {"old": ADDRESS, "new": "10.1.1.50"}
    assert answers(lab, since) == ["new", "old"]
    assert lab.collisions() == []
    assert {name: look(lab, name) for name in ("old", "new")} == state


def look(lab: NamespaceLab, name: str) -> str:
    """What a migration changes, and a rollback brings back."""
    return lab.on(
        name,
        "cat /etc/cron.d/*; find /opt/threatstop/etc -type f -exec sha256sum {} + | sort; "
        "cat /etc/ssh/ssh_host_*_key.pub /etc/hostname /etc/network/interfaces; "
        "ls -A /etc/cron.d /var/lib/tscm-migrate 2>/dev/null | grep -v tscm-migrate",
    ).stdout


def with_hooks(lab: NamespaceLab, **hooks: str) -> None:
    text = "".join(f"{name} = {json.dumps(command)}\n" for name, command in hooks.items())
    lab.inventory.write_text(f"{lab.inventory.read_text()}\n[hooks]\n{text}")


def test_a_hook_switches_the_old_one_on_again(make_lab: MakeLab) -> None:
    lab = make_lab()
    before = {name: look(lab, name) for name in ("old", "new")}
    assert "ts-update" in before["old"]
    with Switch(lab) as switch:
        with_hooks(lab, online=switch.command("on"))
        run, since = migrated(lab), time.time()
        assert not lab.is_on("old")
        assert switch.pressed == []
        result = lab.run_tool("rollback", run, "--yes", env=ENV, timeout=400)
        assert result.returncode == 0, result.stdout + result.stderr
        assert switch.pressed == ["on.old"]
    as_before(lab, since, before)


def test_a_new_one_that_kept_its_own_address_gets_its_own_devices_and_identity_back(make_lab: MakeLab) -> None:
    lab = make_lab()
    slow = (
        "systemctl stop ssh; setsid sh -c 'sleep 2; systemctl start ssh' >/dev/null 2>&1 &"  # nobody listens meanwhile
    )
    text = lab.inventory.read_text()
    lab.inventory.write_text(f"{text}\n[hosts.tscm-new.commands]\nreload_ssh = {json.dumps(slow)}\n")
    before = {name: look(lab, name) for name in ("old", "new")}
    pins = lab.inventory.with_name("known_hosts").read_text()
    with Switch(lab) as switch:
        with_hooks(lab, online=switch.command("on"))
        went = lab.run_tool(*MIGRATE, "--yes", "--bypass-netconf", env=ENV, timeout=400)
        assert went.returncode == 4, all_output(went)
        assert look(lab, "new") != before["new"]
        result = lab.run_tool("rollback", run_of(went.stdout), "--yes", env=ENV, timeout=400)
        assert result.returncode == 0, all_output(result)
    assert {name: look(lab, name) for name in ("old", "new")} == before, all_output(result)
    assert lab.addresses() == {"old": ADDRESS, "new": "10.1.1.50"}
    assert lab.inventory.with_name("known_hosts").read_text() == pins
    check = lab.run_tool("plan", "--checks-only", *PAIR, env=ENV)  # each shows the key that is pinned for it
    assert check.returncode == 0, all_output(check)


def test_what_a_rollback_cannot_undo_is_named_and_unreadable_macs_are_no_other_host(make_lab: MakeLab) -> None:
    lab = make_lab()
    # its devices are outside of the folder that is kept, and its restore writes one file more
    program = lab.on("new", "readlink -f $(command -v tsadmin)").stdout.strip()
    wrapper = f"""#!/bin/sh
[ "$1" != restore ] || {{ echo x >/srv/feed/edge.list; echo "writing /srv/feed/edge.list"; }}
exec {program}.real "$@"
"""
    lab.on("new", f"mv {program} {program}.real; printf %s {shlex.quote(wrapper)} >{program}; chmod 755 {program}; "
                  "mkdir -p /srv/devices /srv/feed; chmod 777 /srv/feed; cd /opt/threatstop/etc && rm -rf devices && ln -s /srv/devices devices")  # fmt: skip
    for name in ("old", "new"):  # neither /sys nor ip tells a MAC
        lab.on(name, "umount -l /sys; i=$(command -v ip); mv $i /usr/local/sbin/ip.real; printf '%s\\n' '#!/bin/sh' "
                     "'case \"$*\" in \"-o link\") exit 1;; esac' 'exec /usr/local/sbin/ip.real \"$@\"' >$i; chmod 755 $i")  # fmt: skip
    with Switch(lab) as switch:
        with_hooks(lab, online=switch.command("on"))
        run = migrated(lab)
        result = lab.run_tool("rollback", run, "--yes", env=ENV, timeout=400)
        assert result.returncode == 4, all_output(result)
    told = " ".join((result.stdout + result.stderr).split())
    assert "all changes were undone" not in told
    assert "/srv/feed/edge.list was written by the restore" in told
    for device in lab.profile("old").devices:
        assert f"device {device.name} came with the restore and is still there" in told
    assert lab.addresses() == {"old": ADDRESS, "new": "10.1.1.50"}
    assert lab.collisions() == []
    lab.on("new", "rm -rf /srv/devices/* /srv/feed")
    again = lab.run_tool("rollback", run, "--yes", env=ENV, timeout=400)
    assert again.returncode == 0, all_output(again)


def test_cron_entries_that_a_restore_has_brought_go_again(make_lab: MakeLab) -> None:
    lab = make_lab()
    for name in ("old", "new"):
        lab.on(name, f"echo '# of the {name} one' > /etc/cron.d/site-job")
    before = {name: look(lab, name) for name in ("old", "new")}
    with Switch(lab) as switch:
        with_hooks(lab, online=switch.command("on"))
        run, since = migrated(lab, "--restore-cron"), time.time()
        assert "of the old one" in look(lab, "new")
        result = lab.run_tool("rollback", run, "--yes", env=ENV, timeout=400)
        assert result.returncode == 0, all_output(result)
    as_before(lab, since, before)


def test_a_person_switches_the_old_one_on_again(make_lab: MakeLab) -> None:
    lab = make_lab()
    before = {name: look(lab, name) for name in ("old", "new")}
    run, since = migrated(lab, "--no-encrypt"), time.time()
    screen = Terminal(lab.workstation.tool("rollback", run), {**lab.env(), **ENV})
    try:
        screen.wait_for("Undo this on", limit=60)
        screen.type("y")
        screen.wait_for(f"Bring tscm-old back to {ADDRESS} (power it on).", limit=120)
        assert answers(lab, time.time() - 0.5) == [], "the new one has left first"
        lab.power_on("old")
        screen.type("y")
        assert screen.finish(120) == 0, screen.shown
    finally:
        screen.close()
    as_before(lab, since, before)


def test_a_run_that_was_put_back_takes_nothing_of_a_later_one_with_it(make_lab: MakeLab) -> None:
    lab = make_lab()
    site = lab.inventory.read_text()
    lab.inventory.write_text(f'{site}\n[notify]\nbefore_step = "test $TSCM_STEP != backup"\non_failure = "stop"\n')
    failed = lab.run_tool(*MIGRATE, "--yes", env=ENV, timeout=400)
    assert failed.returncode == 1, failed.stdout + failed.stderr
    lab.inventory.write_text(site)
    migrated(lab, "--no-restore-ssh")
    kept = "sha256sum /var/lib/tscm-migrate/own-settings.tar"
    before = lab.on("new", kept).stdout
    assert before
    result = lab.run_tool("rollback", run_of(failed.stdout), "--yes", env=ENV, timeout=400)
    assert result.returncode == 0, result.stdout + result.stderr
    assert lab.on("new", kept).stdout == before, "what the later run has kept for its own rollback"


@pytest.mark.parametrize("who", ["the-new-one", "a-stranger"])
def test_the_old_one_is_not_switched_on_while_another_may_answer(make_lab: MakeLab, who: str) -> None:
    lab = make_lab()
    with Switch(lab) as switch:
        hooks = {"online": switch.command("on")}
        if who == "a-stranger":  # the new one is off, and cannot be asked who is on its wire
            hooks["offline"] = "case $TSCM_ROLE in new) ;; *) exit 1;; esac"
            run = migrated(lab)
            lab.power_off("new")
            lab.on("watcher", f"ip addr add {ADDRESS}/24 dev eth0")
        else:  # it answers, and nobody may log in: it cannot be taken off, and nobody is there to do it
            run = migrated(lab)
            lab.on("new", "systemctl stop ssh")
        with_hooks(lab, **hooks)
        result = lab.run_tool("rollback", run, "--yes", env=ENV, timeout=400)
        said = result.stdout + result.stderr
        assert result.returncode == 4, said
        assert f"tscm-migrate rollback {run}" in said
        assert "two hosts would answer at one address" in said
        assert "tscm-migrate resume" not in said, "whoever goes back is not told to go on"
        announced = re.findall(r"^\d+\. (.*)$", said, re.MULTILINE)
        assert "return tscm-old to 10.1.1.43" in announced
        assert not any("ompare" in line or "packages" in line for line in announced), announced
        assert switch.pressed == []
    assert not lab.is_on("old")
    assert lab.collisions() == []
