"""Pulls and campaigns on a dask cluster with mutual TLS: workers and the scheduler may be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.incoming import encrypted
from tscm_migrate.campaign import plan as plans
from tscm_migrate.campaign import run as running
from tscm_migrate.campaign.journal import PairResult
from tscm_migrate.demo.base import free_port
from tscm_migrate.errors import Exit, UsageError
from tscm_migrate.fleet.pool import Cluster, cluster, create_certificates
from tscm_migrate.fleet.pull import PullWorkers, pulls
from tscm_migrate.model import Paths
from tscm_migrate.offsite import catalog
from tscm_migrate.offsite.context import PullJob, Tools
from tscm_migrate.offsite.pull import PullOptions
from tscm_migrate.offsite.stores.local import LocalStore
from tscm_migrate.ssh.connect import NoSecrets
from tscm_migrate.tasks.cluster import _words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.sshd import Sshd
    from tscm_migrate.campaign.pairs import Job

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
pytest.importorskip("distributed")

WAIT = "n=0; until [ -e GO ] || [ $n -gt 1200 ]; do sleep 0.1; n=$((n + 1)); done"
NAME = "threatstop_backup_2026-02-03_00_00_00.tsbak.gpg"


@pytest.fixture
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two workers, each a separate process, started as the documentation says."""
    folder, port = tmp_path_factory.mktemp("dask"), free_port()
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    tool = [sys.executable, "-m", "tscm_migrate", "cluster"]
    made = [*tool, "certificates", "--host", "127.0.0.1", "--to", "keys"]
    subprocess.run(made, check=True, cwd=folder, env=env, timeout=60)
    keys = folder / "keys"
    assert (keys / "cluster.key").stat().st_mode & 0o777 == 0o600
    address = f"tls://127.0.0.1:{port}"
    started: list[subprocess.Popen[bytes]] = []
    with (folder / "log").open("wb") as log:
        for role in ("scheduler", "worker", "worker"):
            words = [*tool, "start", role, "--address", address, "--certificates", str(keys), "--threads", "2"]
            started.append(subprocess.Popen(words, stdout=log, stderr=log, env=env, cwd=folder))
        tls_cluster = Cluster(
            scheduler=address, ca=keys / "ca.pem", cert=keys / "cluster.pem", key=keys / "cluster.key"
        )
        try:
            yield tls_cluster, started
        finally:
            for process in reversed(started):
                process.kill()
                process.wait(60)


@pytest.fixture
def jobs(sshd: Sshd, tmp_path: Path) -> list[PullJob]:
    """Eight hosts whose tsadmin waits until there is a file `go`."""
    (tmp_path / "store").mkdir()
    (tmp_path / "inventory.toml").write_text("")
    pull_jobs = []
    for number in range(8):
        folder = tmp_path / f"h{number}"
        folder.mkdir()
        (folder / NAME).write_bytes(encrypted(100_000, seed=number))
        slow = folder / "tsadmin"
        slow.write_text(f"#!/bin/sh\necho $$ >>{tmp_path}/begun\n{WAIT}\n".replace("GO", f"{tmp_path}/go"))
        slow.chmod(0o755)
        host = sshd.host(f"h{number}", paths=Paths(backup_dir=str(folder), tsadmin=str(slow)))
        pull_jobs.append(PullJob(host, str(tmp_path / "store"), PullOptions()))
    return pull_jobs


def test_the_host_of_a_killed_worker_is_pulled_by_another(
    engine: tuple[Cluster, list[subprocess.Popen[bytes]]], jobs: list[PullJob], tmp_path: Path
) -> None:
    tls_cluster, processes = engine
    begun = tmp_path / "begun"

    def kill() -> None:
        end = time.monotonic() + 100
        while time.monotonic() < end and not (begun.exists() and len(begun.read_text().split()) >= 4):
            time.sleep(0.05)
        processes[1].send_signal(signal.SIGKILL)  # four jobs at once on two workers: it has begun at least one
        processes[1].wait(60)
        (tmp_path / "go").touch()

    killer = threading.Thread(target=kill)
    killer.start()
    outcomes = list(pulls(jobs, PullWorkers(jobs=4, cluster=tls_cluster), Tools(NoSecrets())))
    killer.join(60)
    assert processes[1].wait(60) == -signal.SIGKILL
    assert [o.error for o in outcomes if o.error] == []
    assert {o.item.host.name for o in outcomes} == {f"h{n}" for n in range(8)}
    assert len(begun.read_text().split()) > 8, "jobs of the killed worker were started again"
    copies = catalog.load(LocalStore(tmp_path / "store")).copies
    assert len(copies) == 8
    assert all(copy.verified_at and not copy.damaged for copy in copies)


def test_pulls_run_in_local_processes(jobs: list[PullJob], tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    outcomes = list(pulls(jobs[:3], PullWorkers(jobs=3, processes=2), Tools(NoSecrets())))
    assert [o.error for o in outcomes if o.error] == []
    assert len(catalog.load(LocalStore(tmp_path / "store")).copies) == 3


def test_a_cluster_without_mutual_tls_is_refused(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("ca", "cert", "key")}
    with pytest.raises(UsageError, match="not encrypted"), cluster(Cluster(scheduler="tcp://127.0.0.1:1", **files)):
        pass
    with pytest.raises(UsageError, match="is not there"), cluster(Cluster(scheduler="tls://127.0.0.1:1", **files)):
        pass


def migrated_once(job: Job) -> PairResult:
    """Replace `pairs.work`: take a lock for each pair, as on an appliance; kill the worker of pair "c"."""
    lock = Path(job.inventory) / f"{job.old}.{job.verb}"
    try:
        lock.touch(exist_ok=False)
    except FileExistsError:
        return PairResult(job.pair, "refused", error=f"{job.old} is locked by an unfinished run")
    if (job.old, job.verb) == ("c-old", "migrate"):
        os.kill(os.getpid(), signal.SIGKILL)
    return PairResult(job.pair, "done", downtime=1.0, estimate=1.0)


def test_a_pair_whose_worker_is_killed_is_not_migrated_by_another(
    engine: tuple[Cluster, list[subprocess.Popen[bytes]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls_cluster, processes = engine
    monkeypatch.setenv("TSCM_STATE", str(tmp_path / "state"))
    (tmp_path / "locks").mkdir()
    rows = ", ".join(f'{{ from = "{n}-old", to = "{n}-new" }}' for n in "abcde")
    plan = tmp_path / "plan.toml"
    plan.write_text(f'name = "far"\nstop_after = 9\n[[waves]]\nname = "all"\njobs = 2\npairs = [{rows}]\n')
    chosen = plans.load(plan, datetime.now(UTC))
    journal = running.begin(chosen, str(plan), str(tmp_path / "locks"))
    with cluster(tls_cluster) as executor:
        one = running.Campaign(chosen, journal, lambda _line: None, executor=executor, work=migrated_once)
        assert one.run() == Exit.ATTENTION
    states = {pair[0]: result.state for pair, result in journal.state.migrated.items()}
    assert states.pop("c") in {"refused", "unfinished"}
    assert states == dict.fromkeys("abde", "done")
    assert sum(process.poll() is None for process in processes) >= 2, "scheduler and one worker are left"


def lost_with_its_worker(job: Job) -> PairResult:
    """Replace `pairs.work`: kill each worker that gets a job."""
    os.kill(os.getpid(), signal.SIGKILL)
    return PairResult(job.pair, "done")


@pytest.mark.parametrize("lost", ["workers", "scheduler"])
def test_a_campaign_ends_when_its_cluster_is_lost(
    engine: tuple[Cluster, list[subprocess.Popen[bytes]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    tls_cluster, processes = engine
    monkeypatch.setenv("TSCM_STATE", str(tmp_path))
    plan = tmp_path / "plan.toml"
    rows = ", ".join(f'{{ from = "{n}-old", to = "{n}-new" }}' for n in "abc")
    plan.write_text(f'name = "far"\nstop_after = 9\n[[waves]]\nname = "all"\njobs = 2\npairs = [{rows}]\n')
    chosen = plans.load(plan, datetime.now(UTC))
    journal = running.begin(chosen, str(plan), "")
    lines: list[str] = []
    with cluster(tls_cluster, patience=4) as executor:
        if lost == "scheduler":
            processes[0].kill()
        work = lost_with_its_worker if lost == "workers" else migrated_once
        one = running.Campaign(chosen, journal, lines.append, executor=executor, work=work)
        assert one.run(rehearse=False) == Exit.FAILED
    assert "had no worker for" in journal.state.why
    assert f"tscm-migrate cluster start worker --address {tls_cluster.scheduler}" in lines[-1]
    assert journal.state.started == ["a-old → a-new", "b-old → b-new"]
    assert {result.state for result in journal.state.migrated.values()} == {"unfinished"}
    assert "c-old → c-new" not in journal.state.migrated


def test_certificates_are_not_overwritten_and_other_protocols_are_refused(tmp_path: Path) -> None:
    create_certificates(tmp_path, ["127.0.0.1"])
    with pytest.raises(UsageError, match="exists already"):
        create_certificates(tmp_path, ["127.0.0.1"])
    with pytest.raises(UsageError, match="missing argument: HOST"):
        create_certificates(tmp_path / "other", [])
    for address in ("tcp://127.0.0.1:8786", "tls://127.0.0.1", "tls://:1", "tls://h:x"):
        with pytest.raises(UsageError, match="not valid"):
            _words("worker", address, tmp_path, 1)
    with pytest.raises(UsageError, match="unknown role"):
        _words("boss", "tls://127.0.0.1:1", tmp_path, 1)
