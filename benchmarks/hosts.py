"""Two OpenSSH servers for the benchmarks, on loopback or on the other side of a link that `benchmarks.links` made."""

from __future__ import annotations

import contextlib
import os
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
    """How to reach one server."""

    name: str
    folder: str
    address: str
    port: int
    user: str
    key: str
    known_hosts: str

    @property
    def file(self) -> Path:
        return Path(self.folder, "backup", NAME)

    @property
    def login(self) -> str:
        return f"{self.user}@{self.address}"

    def options(self, port_flag: str = "-p") -> list[str]:
        """Return options for OpenSSH's programs: ssh has -p for the port, scp and sftp have -P."""
        options = ["BatchMode=yes", "IdentitiesOnly=yes", f"UserKnownHostsFile={self.known_hosts}"]
        words = ["-F", "/dev/null", "-i", self.key, port_flag, str(self.port)]
        return words + [word for option in options for word in ("-o", option)]

    def appliance(self) -> Appliance:
        host = Host(
            self.name, self.address, self.user, self.port, Path(self.key), use_agent=False,
            known_hosts=Path(self.known_hosts),
            paths=Paths(backup_dir=f"{self.folder}/backup", tmpfs=f"{self.folder}/shm"),
        )  # fmt: skip

        def dial(host: Host, expect: Sequence[str] | None = None) -> Shell:
            return connect(host, credentials=NoSecrets(), expect=expect)

        return Appliance(host, dial)


@contextlib.contextmanager
def station(folder: Path, name: str, address: str = "127.0.0.1", wrap: Sequence[str] = ()) -> Iterator[Station]:
    """Start a server at this address; `wrap`: the words before a command that run it where the address is."""
    for place in ("backup", "shm", "home/.ssh"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    lines = [
        f"AuthorizedKeysFile {folder}/authorized_keys {folder}/home/.ssh/authorized_keys",
        f"SetEnv HOME={folder}/home PATH={os.environ['PATH']}",
    ]
    with Sshd(folder, options=lines, address=address, wrap=wrap) as sshd:
        yield Station(name, str(folder), address, sshd.port, sshd.user, str(sshd.client_key), str(sshd.known_hosts))
