"""Installs a simulated appliance: its programs and files below a root folder; and the handle of an installed one."""

from __future__ import annotations

import compileall
import io
import json
import os
import shlex
import shutil
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from tscm_migrate.demo.base import Profile
from tscm_migrate.demo.guest.inside.base import Machine, Net, net_text, parse_net
from tscm_migrate.demo.guest.inside.main import create

__all__ = ["Guest", "Net", "install", "net_text"]

USER = "threatstop"
PATHS = {
    "backup": "/opt/threatstop/backup",
    "etc": "/opt/threatstop/etc",
    "devices": "/opt/threatstop/etc/devices",
    "log": "/var/log/threatstop",
    "cron_d": "/etc/cron.d",
    "ssh": "/etc/ssh",
    "bin": "/usr/local/bin",
    "home": f"/home/{USER}",
    "tmp": "/tmp",
}
FILES = {"interfaces": "/etc/network/interfaces", "os_release": "/etc/os-release"}


def install(
    root: Path, profile: Profile, *, inside: str, lib: str, python: str = "", config: Mapping[str, Any] | None = None
) -> Guest:
    """Install a simulated appliance below `root`.

    Args:
        root: the appliance's root folder on this machine; may contain an operating system already.
        profile: of the appliance.
        inside: path of `root` for the programs: "/", or the same absolute path (embedded lab).
        lib: folder for programs, state and the lab's journal, as the programs see it.
        python: path of the interpreter for the programs; default: this interpreter.
        config: more data for the programs.

    Returns:
        A handle for the lab.
    """
    prefix = "" if inside == "/" else inside
    paths = {name: prefix + path for name, path in (PATHS | FILES).items()}
    paths |= {"state": f"{lib}/var/state.json", "journal": f"{lib}/var/journal.jsonl"}
    guest = Guest(root, inside, lib, python or os.path.realpath(sys.executable))
    for name, path in paths.items():
        folder = guest.host(path)
        (folder if name in PATHS else folder.parent).mkdir(parents=True, exist_ok=True)
    data = {"profile": profile.for_guest(), "paths": paths, "user": USER, **(config or {})}
    guest.host(f"{lib}/config.json").write_text(json.dumps(data), "utf-8")
    _programs(guest, profile)
    _files(guest, profile)
    _content(guest, profile)
    return guest


def _files(guest: Guest, profile: Profile) -> None:
    """Write the settings files that describe the appliance."""
    system = f'ID={profile.os_id}\nVERSION_ID="{profile.os_version}"\nPRETTY_NAME="{profile.os_name}"\n'
    release = guest.path("os_release")
    if release.is_symlink():
        release.unlink()
    release.write_text(system, "utf-8")
    net = Net(profile.interface, profile.address, profile.prefix, profile.gateway, profile.dns)
    guest.path("interfaces").write_text(net_text(net), "utf-8")
    cron = guest.path("cron_d") / "multidevice-core"
    cron.write_text(
        "# starts the updates of all devices\nPATH=/usr/local/bin:/usr/bin:/bin\n"
        f"* * * * * {USER} ts-update --all >/dev/null 2>&1\n",
        "utf-8",
    )
    cron.chmod(0o644)


def _content(guest: Guest, profile: Profile) -> None:
    """Write devices, logs, earlier backups, and an empty journal."""
    guest.path("journal").touch()
    guest.path("journal").chmod(0o666)
    machine = Machine.for_lab(guest.config(), guest.host)
    for device in profile.devices:
        create(machine, asdict(device))
    log = guest.path("log")
    (log / "ts-backup.log").write_text("[INFO ] : Starting backup\n", "utf-8")
    (log / "syslog.bin").write_bytes(os.urandom(profile.log_bytes))
    now = datetime.now(UTC)
    for number in range(profile.archives):
        taken = now - timedelta(hours=number + 1)
        path = guest.path("backup") / f"threatstop_backup_{taken:%Y-%m-%d_%H_%M_%S}.tsbak"
        _plain_archive(path, profile, taken)
        path.chmod(0o664)
        os.utime(path, (taken.timestamp(), taken.timestamp()))
        if number == 0:
            (guest.path("backup") / "threatstop_latest.tsbak").symlink_to(
                f"{guest.config()['paths']['backup']}/{path.name}"
            )


@dataclass(frozen=True)
class Guest:
    """An installed appliance, for the machine that runs the lab.

    Args:
        root: its root folder on this machine.
        inside: path of that root for its programs: "/" in a mount namespace of its own.
        lib: folder of the programs, as they see it.
        python: path of the interpreter for the programs.
    """

    root: Path
    inside: str
    lib: str
    python: str

    @property
    def call(self) -> str:
        """The start of a shell command that runs one of the programs; its name follows."""
        return f"{shlex.quote(self.python)} -I -S {shlex.quote(f'{self.lib}/run.py')}"

    def script(self, name: str, text: str) -> None:
        """Write a program of the appliance."""
        path = self.path("bin") / name
        path.unlink(missing_ok=True)
        path.write_text(text, "utf-8")
        path.chmod(0o755)

    def host(self, path: str) -> Path:
        """Return the path on this machine for a path of the appliance's programs."""
        if self.inside == "/":
            return self.root / path.lstrip("/")
        return Path(path)

    def path(self, name: str) -> Path:
        """Return the path on this machine of a folder or file by its logical name."""
        return self.host(self.config()["paths"][name])

    def config(self) -> dict[str, Any]:
        """Return the configuration that the programs on the appliance read."""
        loaded: dict[str, Any] = json.loads(self.host(f"{self.lib}/config.json").read_text("utf-8"))
        return loaded

    def change(self, **fields: Any) -> None:
        """Change fields of the profile, also for a running appliance."""
        config = self.config()
        config["profile"] |= fields
        path = self.host(f"{self.lib}/config.json")
        part = path.with_suffix(".part")
        part.write_text(json.dumps(config), "utf-8")
        part.chmod(0o644)
        part.replace(path)

    def journal(self) -> list[dict[str, Any]]:
        """Return the lab's records: every call, every ts-update from start to end, with times in UTC."""
        path = self.path("journal")
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []

    def saved_net(self) -> Net | None:
        """Return the network settings for the next boot."""
        path = self.path("interfaces")
        return parse_net(path.read_text("utf-8")) if path.exists() else None


RUN = """import sys
sys.dont_write_bytecode = True
sys.path.insert(0, {lib!r})
from {package}.main import main
raise SystemExit(main({config!r}, sys.argv[1], sys.argv[2:]))
"""


def _programs(guest: Guest, profile: Profile) -> None:
    """Copy the programs' packages, and write tsadmin, ts-backup and ts-update."""
    lib = guest.lib
    for package in profile.PROGRAMS:
        copy_package(package, guest.host(lib))
    run = RUN.format(lib=lib, package=profile.PROGRAMS[-1], config=f"{lib}/config.json")
    guest.host(f"{lib}/run.py").write_text(run, "utf-8")
    for program in ("tsadmin", "ts-backup"):
        guest.script(program, f'#!/bin/sh\nexec {guest.call} {program} "$@"\n')
    # it stays in the process list under its own path while it works
    guest.script("ts-update", f'#!/bin/sh\n# ThreatSTOP updates\n{guest.call} ts-update-work "$@"\nexit $?\n')


def copy_package(package: str, lib: Path) -> None:
    """Copy a package below `lib`, at the place of its dotted name; the packages around it need no `__init__`."""
    source = Path(import_module(package).__path__[0])
    target = lib / package.replace(".", "/")
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(target, quiet=2)


def _plain_archive(path: Path, profile: Profile, taken: datetime) -> None:
    """Write an older archive without devices, for a list with several archives."""
    network = {"interface": profile.interface, "address": profile.address, "prefix": profile.prefix}
    manifest = {"format": 1, "hostname": profile.hostname, "created": taken.isoformat(), "network": network}
    data = json.dumps(manifest).encode()
    with tarfile.open(path, "w:gz") as tar:
        head = tarfile.TarInfo("manifest.json")
        head.size, head.mtime = len(data), int(taken.timestamp())
        tar.addfile(head, io.BytesIO(data))
