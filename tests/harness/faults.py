"""Faults of the environment: what can happen to an appliance or to the network during a migration.

Each is a pair of functions: `cause` makes it happen, `repair` does what an operator does before the run is resumed or
rolled back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.namespaces import NamespaceLab


@dataclass(frozen=True)
class EnvironmentFault:
    """One kind of fault. `may_damage_files`: it may damage one file on the appliance, which is then not the tool's loss."""

    cause: Callable[[NamespaceLab, str], None]
    repair: Callable[[NamespaceLab, str], None]
    may_damage_files: bool = False


def _shell(script: str) -> Callable[[NamespaceLab, str], None]:
    def do(lab: NamespaceLab, name: str) -> None:
        lab.wait_settled(name)
        if lab.is_on(name):
            lab.on(name, script)

    return do


def _nothing(_lab: NamespaceLab, _name: str) -> None:
    """Nothing has to be repaired."""


def _off(lab: NamespaceLab, name: str) -> None:
    lab.power_off(name)


def _disconnect(lab: NamespaceLab, name: str) -> None:
    """Disconnect the cable: packets are lost without an error."""
    lab.cut(name)


def _reconnect(lab: NamespaceLab, name: str) -> None:
    lab.reconnect(name)


def _make_room(lab: NamespaceLab, name: str) -> None:
    for file in (lab.root_of(name) / "opt/threatstop/backup").glob(".filler*"):
        file.unlink()


def _disconnect_briefly(lab: NamespaceLab, name: str) -> None:
    """Disconnect the cable for two seconds."""
    lab.cut(name)
    time.sleep(2)
    lab.reconnect(name)


_FULL = "f=/opt/threatstop/backup/.filler; for n in 1M 512; do dd if=/dev/zero of=$f.$n bs=$n 2>/dev/null; done"
_DAMAGE = (
    "for f in $(ls -t /opt/threatstop/backup/*.tsbak* 2>/dev/null | head -n 1); do [ -L $f ] || "
    "printf damaged | dd of=$f bs=1 seek=2000 conv=notrunc 2>/dev/null; done"
)

_END_SESSIONS = "pkill -KILL -u threatstop sshd || :"
_OTHER_KEYS = (
    "mkdir /root/keys.away && cp -p /etc/ssh/ssh_host_* /root/keys.away/ && cd /etc/ssh && "
    "for f in ssh_host_*_key; do t=${f#ssh_host_}; rm $f; "
    "ssh-keygen -q -t ${t%_key} -N '' -f $f; done; systemctl restart ssh; " + _END_SESSIONS
)

ENVIRONMENT_FAULTS: dict[str, EnvironmentFault] = {
    "power cut": EnvironmentFault(_off, _nothing),  # chaos switches on again, depending on how far the run was
    "cable out for a while": EnvironmentFault(_disconnect_briefly, _nothing),
    "sshd restarted": EnvironmentFault(_shell("systemctl restart ssh"), _nothing),
    "sessions ended": EnvironmentFault(_shell(_END_SESSIONS), _nothing),
    "cable out": EnvironmentFault(_disconnect, _reconnect),
    "sshd accepts and says nothing": EnvironmentFault(  # the kernel accepts connections of a stopped server
        _shell("kill -STOP $(cat /run/lab.ssh); " + _END_SESSIONS),
        _shell("kill -CONT $(cat /run/lab.ssh) 2>/dev/null || :"),
    ),
    "host key changed by someone else": EnvironmentFault(
        _shell(_OTHER_KEYS),
        _shell("[ ! -e /root/keys.away ] || { mv /root/keys.away/* /etc/ssh/; rmdir /root/keys.away; "
               "systemctl restart ssh; }"),
    ),
    "disk full": EnvironmentFault(_shell(_FULL), _make_room),
    "backup folder read-only": EnvironmentFault(
        _shell("mount --bind /opt/threatstop/backup /opt/threatstop/backup && "
               "mount -o remount,bind,ro /opt/threatstop/backup"),
        _shell("umount /opt/threatstop/backup 2>/dev/null || :"),
    ),
    "sudo revoked": EnvironmentFault(
        _shell("mv /etc/sudoers.d/threatstop /root/sudoers.away"),
        _shell("[ ! -e /root/sudoers.away ] || mv /root/sudoers.away /etc/sudoers.d/threatstop"),
    ),
    "cron entry comes back": EnvironmentFault(
        _shell("[ -e /etc/cron.d/multidevice-core ] || "
               "cp /var/lib/tscm-migrate/held/multidevice-core /etc/cron.d/ 2>/dev/null || :"),
        _nothing,
    ),
    "newest archive damaged": EnvironmentFault(_shell(_DAMAGE), _nothing, may_damage_files=True),
    "ts-update that ignores signals": EnvironmentFault(
        _shell("cat >/root/ts-update <<'E'\n#!/bin/sh\ntrap '' TERM HUP INT\nfor i in $(seq 900); do sleep 1; done\nE\n"
               "chmod 755 /root/ts-update; setsid /root/ts-update >/dev/null 2>&1 </dev/null &"),
        _shell("pkill -KILL -f /root/ts-update || :"),
    ),
}  # fmt: skip

# Faults of tsadmin and of the machine: the appliance, and names and values of `tests.harness.profile.FAULTS`.
TSADMIN_FAULTS: tuple[tuple[str, str, object], ...] = (
    ("old", "lies_exit0_without_archive", True),
    ("old", "lies_exit1_with_archive", True),
    ("old", "truncates_archive", True),
    ("old", "backup_fails", "no space left on device"),
    ("old", "hangs_backup", 3),
    ("old", "hangs_backup", 3600),
    ("new", "hangs_restore", 3),
    ("new", "hangs_restore", 3600),
    ("new", "restore_fails", True),
    ("new", "restore_exit1", True),
    ("new", "update_fails", ["edge-asa"]),
    ("new", "hides_archives", True),
    ("new", "floods", 20_000_000),
    ("new", "floods", 10**15),
    ("new", "drips", 0.5),
    ("old", "drips", 0.5),
    ("new", "reboot_mute_seconds", 4),
    ("new", "reboot_seconds", 12),
    ("new", "reboot_never", True),
    ("new", "reboot_keeps_address", True),
)
