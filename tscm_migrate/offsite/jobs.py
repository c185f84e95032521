"""One host's pull as a unit of work that can be sent to another process or machine: plain data, no secret.

Whoever does it opens the connections and resolves the secrets itself.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tscm_migrate.errors import MigrateError
from tscm_migrate.events import Emit, silent
from tscm_migrate.inventory.read import load
from tscm_migrate.offsite.pull import Pulled, PullOptions, pull
from tscm_migrate.offsite.stores.factory import open_store
from tscm_migrate.secrets import Secrets
from tscm_migrate.ssh.connect import connect
from tscm_migrate.util import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tscm_migrate.model import Host
    from tscm_migrate.offsite.stores.base import Store
    from tscm_migrate.ssh.connect import Credentials
    from tscm_migrate.ssh.shell import Shell


@dataclass(frozen=True)
class PullJob:
    """Pull from one host; `inventory` is where an sftp store's host is looked up."""

    host: Host
    store: str
    options: PullOptions
    inventory: Path | None = None


@dataclass(frozen=True)
class Tools:
    """What a worker has of its own; made anew where a job arrives in another process."""

    credentials: Credentials
    emit: Emit = silent
    store: Store | None = None  # one for all of a process, where the kind of store allows that

    @staticmethod
    def here() -> Tools:
        """For a worker without a terminal."""
        return Tools(Secrets(interactive=False))


def do_pull(job: PullJob, tools: Tools | None = None) -> Pulled:
    """Do one job; without `tools` in a worker of its own.

    Raises:
        MigrateError: as `pull.pull` does, and where no connection can be made.
        RuntimeError: another error of a worker, without the secrets that only the worker knows.
    """
    if tools is not None:
        return _done(job, tools)
    try:
        return _done(job, Tools.here())
    except MigrateError:
        raise
    except Exception as error:  # noqa: BLE001 - it is sent to another process, which cannot blank what it does not know
        raise RuntimeError(redact.clean(f"{type(error).__name__}: {error}")) from None


def _done(job: PullJob, tools: Tools) -> Pulled:
    with (
        stored(job.store, job.inventory, tools) as store,
        connect(job.host, credentials=tools.credentials, emit=tools.emit) as shell,
    ):
        return pull(shell, store, job.options, now=datetime.now(UTC), emit=tools.emit)


@contextmanager
def stored(url: str, inventory: Path | None, tools: Tools) -> Iterator[Store]:
    """The store of a job: the shared one, or one of its own that is closed afterwards."""
    if tools.store is not None:
        yield tools.store
        return
    with closing(open_store(url, dial=dialler(inventory, tools))) as store:
        yield store


def dialler(inventory: Path | None, tools: Tools) -> Callable[[str], Shell]:
    """Connects to the host of an `sftp://` store: a name in the inventory, or user@address:port."""

    def dial(spec: str) -> Shell:
        return connect(load(inventory).host(spec), credentials=tools.credentials, emit=tools.emit)

    return dial
