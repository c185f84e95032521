"""`cluster certificates|start`: several machines that pull or migrate together, over dask with mutual TLS."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from invoke.collection import Collection

from tscm_migrate.errors import UsageError
from tscm_migrate.tasks.base import command
from tscm_migrate.ui.console import say
from tscm_migrate.util.text import days_option

_FOLDER = ("FOLDER", "Folder with the certificates (default: cluster).")


def collection() -> Collection:
    """Return the tasks about clusters."""
    return Collection("cluster", certificates, start)


@command(
    trailing="host",
    iterable=["host"],
    help={
        "host": ("HOST", "Name or address at which the scheduler or a worker is reached (repeatable)."),
        "to": _FOLDER,
        "valid": ("DURATION", "Time until the certificates expire."),
    },
)
def certificates(_context: Any, host: list[str], to: str = "cluster", valid: str = "825d") -> None:
    """Create the certificates that scheduler, workers and this workstation share. Copy the folder to each machine.

    Examples:
        tscm-migrate cluster certificates scheduler.example.net 10.0.0.5
    """
    from tscm_migrate.fleet.pool import create_certificates

    folder = Path(to)
    create_certificates(folder, host, days=days_option("--valid", valid))
    say(f"created ca.pem, cluster.pem and cluster.key in {folder.absolute()}; keep the folder secret: everyone who has "
        "it can run code on all machines of the cluster")  # fmt: skip


@command(
    positional=["role"],
    help={
        "role": "scheduler or worker.",
        "address": "scheduler: tls://HOST:PORT to listen at; worker: the scheduler's tls://HOST:PORT.",
        "certificates": _FOLDER,
        "threads": ("N", "Worker: pairs or hosts at once (default: 4)."),
    },
)
def start(
    _context: Any, role: str, address: str = "tls://127.0.0.1:8786", certificates: str = "cluster", threads: int = 4
) -> int:
    """Start a scheduler or a worker of dask in the foreground, with mutual TLS; Ctrl-C ends it.

    Examples:
        tscm-migrate cluster start scheduler --address tls://0.0.0.0:8786
        tscm-migrate cluster start worker --address tls://scheduler.example.net:8786
    """
    if importlib.util.find_spec("distributed") is None:
        raise UsageError("dask is not installed", "pip install 'tscm-migrate[cluster]'")
    words = _words(role, address, Path(certificates), threads)
    environment = {**os.environ, "DASK_DISTRIBUTED__DIAGNOSTICS__NVML": "False"}
    argv = [sys.executable, "-m", *words]
    if os.name != "nt":
        os.execve(sys.executable, argv, environment)  # noqa: S606 - the process becomes dask's, with its signals
    return subprocess.run(argv, check=False, env=environment).returncode


def _words(role: str, address: str, folder: Path, threads: int) -> Sequence[str]:
    if role not in {"scheduler", "worker"}:
        raise UsageError(f"unknown role {role!r}", "use scheduler or worker")
    scheme, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    if scheme != "tls" or not host or not port.isascii() or not port.isdecimal():
        raise UsageError(f"--address {address!r} is not valid", "use tls://HOST:PORT: only TLS is protected")
    files = [folder / name for name in ("ca.pem", "cluster.pem", "cluster.key")]
    for file in files:
        if not file.is_file():
            raise UsageError(f"{file} does not exist", "create it: tscm-migrate cluster certificates HOST")
    flags = ("--tls-ca-file", "--tls-cert", "--tls-key")
    tls = [word for flag, file in zip(flags, files, strict=True) for word in (flag, str(file))]
    if role == "scheduler":
        return ["distributed.cli.dask_scheduler", "--host", f"tls://{host}", "--port", port, "--no-dashboard", *tls]
    more = ["--nthreads", str(threads), "--no-nanny", "--no-dashboard"]
    return ["distributed.cli.dask_worker", address, *more, *tls]
