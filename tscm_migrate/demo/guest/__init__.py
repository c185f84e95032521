"""Installs a simulated appliance: its programs and files below a root folder."""

from __future__ import annotations

import compileall
import json
import os
import shutil
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tscm_migrate.demo.guest import wrappers
from tscm_migrate.demo.guest.handle import Guest
from tscm_migrate.demo.guest.inside import devices
from tscm_migrate.demo.guest.inside.base import Machine
from tscm_migrate.demo.guest.inside.netfile import Net
from tscm_migrate.demo.guest.inside.netfile import read as read_net
from tscm_migrate.demo.guest.inside.netfile import write as write_net

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tscm_migrate.demo.profile import Profile

__all__ = ["Guest", "Net", "install", "read_net", "write_net"]

LIB = "/usr/local/lib/tscm-lab"
USER = "threatstop"
PATHS = {
    "backup": "/opt/threatstop/backup",
    "etc": "/opt/threatstop/etc",
    "devices": "/opt/threatstop/etc/devices",
    "log": "/var/log/threatstop",
    "cron_d": "/etc/cron.d",
    "ssh": "/etc/ssh",
    "interfaces": "/etc/network/interfaces",
    "os_release": "/etc/os-release",
    "bin": "/usr/local/bin",
    "home": f"/home/{USER}",
    "tmp": "/tmp",
}

COMMANDS = {"reboot": ["shutdown", "-r", "now"], "restart_ssh": ["systemctl", "restart", "ssh"]}


def install(
    root: Path,
    profile: Profile,
    *,
    inside: str = "/",
    lib: str = LIB,
    python: str | None = None,
    privileged: bool = True,
    owner: tuple[int, int] | None = None,
    commands: Mapping[str, list[str]] | None = None,
) -> Guest:
    """Install a simulated appliance below `root`.

    Args:
        root: the appliance's root folder on this machine; may contain an operating system already.
        profile: of the appliance.
        inside: path of `root` for the programs: "/", or the same absolute path (embedded lab).
        lib: folder for programs, state and the lab's journal, as the programs see it.
        python: path of the interpreter for the programs; default: this interpreter.
        privileged: the programs become root by sudo; False if that is not possible.
        owner: uid and gid of the appliance's user; None: do not change owners.
        commands: commands that restart the machine ("reboot") and sshd ("restart_ssh").

    Returns:
        A handle for the lab.
    """
    prefix = "" if inside == "/" else inside
    paths = {name: prefix + path for name, path in PATHS.items()}
    paths |= {"state": f"{lib}/var/state.json", "journal": f"{lib}/var/journal.jsonl", "as_root": f"{lib}/as-root"}
    guest = Guest(root, inside, lib)
    for name, path in paths.items():
        folder = guest.host(path)
        (folder if name in PATHS and name not in ("interfaces", "os_release") else folder.parent).mkdir(
            parents=True, exist_ok=True
        )
    config = {
        "profile": profile.for_guest(),
        "paths": paths,
        "commands": {
            "reboot": ["shutdown", "-r", "now"],
            "restart_ssh": ["systemctl", "restart", "ssh"],
            **(commands or {}),
        },
        "privileged": privileged,
        "owner": list(owner) if owner else None,
        "user": USER,
    }
    guest.host(f"{lib}/config.json").write_text(json.dumps(config), "utf-8")
    _programs(guest)
    wrappers.write(guest, profile, python or os.path.realpath(sys.executable))
    _files(guest, profile)
    _content(guest, profile)
    if owner is not None and os.geteuid() == 0:
        _own(guest, owner)
    return guest


def _programs(guest: Guest) -> None:
    target = guest.host(f"{guest.lib}/tscm_guest")
    shutil.copytree(
        Path(__file__).parent / "inside", target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
    )
    compileall.compile_dir(target, quiet=2)


def _files(guest: Guest, profile: Profile) -> None:
    """Write the settings files that describe the appliance."""
    system = f'ID={profile.os_id}\nVERSION_ID="{profile.os_version}"\nPRETTY_NAME="{profile.os_name}"\n'
    release = guest.path("os_release")
    if release.is_symlink():
        release.unlink()
    release.write_text(system, "utf-8")
    net = Net(profile.interface, profile.dhcp, profile.address, profile.prefix, profile.gateway, profile.dns)
    guest.path("interfaces").write_text(write_net(net), "utf-8")
    delay = f"sleep {profile.ts_update_delay:g}; " if profile.ts_update_delay else ""
    cron = guest.path("cron_d") / "multidevice-core"
    cron.write_text(
        "# starts the updates of all devices\nPATH=/usr/local/bin:/usr/bin:/bin\n"
        f"* * * * * {USER} {delay}ts-update {profile.ts_update_argv} >/dev/null 2>&1\n",
        "utf-8",
    )
    cron.chmod(0o644)


def _content(guest: Guest, profile: Profile) -> None:
    """Write devices, logs, earlier backups, and the state of the appliance."""
    state: dict[str, Any] = {}
    if profile.encryption_configured is not None:
        state["encrypt"] = profile.encryption_configured
        if profile.encryption_configured:
            state["passphrase"] = profile.passphrase
    guest.path("state").write_text(json.dumps(state), "utf-8")
    guest.path("journal").touch()
    guest.path("journal").chmod(0o666)
    machine = Machine.for_lab(guest.config(), guest.host)
    for device in profile.devices:
        devices.create(machine, asdict(device))
    log = guest.path("log")
    (log / "ts-backup.log").write_text("[INFO ] : Starting backup\n", "utf-8")
    (log / "syslog.bin").write_bytes(os.urandom(profile.log_bytes))
    now = datetime.now(UTC)
    for number in range(profile.archives):
        taken = now - timedelta(hours=number + 1)
        path = guest.path("backup") / f"threatstop_backup_{taken:%Y-%m-%d_%H_%M_%S}.tsbak"
        wrappers.plain_archive(path, profile, taken)
        path.chmod(0o664)
        os.utime(path, (taken.timestamp(), taken.timestamp()))
        if number == 0:
            (guest.path("backup") / "threatstop_latest.tsbak").symlink_to(
                f"{guest.config()['paths']['backup']}/{path.name}"
            )


def _own(guest: Guest, owner: tuple[int, int]) -> None:
    tops = [guest.path(name) for name in ("backup", "etc", "log", "home")]
    for top in (*tops, guest.host(f"{guest.lib}/var")):
        for path in (top, *top.rglob("*")):
            os.chown(path, *owner, follow_symlinks=False)
