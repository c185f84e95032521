"""Looks at the workstation and at each host: what is missing, and the one command that mends it. Changes nothing."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from tscm_migrate.errors import MigrateError
from tscm_migrate.ui.grouped import general, names
from tscm_migrate.util import private, redact
from tscm_migrate.util.operator_command import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.appliance.facts import Facts
    from tscm_migrate.inventory.inventory import Inventory
    from tscm_migrate.model import Host
    from tscm_migrate.secrets import Secrets

_OLDEST = (3, 11)
_ROOM = 200 << 20  # bytes for journals, reports and a relayed archive's buffers
_CLOCK = 300.0  # seconds
_WRITTEN = datetime(2024, 1, 1, tzinfo=UTC)  # no workstation that runs this can be earlier


@dataclass(frozen=True)
class Finding:
    """One look; `mend` is a command or an instruction, "" where there is nothing to mend."""

    where: str
    name: str
    severity: Literal["ok", "info", "warning", "error"]
    text: str
    mend: str = ""


def workstation(site: Inventory) -> Iterator[Finding]:
    """Python, clock, agent, keys, gpg, rsync, known_hosts, the state folder, the keyring."""
    yield _python()
    yield _clock()
    yield _inventory(site)
    yield _agent()
    yield from _keys(site)
    yield from _programs()
    yield _known_hosts(site)
    yield _state()
    yield _keyring()


def _ok(name: str, text: str) -> Finding:
    return Finding("workstation", name, "ok", text)


def _python() -> Finding:
    found = platform.python_version()
    if sys.version_info[:2] < _OLDEST:  # a checkout run by hand; the wheel refuses to install
        return Finding("workstation", "python", "error", f"Python {found} is too old", "install Python 3.11 or later")
    return _ok("python", f"Python {found} on {platform.system()}")


def _clock() -> Finding:
    now = datetime.now(UTC)
    told = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if now < _WRITTEN:
        return Finding("workstation", "clock", "error", f"{told} cannot be", "set it: archives and runs bear its time")
    return _ok("clock", told)


def _inventory(site: Inventory) -> Finding:
    if site.path is None:
        return Finding("workstation", "inventory", "warning", "there is no inventory file", "tscm-migrate init")
    return _ok("inventory", f"{site.path}: {len(site.hosts)} hosts")


def _agent() -> Finding:
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
    return Finding("workstation", "agent", "info", "no ssh agent with keys (a key file or a password will do)", start)


def _keys(site: Inventory) -> Iterator[Finding]:
    files = {host.identity_file for host in site.hosts.values() if host.identity_file}
    for file in sorted(files):
        if not file.is_file():
            yield Finding(
                "workstation", "key", "error", f"{file} is not there", f"ssh-keygen -t ed25519 -f {quoted(file)}"
            )
        elif os.name != "nt" and file.stat().st_mode & 0o077:
            yield Finding("workstation", "key", "warning", f"others can read {file}", f"chmod 600 {quoted(file)}")
        else:
            yield _ok("key", str(file))


def _programs() -> Iterator[Finding]:
    wanted = {
        "gpg": "only to seal plain archives off-site and to test them here",
        "rsync": "never: it runs on the hosts",
    }
    for name, use in wanted.items():
        path = shutil.which(name)
        if path:
            yield _ok(name, path)
        else:
            yield Finding("workstation", name, "info", f"{name} is not here; needed {use}", f"install {name}")


def _known_hosts(site: Inventory) -> Finding:
    if site.known_hosts.is_file():
        return _ok("known_hosts", str(site.known_hosts))
    first = next(iter(site.hosts), "HOST")
    text = f"nothing is pinned yet ({site.known_hosts})"
    return Finding("workstation", "known_hosts", "warning", text, f"tscm-migrate host pin {first}")


def _state() -> Finding:
    from tscm_migrate.util.folders import state_folder

    folder = state_folder()
    try:
        private.folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        text = f"{folder} cannot be written: {error.strerror}"
        return Finding("workstation", "state", "error", text, "set TSCM_STATE to a folder of yours")
    if free < _ROOM:
        text = f"{folder} has {free / 1e6:.0f} MB free"
        return Finding("workstation", "state", "warning", text, "make room there, or set TSCM_STATE to another disk")
    return _ok("state", f"{folder} ({free / 1e9:.1f} GB free)")


def _keyring() -> Finding:
    try:
        import keyring

        name = type(keyring.get_keyring()).__module__
    except Exception:  # noqa: BLE001 - backends raise what they like; headless is the usual case
        name = "fail"
    if name.rpartition(".")[2] in {"fail", "null"}:
        mend = 'passphrase = "command:…" or "env:VAR" in the inventory'
        return Finding("workstation", "keyring", "info", "there is no keyring (prompts and files will do)", mend)
    return _ok("keyring", name)


def host(one: Host, secrets: Secrets) -> Iterator[Finding]:
    """Key, login, sudo, tsadmin, disk and clock of an appliance, as far as it can be reached."""
    from tscm_migrate.appliance import facts as facts_of
    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.ssh.connect import connect

    yield from _ssh(one)
    appliance = Appliance(one, lambda h, expect=None: connect(h, credentials=secrets, expect=expect))
    try:
        user = appliance.shell.host.user  # ~/.ssh/config may have another one than the inventory
        yield Finding(one.name, "login", "ok", f"as {user}, host key {appliance.shell.server_fingerprint()}")
        try:
            appliance.shell.sudo_ready()
            yield Finding(one.name, "sudo", "ok", "works")
        except MigrateError as error:
            yield Finding(one.name, "sudo", "error", error.message(), error.remedy())
        yield from _facts(one, facts_of.gather(appliance))
        yield from _lent_keys(one, appliance)
    except MigrateError as error:
        yield Finding(one.name, error.code, "error", error.message(), error.remedy())
    finally:
        appliance.close()


def _ssh(one: Host) -> Iterator[Finding]:
    """What a connection will use, from the inventory and ~/.ssh/config; and what of the latter does not apply."""
    from tscm_migrate.ssh import ssh_config

    yield Finding(one.name, "ssh", "ok", "; ".join(ssh_config.told(one)))
    for note in ssh_config.settings(one).notes:
        yield Finding(one.name, "ssh-config", "warning", note, f"see what ssh itself uses: ssh -G {one.address}")


def _lent_keys(one: Host, appliance: Appliance) -> Iterator[Finding]:
    """Report keys for one transfer that a killed run has left: let in here, or with their private half here."""
    from tscm_migrate.transfer import authorise

    left = authorise.left(appliance)
    if not left.keys and not left.folders:
        return
    parts = [f"{file} lets in a key for one transfer (expires {when or 'never'})" for file, when in left.keys]
    parts += [f"{folder} holds what belongs to such a key" for folder in left.folders]
    by_hand = f"ssh {one.user}@{one.address} {authorise.by_hand(left)}"
    remove = f"tscm-migrate rollback (of the run that was killed), or by hand: {by_hand}"
    yield Finding(one.name, "lent-key", "warning", "; ".join(parts), remove)


def _facts(one: Host, facts: Facts) -> Iterator[Finding]:
    """What the appliance tells of itself."""
    from tscm_migrate.appliance.parsers import version_key

    if version_key(facts.core):
        yield Finding(one.name, "tsadmin", "ok", f"TSCM-Core {facts.core}, {facts.os_pretty}")
    else:
        mend = f"ssh {one.user}@{one.address} tsadmin version --all"
        yield Finding(one.name, "tsadmin", "error", "does not tell its TSCM-Core version", mend)
    yield _disk(one, facts)
    if facts.clock:
        skew = f"{facts.clock_skew:+.0f} s against this workstation's"
        off = abs(facts.clock_skew) > _CLOCK
        yield Finding(one.name, "clock", "warning" if off else "ok", skew, "sudo timedatectl set-ntp true")
    yield from _archives(one, facts)
    if not facts.cron_entry:
        text = f"no {one.paths.cron_entry}: its updates are held, or are run otherwise"
        yield Finding(one.name, "updates", "warning", text, "see whether a run paused them: tscm-migrate run list")
    if "rsync" not in facts.tools:
        text = "not there: archives go by tar or sftp"
        yield Finding(one.name, "rsync", "info", text, "sudo apt-get install rsync")


def _archives(one: Host, facts: Facts) -> Iterator[Finding]:
    """Whether the archives can be listed, and whether their names are in UTC, as the documents say."""
    if facts.unseen:
        look = f"ssh {one.user}@{one.address} ls -la {one.paths.backup_dir}"
        text = f"those in {one.paths.backup_dir} could not be listed: {facts.unseen}"
        yield Finding(one.name, "archives", "error", text, f"give {one.user} the right to read them: {look}")
    elif facts.name_offset:
        hours, minutes = divmod(abs(int(facts.name_offset)) // 60, 60)
        zone = f"UTC{'+' if facts.name_offset > 0 else '-'}{hours:02d}:{minutes:02d}"
        text = f"their names are in local time ({zone}), not in UTC; it is taken into account, but not by other tools"
        mend = f"ssh -t {one.user}@{one.address} sudo timedatectl set-timezone UTC"
        yield Finding(one.name, "archives", "warning", text, mend)


def _disk(one: Host, facts: Facts) -> Finding:
    """Room for an archive and its half-written double, as the preflight wants it."""
    from tscm_migrate.migration.checks import room_needed

    free, need = facts.free_at(one.paths.backup_dir), room_needed(facts)
    if free is None and not facts.backup_dir_exists:
        free = facts.free_at("/")
    if free is None:
        return Finding(one.name, "disk", "info", f"does not tell what is free at {one.paths.backup_dir}")
    said = f"{free / 1e9:.1f} GB free at {one.paths.backup_dir}"
    if free < need:
        text = f"{said}, a backup may need {need / 1e9:.1f} GB"
        return Finding(one.name, "disk", "error", text, "delete old archives there, or enlarge its disk")
    return Finding(one.name, "disk", "ok", said)


def grouped(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings of hosts with those that several have in common as one, in the order of their first."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for one in findings:
        groups.setdefault((one.name, one.severity, general(one.text, one.where)), []).append(one)
    return [
        replace(ones[0], where=names(one.where for one in ones), text=text) if len(ones) > 1 else ones[0]
        for (_, _, text), ones in groups.items()
    ]


def text(finding: Finding) -> str:
    """Its line, and what mends it."""
    mark = {"ok": "ok", "info": "info", "warning": "WARNING", "error": "ERROR"}[finding.severity]
    line = f"{mark:<8} {finding.where}: {finding.name}: {redact.one_line(finding.text)}"
    return f"{line}\n         mend: {finding.mend}" if finding.mend and finding.severity != "ok" else line
