"""`tsadmin backup` and its archives: devices, logs, cron, host keys and network settings, encrypted by the real gpg."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .base import TRIES, Machine, Options, address_of, parse_net, updates_running

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = re.compile(r"threatstop_backup_\d{4}-\d\d-\d\d_\d\d_\d\d_\d\d\.tsbak(\.gpg)?")
FOLDERS = {"devices": "opt/threatstop/etc/devices", "log": "var/log/threatstop", "cron_d": "etc/cron.d"}


class WrongPassphraseError(Exception):
    """gpg could not decrypt."""


def _gpg(machine: Machine, args: list[str], passphrase: str) -> bool:
    """Run gpg with the passphrase in a pipe and a temporary home; return whether it succeeded."""
    tmp = machine.path("tmp")
    tmp.mkdir(parents=True, exist_ok=True)
    home = tempfile.mkdtemp(prefix="gpg", dir=tmp)
    read_end, write_end = os.pipe()
    try:
        os.write(write_end, passphrase.encode() + b"\n")
        os.close(write_end)
        command = ["gpg", "--homedir", home, "--batch", "--yes", "--quiet", "--no-autostart"]
        command += ["--pinentry-mode", "loopback", "--passphrase-fd", str(read_end), *args]
        done = subprocess.run(command, check=False, capture_output=True, pass_fds=(read_end,), stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        machine.fail("gpg: command not found")
    finally:
        os.close(read_end)
        shutil.rmtree(home, ignore_errors=True)
    return done.returncode == 0


def _manifest(machine: Machine, interface: str, running: int) -> dict[str, Any]:
    profile = machine.profile
    saved = parse_net(machine.path("interfaces").read_text("utf-8"))
    address, prefix = address_of(machine, interface)
    net = {**(asdict(saved) if saved else {}), "interface": interface, "address": address, "prefix": prefix}
    return {
        "format": 1,
        "hostname": profile["hostname"],
        "core": profile["core_version"],
        "os": f"{profile['os_id']} {profile['os_version']}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "network": net,
        "updates_running": running,  # not 0: the archive may contain an incomplete update
    }


def make(machine: Machine, passphrase: str | None, interface: str, running: int) -> Path:
    """Make an archive and update the `latest` link; `passphrase` None: not encrypted.

    Returns:
        The archive's path. Its name contains the time in UTC; no archive is overwritten.
    """
    folder = machine.path("backup")
    suffix = ".tsbak" if passphrase is None else ".tsbak.gpg"
    while True:
        stamp = datetime.now(UTC).strftime("%Y-%m-%d_%H_%M_%S")
        final = folder / f"threatstop_backup_{stamp}{suffix}"
        if not any(folder.glob(f"threatstop_backup_{stamp}*")):
            break
        time.sleep(0.1)
    plain = folder / f".{final.name}.tmp"
    try:
        _pack(machine, plain, _manifest(machine, interface, running))
        if passphrase is None:
            plain.rename(final)
        else:
            options = ["--compress-algo", "none", "--cipher-algo", "AES256", "--s2k-count", "1048576"]
            if not _gpg(machine, [*options, "--output", str(final), "--symmetric", str(plain)], passphrase):
                machine.fail("gpg could not encrypt the backup")
    finally:
        plain.unlink(missing_ok=True)
    machine.own(final, 0o664)
    link = folder / f"threatstop_latest{suffix}"
    link.unlink(missing_ok=True)
    link.symlink_to(final)
    return final


def _pack(machine: Machine, target: Path, manifest: dict[str, Any]) -> None:
    with tarfile.open(target, "w:gz", compresslevel=1) as tar:
        data = json.dumps(manifest, indent=1).encode()
        head = tarfile.TarInfo("manifest.json")
        head.size, head.mtime, head.mode = len(data), int(time.time()), 0o600
        tar.addfile(head, io.BytesIO(data))
        for name, inside in FOLDERS.items():
            if machine.path(name).is_dir():
                tar.add(machine.path(name), inside)
        for key in sorted(machine.path("ssh").glob("ssh_host_*")):
            tar.add(key, f"etc/ssh/{key.name}")
        tar.add(machine.path("interfaces"), "etc/network/interfaces")


@contextmanager
def opened(machine: Machine, archive: Path, passphrase: str | None) -> Iterator[tarfile.TarFile]:
    """Open an archive for reading.

    Raises:
        WrongPassphraseError: gpg could not decrypt it.
        OSError, tarfile.TarError, EOFError: it is damaged.
    """
    tmp = machine.path("tmp")
    tmp.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="restore", dir=tmp))
    try:
        plain = archive
        if archive.name.endswith(".gpg"):
            plain = work / "plain"
            if not _gpg(machine, ["--output", str(plain), "--decrypt", str(archive)], passphrase or ""):
                raise WrongPassphraseError
        with tarfile.open(plain, "r:gz") as tar:
            yield tar
    finally:
        shutil.rmtree(work, ignore_errors=True)


def manifest_of(tar: tarfile.TarFile) -> dict[str, Any]:
    """Return the archive's manifest; KeyError if it has none."""
    member = tar.extractfile("manifest.json")
    if member is None:
        raise KeyError("manifest.json")
    loaded: dict[str, Any] = json.loads(member.read())
    return loaded


def extract(tar: tarfile.TarFile, prefix: str, target: Path, *, only: str | None = None) -> list[Path]:
    """Write the regular files below `prefix` to `target`; with `only`, those whose first part is that name."""
    written = []
    for member in tar.getmembers():
        rest = member.name.removeprefix(prefix)
        parts = Path(rest.lstrip("/")).parts
        if not member.isfile() or rest == member.name or ".." in parts or only not in (None, *parts[:1]):
            continue
        path = target / rest.lstrip("/")
        source = tar.extractfile(member)
        if source is None:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(source.read())
        part.chmod(member.mode)
        part.replace(path)
        written.append(path)
    return written


class TsadminBackup:
    """One backup; it asks about encryption if that is not configured yet."""

    def __init__(self, machine: Machine, options: Options) -> None:
        self.machine = machine
        self.options = options

    def run(self) -> int:
        """Make a backup; return the exit status."""
        machine = self.machine
        self.begin()
        passphrase = self.passphrase()
        running = updates_running(machine)
        machine.note("backup-start", updates_running=running)
        made = self.make(passphrase, running)
        machine.note("backup-end", archive=made.name, encrypted=passphrase is not None)
        machine.info(f"Backup complete: {made}")
        return 0

    def begin(self) -> None:
        """Write the first lines, as root."""
        self.machine.want_root()
        self.machine.info(self.machine.text("backup"))
        self.machine.detail(f"interface {self.options.interface}, debug {self.options.debug}")
        address_of(self.machine, self.options.interface)

    def make(self, passphrase: str | None, running: int) -> Path:
        """Make the archive."""
        return make(self.machine, passphrase, self.options.interface, running)

    def passphrase(self) -> str | None:
        """Return the passphrase for encryption; None: a plain archive."""
        machine, state = self.machine, self.machine.state()
        passphrase = machine.given_passphrase(self.options)
        encrypt = state.get("encrypt")
        if encrypt is None:
            encrypt = passphrase is not None or machine.ask_yes("encrypt")
            machine.remember(encrypt=encrypt)
        if not encrypt:
            return None
        passphrase = passphrase or state.get("passphrase") or self.new_passphrase()
        machine.remember(passphrase=passphrase)
        return passphrase

    def new_passphrase(self) -> str:
        """Ask for a passphrase twice."""
        for _ in range(TRIES):
            first = self.machine.ask_secret("new_passphrase")
            if first and first == self.machine.ask_secret("again"):
                return first
            self.machine.error(self.machine.text("no_match"))
        self.machine.fail("No passphrase, giving up.")
