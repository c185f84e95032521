"""An OpenSSH server on a loopback port, with its own keys and configuration."""

from __future__ import annotations

import contextlib
import getpass
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tscm_migrate.demo.base import free_port
from tscm_migrate.model import Host

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

_KEY_TYPES = ("ed25519", "ecdsa", "rsa")


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Make a key pair; the public key is in the same folder, with the suffix `.pub`."""
    path.unlink(missing_ok=True)
    bits = ["-b", "2048"] if kind == "rsa" else []  # a key of the default size takes seconds
    argv = ["ssh-keygen", "-q", "-t", kind, *bits, "-N", passphrase, "-C", path.name, "-f", str(path)]
    subprocess.run(argv, check=True, timeout=100, stdin=subprocess.DEVNULL)
    return path


class Sshd:
    """A context manager that runs `sshd -D`.

    Args:
        folder: for the keys and files of this server only.
        options: more lines of sshd_config.
        wrap: a command that prepares the environment and then runs sshd, such as unshare.
        user: the login user; None: the user of this process.
        sftp: the SFTP server; "": none.
        address: where it listens.
    """

    def __init__(
        self,
        folder: Path,
        *,
        options: Sequence[str] = (),
        wrap: Sequence[str] = (),
        user: str | None = None,
        sftp: str = "internal-sftp",
        address: str = "127.0.0.1",
    ) -> None:
        self.folder = folder
        self.options = tuple(options)
        self.wrap = tuple(wrap)
        self.sftp, self.address = sftp, address
        self.user = user or getpass.getuser()
        self.port = free_port()
        self.known_hosts = folder / "known_hosts"
        self.client_key = folder / "client"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        for kind in _KEY_TYPES:
            make_key(folder / f"host_{kind}", kind)
        make_key(self.client_key)
        self.authorize(self.client_key)
        self.known_hosts.write_text("".join(f"{self.name} {self.public_key(k)}\n" for k in _KEY_TYPES))

    @staticmethod
    def available() -> str | None:
        """Return why sshd cannot run here, or None."""
        return None if Path("/usr/sbin/sshd").exists() and shutil.which("ssh-keygen") else "no OpenSSH server here"

    @property
    def name(self) -> str:
        """The server's name in known_hosts."""
        return f"[{self.address}]:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the listening process."""
        if self._process is None:
            raise RuntimeError("not running")
        return self._process.pid

    def public_key(self, kind: str) -> str:
        """Return type and base64 text of a host key."""
        return " ".join((self.folder / f"host_{kind}.pub").read_text().split()[:2])

    def authorize(self, key: Path) -> None:
        """Accept this key for logins."""
        with (self.folder / "authorized_keys").open("a") as file:
            file.write(key.with_name(key.name + ".pub").read_text())

    def host(self, name: str = "box", **fields: object) -> Host:
        """Return a Host that leads to this server."""
        base: dict[str, object] = {
            "address": self.address,
            "port": self.port,
            "user": self.user,
            "identity_file": self.client_key,
            "use_agent": False,
            "known_hosts": self.known_hosts,
        }
        return Host(name, **(base | fields))  # type: ignore[arg-type]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start, and return when it accepts connections."""
        config = self.folder / "sshd_config"
        given = {line.split()[0] for line in self.options if line}  # sshd uses the last line of MaxStartups
        lines = [
            *self.options,
            f"Port {self.port}",
            f"ListenAddress {self.address}",
            *(f"HostKey {self.folder}/host_{kind}" for kind in _KEY_TYPES),
            f"PidFile {self.folder}/pid",
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            "StrictModes no",
            "UsePAM no",
            *(line for line in ("MaxStartups 200:30:400", "MaxSessions 100") if line.split()[0] not in given),
            *((f"Subsystem sftp {self.sftp}",) if self.sftp else ()),
        ]
        config.write_text("\n".join(lines) + "\n")
        with contextlib.suppress(OSError):
            Path("/run/sshd").mkdir(exist_ok=True)  # an sshd of root needs it
        log = (self.folder / "sshd.log").open("ab")
        argv = [*self.wrap, "/usr/sbin/sshd", "-D", "-e", "-f", str(config)]
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        self._wait_up()

    def _wait_up(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection((self.address, self.port), 1):
                return
            time.sleep(0.02)
        raise RuntimeError("sshd did not start: " + (self.folder / "sshd.log").read_text()[-2000:])

    def stop(self) -> None:
        """End the listener; sessions end with their connections."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(60)
            self._process = None
