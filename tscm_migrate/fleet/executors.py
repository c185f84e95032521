"""Executors for many hosts: processes of this machine, or the workers of a dask cluster with its certificates.

A dask scheduler runs whatever a client sends, so only `tls://` with the operator's own certificates is accepted. When a
worker dies, dask runs its job again on another one; a pull may be repeated, so that is safe.
"""

import contextlib
import importlib
import ipaddress
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from tscm_migrate.errors import ClusterLost, UsageError
from tscm_migrate.util import private

T = TypeVar("T")

CERTIFICATES = ("ca.pem", "cluster.pem", "cluster.key")
_CERTIFICATE_DAYS = 825
_CONNECT = 30  # seconds
_PATIENCE = 120.0  # seconds; a worker that is started again is back before
_CHECK_EVERY = 5.0  # seconds between two questions to the scheduler
_ANSWER = 10.0  # seconds for its answer
_SKEW = timedelta(minutes=5)  # between the clocks of the machines


class Cluster(BaseModel):
    """`[offsite.cluster]`: the scheduler, and the files of mutual TLS."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scheduler: str
    ca: Path
    cert: Path
    key: Path


@contextmanager
def processes(count: int) -> Iterator[Executor]:
    """Yield processes of this machine; they are spawned, so they inherit no connection and no lock."""
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


class ClusterExecutor(Executor):
    """The workers of a dask cluster; while none is connected, work waits for `patience` seconds."""

    def __init__(self, client: Any, scheduler: str, patience: float) -> None:
        self._client, self._scheduler, self._patience = client, scheduler, patience
        self._inner: Executor = client.get_executor(pure=False)
        self._seen = self._asked = time.monotonic()

    def submit(self, work: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run `work` on a worker; it waits until one is connected."""
        return self._inner.submit(work, *args, **kwargs)

    def check(self) -> None:
        """Check that the cluster has a worker; dask itself waits for one without an end.

        Raises:
            ClusterLost: there was none for `patience` seconds.
        """
        now = time.monotonic()
        if now - self._asked < min(_CHECK_EVERY, self._patience / 2):
            return
        self._asked = now
        if self._has_workers():
            self._seen = time.monotonic()
        elif now - self._seen >= self._patience:
            raise ClusterLost(self._scheduler, self._patience)

    def lost(self) -> ClusterLost:
        """Return the error of work that the client has given up because its scheduler is gone."""
        return ClusterLost(self._scheduler, time.monotonic() - self._seen)

    def _has_workers(self) -> bool:
        with contextlib.suppress(OSError, TimeoutError):
            return self._client.status == "running" and bool(self._client.nthreads(callback_timeout=_ANSWER))
        return False


@contextmanager
def cluster(where: Cluster, *, patience: float = _PATIENCE) -> Iterator[ClusterExecutor]:
    """Yield the workers of a dask cluster; while none is connected, work waits for `patience` seconds.

    Raises:
        UsageError: not `tls://`, a file is missing, dask is not installed, or no scheduler answers.
    """
    if not where.scheduler.startswith("tls://"):
        raise UsageError(
            f"{where.scheduler} is not encrypted: any client that reaches it could run code with your keys",
            "use tls://HOST:PORT",
        )
    for name in ("ca", "cert", "key"):
        if not (path := private.expanded(getattr(where, name))).is_file():
            raise UsageError(f"offsite.cluster.{name}: {path} is not there")
    try:
        dask: Any = importlib.import_module("distributed")
    except ImportError:
        raise UsageError("dask is not installed", "pip install 'tscm-migrate[cluster]'") from None
    security = dask.Security(
        tls_ca_file=str(private.expanded(where.ca)),
        tls_client_cert=str(private.expanded(where.cert)),
        tls_client_key=str(private.expanded(where.key)),
        require_encryption=True,
    )
    try:
        client = dask.Client(where.scheduler, security=security, timeout=_CONNECT, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise UsageError(f"no scheduler answers at {where.scheduler}: {error}", "is it up, with these keys?") from error
    with client:
        yield ClusterExecutor(client, where.scheduler, patience)


def create_certificates(folder: Path, hosts: Sequence[str], *, days: int = _CERTIFICATE_DAYS) -> None:
    """Write ca.pem, cluster.pem and cluster.key (0600) into a folder; the authority's key is not kept.

    Scheduler, workers and clients share one certificate, for the `hosts` at which they are reached. Dask runs whatever
    a connected client sends, so everyone with its key can run code on every worker.

    Raises:
        UsageError: one of the files exists already, or no host was given.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    if not hosts:
        fix = "name the machines: tscm-migrate cluster certificates scheduler.example.net 10.0.0.5"
        raise UsageError("missing argument: HOST", fix)
    private.folder(folder)
    if taken := [folder / name for name in CERTIFICATES if (folder / name).exists()]:
        raise UsageError(f"{taken[0]} exists already", "choose another folder, or remove the old certificates")
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    now = datetime.now(UTC)

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def builder(subject: str, public: Any) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name(subject)).issuer_name(name("tscm-migrate cluster authority"))
            .public_key(public).serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW).not_valid_after(now + timedelta(days=days))
        )  # fmt: skip

    ca = builder("tscm-migrate cluster authority", authority.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    shared = builder("tscm-migrate cluster", key.public_key()).add_extension(
        x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    signed = [made.sign(authority, hashes.SHA256()).public_bytes(pem) for made in (ca, shared)]
    for file, content in zip(CERTIFICATES, [*signed, secret], strict=True):
        private.write(folder / file, content)


def _host(host: str) -> Any:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
