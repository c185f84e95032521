"""Two sshd's on loopback for the benchmark, and a relay that makes the way to them as long as is asked for."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness.sshd import Sshd
from tscm_migrate.appliance.appliance import Appliance
from tscm_migrate.model import Host, Paths
from tscm_migrate.ssh.connect import NoSecrets, connect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tscm_migrate.ssh.shell import Shell

NAME = "threatstop_backup_2024-05-01_03_00_00.tsbak.gpg"


@dataclass(frozen=True)
class Station:
    """How to reach one sshd, from the workstation (`port`, perhaps delayed) and from the other one (`near`)."""

    name: str
    folder: str
    port: int
    near: int
    user: str
    key: str
    known_hosts: str

    @property
    def file(self) -> Path:
        return Path(self.folder, "backup", NAME)

    def options(self, port_flag: str = "-p") -> list[str]:
        """For OpenSSH's programs; ssh says -p, scp and sftp say -P."""
        options = ["BatchMode=yes", "IdentitiesOnly=yes", f"UserKnownHostsFile={self.known_hosts}"]
        words = ["-F", "/dev/null", "-i", self.key, port_flag, str(self.port)]
        return words + [word for option in options for word in ("-o", option)]

    def appliance(self, *, near: bool = False) -> Appliance:
        port = self.near if near else self.port
        host = Host(
            self.name, "127.0.0.1", self.user, port, Path(self.key), use_agent=False,
            known_hosts=Path(self.known_hosts),
            paths=Paths(backup_dir=f"{self.folder}/backup", tmpfs=f"{self.folder}/shm"),
        )  # fmt: skip

        def dial(host: Host, expect: Sequence[str] | None = None) -> Shell:
            return connect(host, credentials=NoSecrets(), expect=expect)

        return Appliance(host, dial)


@contextlib.contextmanager
def station(folder: Path, name: str, delay: float) -> Iterator[Station]:
    """Start one; `delay` in seconds each way, 0: without the relay."""
    for place in ("backup", "shm", "home/.ssh"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    lines = [
        f"AuthorizedKeysFile {folder}/authorized_keys {folder}/home/.ssh/authorized_keys",
        f"SetEnv HOME={folder}/home PATH={os.environ['PATH']}",
    ]
    with contextlib.ExitStack() as stack:
        sshd = stack.enter_context(Sshd(folder, options=lines))
        port = stack.enter_context(delayed(sshd.port, delay)) if delay else sshd.port
        known = folder / "known"
        text = sshd.known_hosts.read_text()
        known.write_text(text + text.replace(str(sshd.port), str(port)))
        yield Station(name, str(folder), port, sshd.port, sshd.user, str(sshd.client_key), str(known))


@contextlib.contextmanager
def delayed(port: int, delay: float) -> Iterator[int]:
    """A relay in a process of its own, so that it shares no interpreter with what is measured."""
    argv = [sys.executable, str(Path(__file__).with_name("delay.py")), str(port), str(delay)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()
            process.wait(10)
