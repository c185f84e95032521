"""Who does the work: threads or processes of this machine, or the workers of a dask cluster.

A dask scheduler runs whatever it is sent, so one without mutual TLS is an open door: only `tls://` with our own
certificates is taken. A worker that dies has its job done again by another; pulls may be repeated, so that is safe.
"""

from __future__ import annotations

import importlib
import multiprocessing
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - pydantic wants it
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from tscm_migrate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Executor


class Cluster(BaseModel):
    """`[offsite.cluster]`: the scheduler, and the files of mutual TLS."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scheduler: str
    ca: Path
    cert: Path
    key: Path


@contextmanager
def processes(count: int) -> Iterator[Executor]:
    """Processes of this machine, started fresh (spawned), so that none inherits a connection or a lock."""
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@contextmanager
def cluster(where: Cluster) -> Iterator[Executor]:
    """The workers of a dask cluster.

    Raises:
        UsageError: not `tls://`, a file is missing, dask is not installed, or nobody answers there.
    """
    if not where.scheduler.startswith("tls://"):
        raise UsageError(
            f"{where.scheduler} is not protected: whoever reaches it runs code with your keys", "use tls://HOST:PORT"
        )
    for name in ("ca", "cert", "key"):
        if not (path := getattr(where, name).expanduser()).is_file():
            raise UsageError(f"offsite.cluster.{name}: {path} is not there")
    try:
        dask: Any = importlib.import_module("distributed")
    except ImportError:
        raise UsageError("dask is not installed", "pip install 'tscm-migrate[cluster]'") from None
    security = dask.Security(
        tls_ca_file=str(where.ca.expanduser()),
        tls_client_cert=str(where.cert.expanduser()),
        tls_client_key=str(where.key.expanduser()),
        require_encryption=True,
    )
    try:
        client = dask.Client(where.scheduler, security=security, timeout=20, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise UsageError(f"no scheduler answers at {where.scheduler}: {error}", "is it up, with these keys?") from error
    with client:
        yield client.get_executor(pure=False)
