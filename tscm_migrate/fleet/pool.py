"""Run the same operation on many hosts over a `concurrent.futures.Executor`: threads, processes, or dask workers.

At most `jobs` operations run at once. Hosts are probed first, without using one of these places, so that hosts which do
not answer cost one timeout together and delay no other host. A failure is an outcome; it never ends the other work.

A dask scheduler runs whatever a client sends, so only `tls://` with the operator's own certificates is accepted. When a
worker dies, dask runs its job again on another one; a pull may be repeated, so that is safe.
"""

import asyncio
import contextlib
import importlib
import ipaddress
import multiprocessing
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from tscm_migrate.errors import ClusterLost, Unreachable, UsageError
from tscm_migrate.model import Host
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


R = TypeVar("R")

_PROBES = 256  # hosts that are probed at once


@dataclass(frozen=True)
class Outcome(Generic[T, R]):
    """The result for one item: a value or an error; `seconds` since its work started."""

    item: T
    value: R | None = None
    error: BaseException | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Timed(Generic[R]):
    """A value with the seconds that it took, measured where it was computed."""

    value: R
    seconds: float


@dataclass(frozen=True)
class Probe(Generic[T]):
    """Connects to an item's host and waits for SSH's banner, `timeout` seconds in all.

    A host behind a gateway is not probed.
    """

    host_of: Callable[[T], Host]
    timeout: float = 15.0


def timed(work: Callable[[T], R], item: T) -> Timed[R]:
    """Run `work` and measure it; at module level, so that it can be pickled."""
    began = time.monotonic()
    value = work(item)
    return Timed(value, time.monotonic() - began)


def run(
    items: Sequence[T],
    work: Callable[[T], R],
    *,
    jobs: int,
    executor: Executor | None = None,
    probe: Probe[T] | None = None,
    admit: Callable[[T], bool] = lambda _item: True,
    on_stop: Callable[[], None] | None = None,
) -> Iterator[Outcome[T, R]]:
    """Run `work` on every item; yield each outcome as soon as it is known.

    Args:
        items: each is worked on once (an executor of several machines may repeat one after a crash).
        work: picklable where the executor does not use threads; has timeouts of its own.
        jobs: how many run at once, 1 or more.
        executor: None uses threads of this process.
        probe: items whose host does not answer are not worked on, and give Unreachable.
        admit: called in the caller's thread before an item's work starts; False leaves the item out.
        on_stop: called when the caller stops early (Ctrl-C), to end the work that is running.

    Raises:
        ClusterLost: the executor's cluster has no worker any more. The items whose work had started have given their
            outcomes, with this error; the others have none.
    """
    if jobs < 1:
        raise ValueError("jobs must be 1 or more")
    finished: SimpleQueue[Future[Any]] = SimpleQueue()
    probing: dict[Future[Any], T] = {}
    running: dict[Future[Any], T] = {}
    with ExitStack() as stack:
        pool = executor or stack.enter_context(_threads(jobs))
        if probe is not None:
            probing = _probe_all(items, probe, stack.enter_context(_event_loop()), finished)
        ready = deque(items if probe is None else ())

        def start() -> None:
            while ready and len(running) < jobs:
                item = ready.popleft()
                if admit(item):
                    _track(pool.submit(timed, work, item), item, running, finished)

        try:
            yield from _outcomes(probing, running, ready, partial(_next, finished, pool), start)
        except ClusterLost:
            raise
        except BaseException:
            if on_stop is not None:
                on_stop()
            raise
        finally:
            for future in running:
                future.cancel()


def _outcomes(
    probing: dict[Future[Any], T], running: dict[Future[Any], T], ready: deque[T],
    next_done: Callable[[], Future[Any]], start: Callable[[], None],
) -> Iterator[Outcome[T, R]]:  # fmt: skip
    start()
    while probing or running:
        try:
            future = next_done()
        except ClusterLost as lost:
            yield from (Outcome(item, error=lost) for item in running.values())
            raise
        if future in running:
            yield _outcome(running.pop(future), future)
        elif error := future.exception() or future.result():
            yield Outcome(probing.pop(future), error=error)
        else:
            ready.append(probing.pop(future))
        start()


def _track(future: Future[Any], item: T, into: dict[Future[Any], T], finished: SimpleQueue[Future[Any]]) -> None:
    into[future] = item
    future.add_done_callback(finished.put)


def _next(finished: SimpleQueue[Future[Any]], pool: Executor) -> Future[Any]:
    """Wait for the next future that is done.

    Raises:
        ClusterLost: the pool's cluster has no worker, or its client has cancelled the future.
    """
    while True:
        with contextlib.suppress(Empty):
            future = finished.get(timeout=0.5)  # without a timeout, Ctrl-C is not seen on Windows
            if future.cancelled() and isinstance(pool, ClusterExecutor):
                raise pool.lost()
            return future
        if isinstance(pool, ClusterExecutor):
            pool.check()


def _outcome(item: T, future: Future[Timed[R]]) -> Outcome[T, R]:
    error = future.exception()
    if error is not None:
        if not isinstance(error, Exception):
            raise error
        return Outcome(item, error=error)
    result = future.result()
    return Outcome(item, result.value, seconds=result.seconds)


@contextmanager
def _threads(jobs: int) -> Iterator[Executor]:
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="fleet")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop in a daemon thread, which a probe that still waits does not keep alive."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="fleet-probes", daemon=True).start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)


def _probe_all(
    items: Sequence[T], probe: Probe[T], loop: asyncio.AbstractEventLoop, finished: SimpleQueue[Future[Any]]
) -> dict[Future[Any], T]:
    limit = asyncio.Semaphore(_PROBES)
    probing: dict[Future[Any], T] = {}
    for item in items:
        answer = _unreachable(probe.host_of(item), probe.timeout, limit)
        _track(asyncio.run_coroutine_threadsafe(answer, loop), item, probing, finished)
    return probing


async def _unreachable(host: Host, seconds: float, limit: asyncio.Semaphore) -> Unreachable | None:
    """Return why no SSH server answers at a host's address, or None."""
    if host.gateway is not None:
        return None
    writer: asyncio.StreamWriter | None = None
    async with limit:
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_connection(host.address, host.port)
                if await reader.read(4):
                    return None
            why = "the connection was closed before a banner"
        except TimeoutError:
            why = f"no {'banner' if writer else 'connection'} within {seconds:.0f} s"
        except OSError as error:
            why = error.strerror or str(error)
        finally:
            if writer is not None:
                writer.close()
    return Unreachable(host.name, why)
