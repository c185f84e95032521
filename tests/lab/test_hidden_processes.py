"""Processes that are hidden by /proc or by a pid namespace are not treated as absent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.migrations import MIGRATE, all_output, needed

if TYPE_CHECKING:
    import subprocess

    from tests.harness.namespaces import NamespaceLab
    from tests.lab.conftest import MakeLab

pytestmark = needed(600)

ENTRY = "/etc/cron.d/multidevice-core"


def start(lab: NamespaceLab, script: str) -> None:
    """Start a background process of root on the old appliance."""
    done = lab.on("old", f"setsid {script} </dev/null >/dev/null 2>&1 &")
    assert done.returncode == 0, done.stderr


def migrate(lab: NamespaceLab) -> subprocess.CompletedProcess[str]:
    """Try to migrate; assert that it stops before the backup, and restores the cron entry."""
    before = lab.on("old", f"cat {ENTRY}; ls /var/backups/threatstop").stdout
    assert "ts-update" in before
    done = lab.run_tool(*MIGRATE, "--yes", "--no-encrypt", "--drain-timeout", "6", timeout=400)
    assert lab.is_on("old"), all_output(done)
    assert lab.on("old", f"cat {ENTRY}; ls /var/backups/threatstop").stdout == before, all_output(done)
    return done


def restart_sshd(lab: NamespaceLab, how: str) -> None:
    lab.on("old", "systemctl stop ssh")
    start(lab, f"{how} /usr/sbin/sshd -D")
    lab.wait(lambda: lab.on("old", "exec 3<>/dev/tcp/127.0.0.1/22").returncode == 0 or _answers(lab), "sshd")


def _answers(lab: NamespaceLab) -> bool:
    return "SSH-" in lab.on("old", "timeout 2 bash -c 'exec 3<>/dev/tcp/127.0.0.1/22; head -c 4 <&3'").stdout


def test_a_hidden_update_of_root_is_waited_for(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.on("old", "mount -o remount,hidepid=2 /proc")
    assert "ts-update" not in lab.on("old", "ps -ww -eo args=", root=False).stdout
    lab.on("old", "printf '#!/bin/sh\\nsleep 900\\n' >/root/ts-update; chmod 755 /root/ts-update")
    start(lab, "/root/ts-update")
    hidden = migrate(lab)
    assert hidden.returncode == 1, all_output(hidden)
    assert "ts-update was still running after 6 s" in hidden.stderr, all_output(hidden)
    # a ps without these options, like busybox's; and one that shows only the caller's session
    for stand_in in ("echo 'ps: unrecognized option: w' >&2; exit 1", 'exec /usr/local/real/ps -ww -o "${@: -1}"'):
        lab.on("old", f"mkdir -p /usr/local/real; [ -e /usr/local/real/ps ] || mv /usr/bin/ps /usr/local/real/; "
                      f"printf '%s\\n' '#!/bin/bash' '{stand_in}' >/usr/bin/ps; chmod 755 /usr/bin/ps")  # fmt: skip
        other = migrate(lab)
        assert other.returncode == 1, all_output(other)
        assert "ts-update was still running after 6 s" in other.stderr, all_output(other)


def test_a_migration_is_refused_when_processes_cannot_be_seen(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.on("old", "mount -o remount,hidepid=2 /proc")
    restart_sshd(lab, "setpriv --bounding-set -sys_ptrace --inh-caps -sys_ptrace")
    blind = migrate(lab)
    assert blind.returncode == 3, all_output(blind)
    assert "hidepid" in blind.stderr, all_output(blind)
    lab.on("old", "mount -o remount,hidepid=0 /proc; kill $(cat /run/sshd.pid)")
    restart_sshd(lab, "unshare --pid --fork --mount-proc")
    inside = migrate(lab)
    assert inside.returncode == 3, all_output(inside)
    assert "pid namespace" in inside.stderr, all_output(inside)
