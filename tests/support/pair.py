"""Appliances for tests: each has its own sshd, home and backup folder, behind a relay that can cut connections."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.harness.sshd import Sshd
from tests.support.cutter import Cutter
from tests.support.timeouts import LONG_TIMEOUTS
from tscm_migrate.appliance.appliance import Appliance
from tscm_migrate.model import Archive, Host, Paths
from tscm_migrate.ssh.connect import NoSecrets, connect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tscm_migrate.events import Event
    from tscm_migrate.ssh.shell import Shell

LIMITS = replace(LONG_TIMEOUTS, dead=20)
NAME = "threatstop_backup_2024-05-01_03_00_00.tsbak.gpg"
OTHER = "threatstop_backup_2024-05-02_03_00_00.tsbak"


def available() -> str | None:
    """Return why these appliances cannot run here, or None."""
    if shutil.which("sudo") is None or subprocess.run(["sudo", "-n", "true"], check=False).returncode:
        return "sudo asks for a password, or is not installed"
    return Sshd.available() or (None if shutil.which("rsync") else "rsync is not installed")


@dataclass
class Box:
    """One appliance: its sshd, its files, and the relay in front of it."""

    sshd: Sshd
    folder: Path
    cutter: Cutter
    appliance: Appliance
    events: list[Event] = field(default_factory=list)

    @property
    def backups(self) -> Path:
        return self.folder / "backup"

    @property
    def authorized(self) -> Path:
        return self.folder / "home/.ssh/authorized_keys"

    def put(self, name: str, size: int, seed: int = 0) -> Archive:
        """Write an archive of random bytes to the backup folder, and return it without a hash."""
        self.backups.mkdir(exist_ok=True)
        path = self.backups / name
        rng = random.Random(seed)
        with path.open("wb") as file:
            for start in range(0, size, 1 << 20):
                file.write(rng.randbytes(min(1 << 20, size - start)))
        path.chmod(0o664)
        return Archive(name, str(self.backups), size)

    def reset(self) -> None:
        """Delete the files and connections; the sshd stays."""
        self.appliance.close()
        self.cutter.cut_after(None)
        self.events.clear()
        for place in ("backup", "home", "bin", "shm"):
            shutil.rmtree(self.folder / place, ignore_errors=True)
        for place in ("home/.ssh", "bin", "shm"):
            (self.folder / place).mkdir(parents=True)
        self.authorized.write_text("# the operator's own\nssh-ed25519 AAAA keep@me")

    def partial_file(self, name: str) -> Path:
        return self.backups / f".{name}.part"

    def host(self, **fields: Any) -> Host:
        return replace(self.appliance.host, **fields)


def sha(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def box(folder: Path, name: str, *, options: Sequence[str] = ()) -> Iterator[Box]:
    """Start an appliance."""
    lines = [
        f"AuthorizedKeysFile {folder}/authorized_keys {folder}/home/.ssh/authorized_keys",
        f"SetEnv HOME={folder}/home PATH={folder}/bin:{os.environ['PATH']}",
        *options,
    ]
    with Sshd(folder, options=lines) as sshd, Cutter(sshd.port) as cutter:
        known = folder / "known"
        known.write_text(sshd.known_hosts.read_text().replace(str(sshd.port), str(cutter.port)))
        paths = Paths(backup_dir=f"{folder}/backup", tmpfs=f"{folder}/shm")
        host = sshd.host(name, port=cutter.port, known_hosts=known, paths=paths)

        def dial(host: Host, expect: Sequence[str] | None = None) -> Shell:
            return connect(host, credentials=NoSecrets(), timeouts=LIMITS, expect=expect)

        made = Box(sshd, folder, cutter, Appliance(host, dial))
        made.appliance.emit = made.events.append
        made.reset()
        with contextlib.closing(made.appliance):
            yield made
