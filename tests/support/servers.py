"""Real servers for tests, on loopback; each is killed by its pid at the end of its context."""

from __future__ import annotations

import base64
import contextlib
import email.utils
import hmac
import http.client
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tscm_migrate.demo.base import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ACCESS, SECRET = "AKTESTTESTTEST", "sktesttesttest0123456789"
ENV = {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


# sh source: the pid of the sshd process of the session in which it runs, above the shells
SESSION = "$(p=$PPID; while ! ps -o comm= -p $p | grep -q sshd; do p=$(ps -o ppid= -p $p | tr -d ' '); done; echo $p)"


# so that a server ends with a test run that is killed
_ENDS_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []


@dataclass
class Server:
    """A server process that listens on `port` of 127.0.0.1."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    extra: dict[str, Any] = field(default_factory=dict)

    def url(self, bucket: str, prefix: str = "") -> str:
        return f"s3://{bucket}/{prefix}?endpoint=http://127.0.0.1:{self.port}"


def program(name: str) -> str | None:
    """Return the path of a program in the folder of this Python, or on the system."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


def wait_for(ready: Callable[[], bool], seconds: float, process: subprocess.Popen[bytes], log: Path) -> None:
    """Poll until ready; RuntimeError with the server's log if it ends or the time is over."""
    end = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"the server did not come up:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


def accepts(port: int, address: str = "127.0.0.1") -> bool:
    try:
        with socket.create_connection((address, port), 1):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def running(argv: list[str], folder: Path, port: int, seconds: float = 40) -> Iterator[Server]:
    """Start a server, wait until its port accepts connections, and kill it afterwards."""
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*_ENDS_WITH_PARENT, *argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder
        )
    try:
        wait_for(lambda: accepts(port), seconds, process, log)
        yield Server(process, port, folder)
    finally:
        process.kill()  # its data is not needed any more, and a clean end of seaweed takes 15 s
        process.wait(60)


@contextlib.contextmanager
def seaweed(folder: Path) -> Iterator[Server]:
    """Run a real S3 server with conditional puts, checksums and multipart uploads."""
    weed = program("weed")
    assert weed
    (folder / "data").mkdir()
    keys = [{"accessKey": ACCESS, "secretKey": SECRET}]
    actions = ["Admin", "Read", "List", "Tagging", "Write"]
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [{"name": "test", "credentials": keys, "actions": actions}]}))
    ports = {name: free_port(also=10_000) for name in ("master", "volume", "filer", "s3")}
    argv = [weed, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder / 'data'}", "-filer", "-s3"]
    argv += [f"-{name}.port={port}" for name, port in ports.items()]
    argv += [f"-s3.config={config}", "-master.volumeSizeLimitMB=256", "-volume.max=200", "-master.telemetry=false"]
    argv += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false"]
    with running(argv, folder, ports["s3"]) as server:
        yield server


@contextlib.contextmanager
def azurite(folder: Path) -> Iterator[Server]:
    """Run Microsoft's emulator of Azure's storage with its public test account; `extra["env"]` leads to it."""
    port, program_ = free_port(), program("azurite-blob")
    assert program_
    argv = [program_, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence"]
    with running([*argv, "--disableTelemetry", "--skipApiVersionCheck", "--silent"], folder, port) as server:
        url = f"http://127.0.0.1:{port}"
        _make_container(port, "contract")
        server.extra["env"] = {"AZURE_STORAGE_USE_EMULATOR": "true", "AZURITE_BLOB_STORAGE_URL": url}
        yield server


def _make_container(port: int, container: str) -> None:
    """Make a container by a signed request, which the library cannot do; see Azure's "Authorize with Shared Key"."""
    known = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    when = email.utils.format_datetime(datetime.now(UTC), usegmt=True)
    about = f"x-ms-date:{when}\nx-ms-version:2021-08-06"
    text = "PUT" + "\n" * 12 + f"{about}\n/devstoreaccount1/devstoreaccount1/{container}\nrestype:container"
    signed = base64.b64encode(hmac.digest(base64.b64decode(known), text.encode(), "sha256")).decode()
    headers = {"x-ms-date": when, "x-ms-version": "2021-08-06", "Content-Length": "0"}
    headers["Authorization"] = f"SharedKey devstoreaccount1:{signed}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=100)
    with contextlib.closing(connection):
        connection.request("PUT", f"/devstoreaccount1/{container}?restype=container", headers=headers)
        answer = connection.getresponse()
        assert answer.status == 201, answer.read()[:500]


@contextlib.contextmanager
def rclone_s3(folder: Path) -> Iterator[Server]:
    """Run an S3 server that ignores If-None-Match and does not check checksums."""
    rclone = program("rclone")
    assert rclone
    (folder / "data" / "bucket").mkdir(parents=True)
    port = free_port()
    argv = [rclone, "serve", "s3", str(folder / "data"), "--addr", f"127.0.0.1:{port}"]
    argv += ["--auth-key", f"{ACCESS},{SECRET}", "--config", os.devnull]
    with running(argv, folder, port) as server:
        yield server


@contextlib.contextmanager
def openssh(folder: Path, *, address: str = "127.0.0.1", port: int | None = None) -> Iterator[Server]:
    """Run OpenSSH's sshd with a new host key and user key; `extra` has user, key and host_key."""
    sshd = shutil.which("sshd") or "/usr/sbin/sshd"
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True, timeout=100)
    shutil.copy(folder / "user_key.pub", folder / "authorized")
    port = port or free_port()
    config = folder / "sshd_config"
    config.write_text(
        f"ListenAddress {address}\nPort {port}\nHostKey {folder / 'host_key'}\nPidFile {folder / 'pid'}\n"
        f"AuthorizedKeysFile {folder / 'authorized'}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        "PermitRootLogin yes\nMaxStartups 200\nMaxSessions 100\nSubsystem sftp internal-sftp\nUseDNS no\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with running([sshd, "-D", "-e", "-f", str(config)], folder, port) as server:
        server.extra |= {
            "user": pwd.getpwuid(os.geteuid()).pw_name,
            "key": str(folder / "user_key"),
            "host_key": (folder / "host_key.pub").read_text(),
        }
        yield server
