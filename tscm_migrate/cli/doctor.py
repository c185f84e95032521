"""Check the workstation and each host, with a command that fixes each problem. Changes nothing."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from tscm_migrate.errors import MigrateError
from tscm_migrate.inventory.inventory import Inventory
from tscm_migrate.model import Host
from tscm_migrate.secrets import Secrets
from tscm_migrate.ui.console import host_names, without_host
from tscm_migrate.util import private, redact
from tscm_migrate.util.operator_command import quoted

if TYPE_CHECKING:
    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.appliance.facts import Facts

_OLDEST = (3, 11)
_ROOM = 200 << 20  # bytes for journals, reports and the buffers of a transfer
_CLOCK = 300.0  # seconds
_RELEASED = datetime(2024, 1, 1, tzinfo=UTC)  # a clock that shows an earlier time is wrong
_HERE = "workstation"
_PACKAGES = {"gpg": ("gnupg", "GnuPG.GnuPG")}  # program → its package on Linux and macOS, and on Windows


@dataclass(frozen=True)
class Diagnosis:
    """The result of one check; `fix` is a command that can be copied, "" if nothing has to be fixed.

    `hosts`: the names that its text may have in it, if that is not only `where`.
    """

    where: str
    name: str
    severity: Literal["ok", "info", "warning", "error"]
    text: str
    fix: str = ""
    hosts: tuple[str, ...] = ()


def workstation(site: Inventory) -> Iterator[Diagnosis]:
    """Check Python, clock, inventory, ssh agent, key files, gpg, known_hosts, state folder and keyring."""
    yield _python()
    yield _clock()
    yield _inventory(site)
    yield _agent()
    yield from _keys(site)
    yield _gpg()
    yield _known_hosts(site)
    yield _state()
    yield _keyring()


def _ok(name: str, text: str) -> Diagnosis:
    return Diagnosis(_HERE, name, "ok", text)


def _python() -> Diagnosis:
    version = platform.python_version()
    if sys.version_info[:2] < _OLDEST:  # in a checkout; the wheel cannot be installed there
        return Diagnosis(
            _HERE, "python", "error", f"Python {version} is too old", _install("python3", "Python.Python.3.13")
        )
    return _ok("python", f"Python {version} on {platform.system()}")


def _install(package: str, of_windows: str) -> str:
    """Return the command that installs a package on this workstation."""
    if os.name == "nt":
        return f"winget install {of_windows}"
    tools = ("apt-get", "dnf", "zypper", "pacman", "brew")
    manager = next((tool for tool in tools if shutil.which(tool)), "apt-get")
    verb = "-S" if manager == "pacman" else "install"
    return f"{'' if manager == 'brew' else 'sudo '}{manager} {verb} {package}"


def _clock() -> Diagnosis:
    now = datetime.now(UTC)
    shown = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if now < _RELEASED:
        fix = "w32tm /resync" if os.name == "nt" else "sudo timedatectl set-ntp true"
        return Diagnosis(_HERE, "clock", "error", f"{shown} is wrong; archives and runs are named by the time", fix)
    return _ok("clock", shown)


def _inventory(site: Inventory) -> Diagnosis:
    if site.path is None:
        return Diagnosis(_HERE, "inventory", "warning", "no inventory file", "tscm-migrate init")
    return _ok("inventory", f"{site.path}: {len(site.hosts)} hosts")


def _agent() -> Diagnosis:
    import paramiko

    try:
        agent = paramiko.Agent()
        count = len(agent.get_keys())
        agent.close()
    except (paramiko.SSHException, OSError, EOFError):
        count = 0
    if count:
        return _ok("agent", f"the ssh agent has {count} keys")
    start = "Start-Service ssh-agent; ssh-add" if os.name == "nt" else "eval $(ssh-agent) && ssh-add"
    return Diagnosis(_HERE, "agent", "info", "no ssh agent with keys; a key file or a password is enough", start)


def _keys(site: Inventory) -> Iterator[Diagnosis]:
    for file in sorted({host.identity_file for host in site.hosts.values() if host.identity_file}):
        if not file.is_file():
            yield Diagnosis(_HERE, "key", "error", f"{file} does not exist", f"ssh-keygen -t ed25519 -f {quoted(file)}")
        elif os.name != "nt" and file.stat().st_mode & 0o077:
            yield Diagnosis(_HERE, "key", "warning", f"other users can read {file}", f"chmod 600 {quoted(file)}")
        else:
            yield _ok("key", str(file))


def _gpg() -> Diagnosis:
    path = shutil.which("gpg")
    if path:
        return _ok("gpg", path)
    text = "gpg is not installed; only needed to encrypt unencrypted archives off-site and to test them here"
    return Diagnosis(_HERE, "gpg", "info", text, _install(*_PACKAGES["gpg"]))


def _known_hosts(site: Inventory) -> Diagnosis:
    if site.known_hosts.is_file():
        return _ok("known_hosts", str(site.known_hosts))
    first = next(iter(site.hosts), "HOST")
    text = f"no host key is pinned yet ({site.known_hosts})"
    return Diagnosis(_HERE, "known_hosts", "warning", text, f"tscm-migrate host pin {first}")


def _state() -> Diagnosis:
    folder = private.state_folder()
    other = '$env:TSCM_STATE = "D:\\tscm-state"' if os.name == "nt" else 'export TSCM_STATE="$HOME/tscm-state"'
    try:
        private.folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        return Diagnosis(_HERE, "state", "error", f"{folder} cannot be written: {error.strerror}", other)
    if free < _ROOM:
        return Diagnosis(_HERE, "state", "warning", f"{folder} has only {free / 1e6:.0f} MB free", other)
    return _ok("state", f"{folder} ({free / 1e9:.1f} GB free)")


def _keyring() -> Diagnosis:
    try:
        import keyring

        name = type(keyring.get_keyring()).__module__
    except Exception:  # noqa: BLE001 - backends raise what they like; on a server there is usually none
        name = "fail"
    if name.rpartition(".")[2] in {"fail", "null"}:
        text = "no keyring; secrets can come from a prompt, a file, a variable or a command (see the inventory)"
        return Diagnosis(_HERE, "keyring", "info", text, "tscm-migrate secret list")
    return _ok("keyring", name)


def host(one: Host, secrets: Secrets) -> Iterator[Diagnosis]:
    """Check key, login, sudo, tsadmin, disk, clock and archives of an appliance, as far as it can be reached."""
    from tscm_migrate.appliance import facts as facts_of
    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.ssh.connect import connect

    yield from _ssh(one)
    appliance = Appliance(one, lambda h, expect=None: connect(h, credentials=secrets, expect=expect))
    try:
        user = appliance.shell.host.user  # ~/.ssh/config may have another one than the inventory
        yield Diagnosis(one.name, "login", "ok", f"as {user}, host key {appliance.shell.server_fingerprint()}")
        try:
            appliance.shell.sudo_ready()
            yield Diagnosis(one.name, "sudo", "ok", "works")
        except MigrateError as error:
            yield Diagnosis(one.name, "sudo", "error", error.message(), error.remedy())
        yield from _facts(one, facts_of.gather(appliance))
        yield from _lent_keys(one, appliance)
    except MigrateError as error:
        yield Diagnosis(one.name, error.code, "error", error.message(), error.remedy())
    finally:
        appliance.close()


def _ssh(one: Host) -> Iterator[Diagnosis]:
    """Show what a connection uses of the inventory and of ~/.ssh/config, and what of the latter does not apply."""
    from tscm_migrate.ssh import ssh_config

    yield Diagnosis(one.name, "ssh", "ok", "; ".join(ssh_config.summary(one)))
    for note in ssh_config.settings(one).notes:
        yield Diagnosis(one.name, "ssh-config", "warning", note, f"ssh -G {one.address}")


def _lent_keys(one: Host, appliance: Appliance) -> Iterator[Diagnosis]:
    """Report temporary keys of a transfer that a killed run has left on an appliance."""
    from tscm_migrate.transfer import authorise

    left = authorise.left(appliance)
    if not left.keys and not left.folders:
        return
    parts = [f"{file} accepts a key for one transfer (expires {when or 'never'})" for file, when in left.keys]
    parts += [f"{folder} has files of such a key" for folder in left.folders]
    yield Diagnosis(one.name, "lent-key", "warning", "; ".join(parts), one.ssh(authorise.removal_command(left)))


def _facts(one: Host, facts: Facts) -> Iterator[Diagnosis]:
    """Check what the appliance reports about itself."""
    from tscm_migrate.appliance.parsers import version_key

    if version_key(facts.core):
        yield Diagnosis(one.name, "tsadmin", "ok", f"TSCM-Core {facts.core}, {facts.os_pretty}")
    else:
        fix = one.ssh("tsadmin version --all")
        yield Diagnosis(one.name, "tsadmin", "error", "the version of TSCM-Core could not be read", fix)
    yield _disk(one, facts)
    if facts.clock:
        skew = f"{facts.clock_skew:+.0f} s compared with this workstation"
        off = abs(facts.clock_skew) > _CLOCK
        fix = one.ssh("sudo timedatectl set-ntp true", terminal=True)
        yield Diagnosis(one.name, "clock", "warning" if off else "ok", skew, fix)
    yield from _archives(one, facts)
    if not facts.cron_entry:
        text = f"{one.paths.cron_entry} does not exist: its updates are paused, or started by something else"
        yield Diagnosis(one.name, "updates", "warning", text, "tscm-migrate run list")
    if "rsync" not in facts.tools:
        fix = one.ssh("sudo apt-get install rsync", terminal=True)
        yield Diagnosis(one.name, "rsync", "info", "not installed; archives are copied by tar or sftp", fix)


def _archives(one: Host, facts: Facts) -> Iterator[Diagnosis]:
    """Check whether the archives can be listed, and whether their names are in UTC as documented."""
    if facts.unseen:
        text = f"the archives in {one.paths.backup_dir} could not be listed: {facts.unseen}"
        yield Diagnosis(one.name, "archives", "error", text, one.ssh(f"ls -la {one.paths.backup_dir}"))
    elif facts.name_offset:
        hours, minutes = divmod(abs(int(facts.name_offset)) // 60, 60)
        zone = f"UTC{'+' if facts.name_offset > 0 else '-'}{hours:02d}:{minutes:02d}"
        text = f"archives are named by local time ({zone}) instead of UTC; other tools may misread their age"
        fix = one.ssh("sudo timedatectl set-timezone UTC", terminal=True)
        yield Diagnosis(one.name, "archives", "warning", text, fix)


def _disk(one: Host, facts: Facts) -> Diagnosis:
    """Check for room for an archive and its partial file, as the preflight does."""
    from tscm_migrate.migration.checks import room_needed

    free, need = facts.free_at(one.paths.backup_dir), room_needed(facts)
    if free is None and not facts.backup_dir_exists:
        free = facts.free_at("/")
    if free is None:
        return Diagnosis(one.name, "disk", "info", f"the free space at {one.paths.backup_dir} is not known")
    text = f"{free / 1e9:.1f} GB free at {one.paths.backup_dir}"
    if free < need:
        fix = one.ssh(f"ls -lhS {one.paths.backup_dir}")
        return Diagnosis(one.name, "disk", "error", f"{text}, a backup may need {need / 1e9:.1f} GB", fix)
    return Diagnosis(one.name, "disk", "ok", text)


def grouped(findings: Sequence[Diagnosis]) -> list[Diagnosis]:
    """Merge results that several hosts have in common, in the order of the first of each."""
    groups: dict[tuple[str, ...], list[Diagnosis]] = {}
    for one in findings:
        text = without_host(one.text, *(one.hosts or (one.where,)))
        groups.setdefault((one.name, one.severity, text), []).append(one)
    return [
        replace(ones[0], where=host_names(one.where for one in ones), text=text) if len(ones) > 1 else ones[0]
        for (_, _, text), ones in groups.items()
    ]


def text(one: Diagnosis) -> str:
    """Return the line of a result, and the command that fixes it."""
    mark = {"ok": "ok", "info": "info", "warning": "WARNING", "error": "ERROR"}[one.severity]
    line = f"{mark:<8} {one.where}: {one.name}: {redact.one_line(one.text)}"
    return f"{line}\n         fix: {one.fix}" if one.fix and one.severity != "ok" else line
