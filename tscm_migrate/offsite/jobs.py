"""Pull from one host as a job that can be sent to another process or machine: plain data, no secret.

The worker opens the connections and resolves the secrets itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tscm_migrate.errors import MigrateError
from tscm_migrate.events import Emit, silent
from tscm_migrate.inventory.read import load
from tscm_migrate.model import Host
from tscm_migrate.offsite.pull import Pulled, PullOptions, pull
from tscm_migrate.offsite.stores.base import Store
from tscm_migrate.offsite.stores.factory import open_store
from tscm_migrate.secrets import Secrets
from tscm_migrate.ssh.connect import Credentials, connect
from tscm_migrate.ssh.shell import Shell
from tscm_migrate.util import redact


@dataclass(frozen=True)
class PullJob:
    """Pull from one host; `inventory` is where an sftp store's host is looked up."""

    host: Host
    store: str
    options: PullOptions
    inventory: Path | None = None


@dataclass(frozen=True)
class Tools:
    """What a worker uses: secrets, events and a store; each process makes its own."""

    credentials: Credentials
    emit: Emit = silent
    store: Store | None = None  # shared by all jobs of a process, if the kind of store allows it

    @staticmethod
    def here() -> Tools:
        """Return the tools of a worker without a terminal."""
        return Tools(Secrets(interactive=False))


def do_pull(job: PullJob, tools: Tools | None = None) -> Pulled:
    """Run one job; without `tools` it makes its own, as in another process.

    Raises:
        MigrateError: see `pull.pull`; also if no connection can be made.
        RuntimeError: any other error of a worker, with its secrets blanked.
    """
    if tools is not None:
        return _done(job, tools)
    try:
        return _done(job, Tools.here())
    except MigrateError:
        raise
    except Exception as error:  # noqa: BLE001 - the process that it is sent to does not know the secrets to blank
        raise RuntimeError(redact.clean(f"{type(error).__name__}: {error}")) from None


def _done(job: PullJob, tools: Tools) -> Pulled:
    with (
        stored(job.store, job.inventory, tools) as store,
        connect(job.host, credentials=tools.credentials, emit=tools.emit) as shell,
    ):
        return pull(shell, store, job.options, now=datetime.now(UTC), emit=tools.emit)


@contextmanager
def stored(url: str, inventory: Path | None, tools: Tools) -> Iterator[Store]:
    """Yield the store of a job: the shared one, or one that is closed afterwards."""
    if tools.store is not None:
        yield tools.store
        return
    with closing(open_store(url, dial=dialler(inventory, tools))) as store:
        yield store


def dialler(inventory: Path | None, tools: Tools) -> Callable[[str], Shell]:
    """Return a function that connects to the host of an `sftp://` store: a name, or user@address:port."""

    def dial(spec: str) -> Shell:
        return connect(load(inventory).host(spec), credentials=tools.credentials, emit=tools.emit)

    return dial
