"""Make an appliance from a copy of this machine's root: user, keys, sudo, cron, power commands."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness.namespaces.controller import PYTHON, LabError
from tscm_migrate.demo import guest

if TYPE_CHECKING:
    from tests.harness.profile import Profile

EMPTY = {
    **dict.fromkeys((f"etc/cron.{part}" for part in ("d", "hourly", "daily", "weekly", "monthly")), 0o755),
    **dict.fromkeys(("etc/network", "etc/ssh", "etc/sudoers.d", "home", "opt", "var/log"), 0o755),
    "root": 0o700,
    "var/spool/cron/crontabs": 0o1730,
}
"""Folders of this machine's root that are empty on an appliance, with their modes."""

LIB = "/usr/local/lib/tscm-lab"
USER, UID = "threatstop", 1500
HOME = "/home/threatstop"
KEY_TYPES = ("ed25519", "ecdsa", "rsa")

SSHD_CONFIG = """Port 22
HostKey /etc/ssh/ssh_host_rsa_key
HostKey /etc/ssh/ssh_host_ecdsa_key
HostKey /etc/ssh/ssh_host_ed25519_key
UsePAM yes
UseDNS no
PasswordAuthentication yes
KbdInteractiveAuthentication no
PermitRootLogin no
PrintMotd no
MaxStartups 200
MaxSessions 100
AcceptEnv LANG LC_*
Subsystem sftp /usr/lib/openssh/sftp-server
"""
SUDOERS = """Defaults env_reset
Defaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
root ALL=(ALL:ALL) ALL
@includedir /etc/sudoers.d
"""

POWER = Path(__file__).with_name("power.sh")
POWER_NAMES = ("usr/sbin/shutdown", "usr/sbin/reboot", "usr/sbin/poweroff", "usr/sbin/halt", "usr/bin/systemctl")


def sudoers(profile: Profile, lib: str, user: str = "threatstop") -> str:
    """Return the text of a sudoers file: rules for the appliance's programs, and for the user by profile."""
    lines = [f"# {user} on a simulated appliance"]
    if profile.sudo_allowed:
        lines.append(f"{user} ALL=(ALL:ALL) {'NOPASSWD: ' if profile.sudo_password is None else ''}ALL")  # prose: keep
    if not profile.tsadmin_needs_sudo:
        lines.append(f"{user} ALL=(root) NOPASSWD: {lib}/as-root")
    return "\n".join(lines) + "\n"


def put(root: Path, path: str, text: str, mode: int = 0o644, uid: int = 0) -> None:
    """Write a file below a root; an existing one is deleted first, because a symbolic link could leave the root."""
    target = root / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.write_text(text)
    target.chmod(mode)
    os.chown(target, uid, uid)


def without_user(text: str) -> str:
    """Return a passwd, shadow or group file without the user threatstop, and without others of its id."""
    lines = text.splitlines()
    others = [line for line in lines if line.split(":")[0] != USER and f":{UID}:" not in line]
    return "".join(line + "\n" for line in others)


def crypt(password: str) -> str:
    """Return the hash for /etc/shadow; openssl gets the password through a pipe."""
    command = ["openssl", "passwd", "-6", "-stdin"]
    return subprocess.run(command, input=password, capture_output=True, text=True, check=True).stdout.strip()


def account(root: Path, profile: Profile, client_key: str) -> None:
    """Create the user with its home, key and sudo rules."""
    shell = profile.login_shell
    if not (root / shell.lstrip("/")).exists():
        raise LabError(f"login shell {shell} is not installed on this machine")
    etc = root / "etc"
    password = crypt(profile.sudo_password) if profile.sudo_password else "*"
    for name, line, mode in (
        ("passwd", f"{USER}:x:{UID}:{UID}:ThreatSTOP:{HOME}:{shell}", 0o644),
        ("group", f"{USER}:x:{UID}:", 0o644),
        (
            "shadow",
            f"{USER}:{password}:19000:0:99999:7:::",
            0o640,
        ),
    ):
        put(root, f"etc/{name}", without_user((etc / name).read_text()) + line + "\n", mode)
    home = root / HOME.lstrip("/")
    for folder, mode in ((home, 0o755), (home / ".ssh", 0o700)):
        folder.mkdir(mode=mode)
        shutil.chown(folder, UID, UID)
    put(root, f"{HOME}/.ssh/authorized_keys", client_key, 0o600, UID)
    put(root, f"{HOME}/.profile", 'PATH="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"\n', 0o644, UID)
    put(root, "etc/sudoers", SUDOERS, 0o440)
    put(root, "etc/sudoers.d/threatstop", sudoers(profile, LIB, USER), 0o440)


def uninstall(root: Path, names: tuple[str, ...]) -> None:
    """Delete programs from all folders of PATH."""
    for name in names:
        for folder in ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"):
            (root / folder / name).unlink(missing_ok=True)


def provision(root: Path, profile: Profile, client_key: str, host_keys: Path) -> guest.Guest:
    """Install an appliance on a new disk.

    Args:
        root: the overlay of an appliance that is off.
        profile: its properties.
        client_key: line for authorized_keys.
        host_keys: folder with the host keys of all three types and their .pub files.
    """
    put(root, "etc/crontab", "SHELL=/bin/sh\nPATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin\n")
    put(root, "etc/hostname", profile.hostname + "\n")
    put(root, "etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {profile.hostname}\n")
    put(root, "etc/resolv.conf", "".join(f"nameserver {one}\n" for one in profile.dns))
    put(root, "etc/ssh/sshd_config", SSHD_CONFIG)
    for kind in KEY_TYPES:
        key = host_keys / f"ssh_host_{kind}_key"
        put(root, f"etc/ssh/{key.name}", key.read_text(), 0o600)
        put(root, f"etc/ssh/{key.name}.pub", Path(f"{key}.pub").read_text())
    for name in POWER_NAMES:
        put(root, name, POWER.read_text(), 0o755)
    uninstall(root, profile.missing)
    account(root, profile, client_key)
    config = {"privileged": True, "owner": [UID, UID], "as_root": f"{LIB}/as-root"}
    made = guest.install(root, profile, inside="/", lib=LIB, python=PYTHON, config=config)
    profile.customise(made)
    helper = made.host(f"{LIB}/as-root")
    helper.write_text(f'#!/bin/sh\nexec {made.call} "$@"\n')
    helper.chmod(0o755)
    for top in (*(made.path(name) for name in ("backup", "etc", "log", "home")), made.host(f"{LIB}/var")):
        for path in (top, *top.rglob("*")):
            os.chown(path, UID, UID, follow_symlinks=False)
    return made


_RSA: dict[str, tuple[str, str]] = {}  # appliance → its keys: making an RSA key takes longer than the rest of a host


def make_keys(name: str, folder: Path, comment: str) -> None:
    """Make host keys of all three types; the RSA key that this process made for the appliance before is used again."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = []
    for kind in KEY_TYPES:
        size = ["-b", "2048"] if kind == "rsa" else []
        target = folder / f"ssh_host_{kind}_key"
        target.unlink(missing_ok=True)
        if kind == "rsa" and name in _RSA:
            target.touch(0o600)
            for path, text in zip((target, target.with_suffix(".pub")), _RSA[name], strict=True):
                path.write_text(text)
            continue
        command = ["ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-C", comment, "-f", str(target)]
        jobs.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
    if any(job.wait(60) for job in jobs):
        raise LabError("ssh-keygen failed")
    rsa = folder / "ssh_host_rsa_key"
    _RSA[name] = (rsa.read_text(), rsa.with_suffix(".pub").read_text())
