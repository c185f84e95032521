"""The distributed engine: a dask cluster with mutual TLS; a worker that is killed has its host done by another."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.incoming import encrypted
from tscm_migrate.errors import UsageError
from tscm_migrate.fleet.executors import Cluster, cluster
from tscm_migrate.fleet.pull import Crew, pulls
from tscm_migrate.lab.ports import free_port
from tscm_migrate.offsite import catalog
from tscm_migrate.offsite.jobs import PullJob, Tools
from tscm_migrate.offsite.pull import PullOptions
from tscm_migrate.offsite.stores.local import LocalStore
from tscm_migrate.site import Paths
from tscm_migrate.ssh.connect import NoSecrets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tscm_migrate.lab.sshd import Sshd

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
pytest.importorskip("distributed")

NAME = "threatstop_backup_2026-02-03_00_00_00.tsbak.gpg"


def certificates(folder: Path) -> dict[str, Path]:
    """A certificate authority, and one certificate that scheduler, workers and client share."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")

    def openssl(*argv: str) -> None:
        subprocess.run(["openssl", *argv], check=True, capture_output=True, timeout=60, cwd=folder)

    fresh = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    openssl(*fresh, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority")
    request = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=127.0.0.1")
    openssl(*request, "-keyout", "one.key", "-out", "one.csr")
    (folder / "ext").write_text("subjectAltName=IP:127.0.0.1\n")
    sign = ("x509", "-req", "-in", "one.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
    openssl(*sign, "-extfile", "ext", "-out", "one.pem")
    return {"ca": folder / "ca.pem", "cert": folder / "one.pem", "key": folder / "one.key"}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two workers, each a process of its own."""
    folder = tmp_path_factory.mktemp("dask")
    files, port = certificates(folder), free_port()
    tls = ["--tls-ca-file", str(files["ca"]), "--tls-cert", str(files["cert"]), "--tls-key", str(files["key"])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    base = [sys.executable, "-m", "distributed.cli"]
    started: list[subprocess.Popen[bytes]] = []
    with (folder / "log").open("wb") as log:

        def start(module: str, *argv: str) -> None:
            command = [base[0], "-m", f"{base[2]}.{module}", *argv, *tls, "--no-dashboard"]
            started.append(subprocess.Popen(command, stdout=log, stderr=log, env=env, cwd=folder))

        start("dask_scheduler", "--host", "tls://127.0.0.1", "--port", str(port))
        address = f"tls://127.0.0.1:{port}"
        for number in range(2):
            more = ("--nthreads", "2", "--no-nanny", "--name", f"w{number}", "--local-directory", str(folder))
            start("dask_worker", address, *more)
        try:
            yield Cluster(scheduler=address, **files), started
        finally:
            for process in reversed(started):
                process.kill()
                process.wait(20)


@pytest.fixture
def jobs(sshd: Sshd, tmp_path: Path) -> list[PullJob]:
    """Eight hosts that take a moment each: their `cat` waits."""
    (tmp_path / "store").mkdir()
    (tmp_path / "inventory.toml").write_text("")
    found = []
    for number in range(8):
        folder = tmp_path / f"h{number}"
        folder.mkdir()
        (folder / NAME).write_bytes(encrypted(100_000, seed=number))
        slow = folder / "tsadmin"
        slow.write_text(f"#!/bin/sh\necho $$ >>{tmp_path}/begun\nsleep 1.5\n")
        slow.chmod(0o755)
        host = sshd.host(f"h{number}", paths=Paths(backup_dir=str(folder), tsadmin=str(slow)))
        found.append(PullJob(host, str(tmp_path / "store"), PullOptions()))
    return found


def test_a_killed_worker_s_host_is_done_by_another(
    engine: tuple[Cluster, list[subprocess.Popen[bytes]]], jobs: list[PullJob], tmp_path: Path
) -> None:
    where, processes = engine
    begun = tmp_path / "begun"

    def kill() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end and not (begun.exists() and len(begun.read_text().split()) >= 3):
            time.sleep(0.05)
        processes[1].send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    outcomes = list(pulls(jobs, Crew(jobs=4, cluster=where), Tools(NoSecrets())))
    killer.join(60)
    assert processes[1].wait(20) == -signal.SIGKILL
    assert [o.error for o in outcomes if o.error] == []
    assert {o.item.host.name for o in outcomes} == {f"h{n}" for n in range(8)}
    assert len(begun.read_text().split()) > 8, "what the dead one had begun was begun again"
    copies = catalog.load(LocalStore(tmp_path / "store")).copies
    assert len(copies) == 8
    assert all(copy.verified_at and not copy.damaged for copy in copies)


def test_processes_do_the_same(jobs: list[PullJob], tmp_path: Path) -> None:
    outcomes = list(pulls(jobs[:3], Crew(jobs=3, processes=2), Tools(NoSecrets())))
    assert [o.error for o in outcomes if o.error] == []
    assert len(catalog.load(LocalStore(tmp_path / "store")).copies) == 3


def test_only_mutual_tls_is_taken(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("ca", "cert", "key")}
    with pytest.raises(UsageError, match="not protected"), cluster(Cluster(scheduler="tcp://127.0.0.1:1", **files)):
        pass
    with pytest.raises(UsageError, match="is not there"), cluster(Cluster(scheduler="tls://127.0.0.1:1", **files)):
        pass
