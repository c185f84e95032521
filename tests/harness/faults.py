"""Faults of the world around the tool: what can happen to an appliance or the wire while a migration is under way.

Each is a pair: what happens, and what a person does about it before the run is resumed or rolled back ("heal").
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.namespaces import NamespaceLab


@dataclass(frozen=True)
class Trouble:
    """One kind of fault. `spoils`: files on the appliance may be damaged by it, so their loss is not the tool's."""

    strike: Callable[[NamespaceLab, str], None]
    heal: Callable[[NamespaceLab, str], None]
    spoils: bool = False


def _shell(script: str) -> Callable[[NamespaceLab, str], None]:
    def do(lab: NamespaceLab, name: str) -> None:
        lab.wait_settled(name)
        if lab.is_on(name):
            lab.on(name, script)

    return do


def _nothing(_lab: NamespaceLab, _name: str) -> None:
    """There is nothing to mend."""


def _off(lab: NamespaceLab, name: str) -> None:
    lab.power_off(name)


def _cut(lab: NamespaceLab, name: str) -> None:
    """The cable is out until it is put back: packets vanish, and nobody says so."""
    lab.cut(name)


def _uncut(lab: NamespaceLab, name: str) -> None:
    lab.mend(name)


def _make_room(lab: NamespaceLab, name: str) -> None:
    for file in (lab.root_of(name) / "opt/threatstop/backup").glob(".filler*"):
        file.unlink()


def _blink(lab: NamespaceLab, name: str) -> None:
    """The cable is out for two seconds."""
    lab.cut(name)
    time.sleep(2)
    lab.mend(name)


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

TROUBLES: dict[str, Trouble] = {
    "power cut": Trouble(_off, _nothing),  # who is switched on again depends on how far the run was: see chaos
    "cable out for a while": Trouble(_blink, _nothing),
    "sshd restarted": Trouble(_shell("systemctl restart ssh"), _nothing),
    "sessions ended": Trouble(_shell(_END_SESSIONS), _nothing),
    "cable out": Trouble(_cut, _uncut),
    "sshd accepts and says nothing": Trouble(  # the kernel accepts for a server that is stopped
        _shell("kill -STOP $(cat /run/lab.ssh); " + _END_SESSIONS),
        _shell("kill -CONT $(cat /run/lab.ssh) 2>/dev/null || :"),
    ),
    "host key changed by someone else": Trouble(
        _shell(_OTHER_KEYS),
        _shell("[ ! -e /root/keys.away ] || { mv /root/keys.away/* /etc/ssh/; rmdir /root/keys.away; "
               "systemctl restart ssh; }"),
    ),
    "disk full": Trouble(_shell(_FULL), _make_room),
    "backup folder read-only": Trouble(
        _shell("mount --bind /opt/threatstop/backup /opt/threatstop/backup && "
               "mount -o remount,bind,ro /opt/threatstop/backup"),
        _shell("umount /opt/threatstop/backup 2>/dev/null || :"),
    ),
    "sudo revoked": Trouble(
        _shell("mv /etc/sudoers.d/threatstop /root/sudoers.away"),
        _shell("[ ! -e /root/sudoers.away ] || mv /root/sudoers.away /etc/sudoers.d/threatstop"),
    ),
    "cron entry comes back": Trouble(
        _shell("[ -e /etc/cron.d/multidevice-core ] || "
               "cp /var/lib/tscm-migrate/held/multidevice-core /etc/cron.d/ 2>/dev/null || :"),
        _nothing,
    ),
    "newest archive damaged": Trouble(_shell(_DAMAGE), _nothing, spoils=True),
    "ts-update that ignores signals": Trouble(
        _shell("cat >/root/ts-update <<'E'\n#!/bin/sh\ntrap '' TERM HUP INT\nfor i in $(seq 900); do sleep 1; done\nE\n"
               "chmod 755 /root/ts-update; setsid /root/ts-update >/dev/null 2>&1 </dev/null &"),
        _shell("pkill -KILL -f /root/ts-update || :"),
    ),
}  # fmt: skip

# What tsadmin and the machine do wrong by themselves: names and values of `profile.FAULTS`, and on which side.
TSADMIN: tuple[tuple[str, str, object], ...] = (
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
