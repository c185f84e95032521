"""The context of an off-site command ([offsite] of the inventory, store, connections), and its jobs.

A job pulls from one host. It is plain data without a secret, which can be sent to another process or machine: the
worker opens the connections and resolves the secrets itself.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tscm_migrate.archive import gpg
from tscm_migrate.errors import MigrateError, UsageError
from tscm_migrate.events import Emit, Message, silent
from tscm_migrate.inventory.inventory import Inventory
from tscm_migrate.inventory.read import load
from tscm_migrate.model import Host
from tscm_migrate.offsite import catalog as catalogs
from tscm_migrate.offsite.catalog import Catalog
from tscm_migrate.offsite.pull import Pulled, PullOptions, pull
from tscm_migrate.offsite.retention import RetentionPolicy
from tscm_migrate.offsite.stores.base import Store
from tscm_migrate.offsite.stores.factory import open_store
from tscm_migrate.offsite.upload import CopyPolicy
from tscm_migrate.secrets import Secrets
from tscm_migrate.ssh.connect import Credentials, connect
from tscm_migrate.ssh.shell import Shell
from tscm_migrate.util import redact
from tscm_migrate.util.private import state_folder
from tscm_migrate.util.redact import outside
from tscm_migrate.util.text import parse_duration, suggestion

_NAMED = 20  # objects that are named
_WINDOWS = 32 << 20  # bytes in memory for all streams of a process


@dataclass(frozen=True)
class OffsiteContext:
    """An open store, with the inventory, the settings and the secrets."""

    inventory: Inventory
    settings: "Settings"
    store: Store
    secrets: Secrets
    emit: Emit
    cache: Path

    def catalog(self, hosts: Sequence[str] | None = None, *, rebuild: bool = False) -> Catalog:
        """List the store's copies, and warn of objects that cannot be read; `rebuild`: delete the cache first."""
        if rebuild:
            catalogs.forget(self.cache, self.store.url)
        found = catalogs.load(self.store, hosts=hosts, cache=self.cache)
        for thing in found.unreadable[:_NAMED]:
            self.emit(Message(f"skipped in the store: {outside(str(thing), 400)}", "warning"))
        if len(found.unreadable) > _NAMED:
            self.emit(Message(f"and {len(found.unreadable) - _NAMED} more: tscm-migrate offsite list", "warning"))
        return found

    def hosts(self, names: Sequence[str], groups: Sequence[str], *, moved: bool = False) -> list[Host]:
        """Return hosts, each once: those with the given names or in the groups; without either, all of the inventory.

        A host that was replaced by another one is returned only if `moved` is true and it is named.

        Raises:
            InventoryError: no such host or group. UsageError: the inventory has no host.
        """
        found = [self.inventory.host(name, moved=moved) for name in names]
        found += [host for group in groups for host in self.inventory.group(group)]
        if not names and not groups:
            found = list(self.inventory.present)
        if not found:
            raise UsageError("the inventory has no hosts", "name one, or add hosts: tscm-migrate init")
        return list({host.name: host for host in found}.values())

    def jobs(
        self, hosts: Sequence[Host], archive: str, tags: tuple[str, ...], at_once: int = 1, *, look_only: bool = False
    ) -> "list[PullJob]":
        """Return one job for each host; `at_once` of them share the memory for streams."""
        window = max(_WINDOWS // at_once, 2 << 20)
        options = PullOptions(
            archive, self.settings.copying(tags), window=window, cache=self.cache, look_only=look_only
        )
        return [PullJob(host, self.settings.store, options, self.inventory.path) for host in hosts]

    def tools(self) -> "Tools":
        """Return the tools for threads of this process; they do not share the connection of an sftp store."""
        shared = None if self.settings.store.startswith("sftp://") else self.store
        return Tools(self.secrets, self.emit, shared)


@contextmanager
def opened(
    *,
    inventory: str | None = None,
    store: str | None = None,
    passphrase_file: str | None = None,
    emit: Emit = silent,
) -> Iterator[OffsiteContext]:
    """Read the inventory and open the store that it, or `store`, names.

    Raises:
        InventoryError, UsageError: the inventory or the store's URL is not valid.
    """
    found = load(Path(inventory) if inventory else None)
    chosen = settings(found, store)
    secrets = Secrets(passphrase_file=Path(passphrase_file) if passphrase_file else None, emit=emit)
    dial = dialler(found.path, Tools(secrets, emit))
    with closing(open_store(chosen.store, dial=dial)) as place:
        yield OffsiteContext(found, chosen, place, secrets, emit, cache_folder())


def cache_folder() -> Path:
    """Return the folder of the catalogs' cache; it may be deleted at any time."""
    return state_folder() / "offsite"


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
    def here() -> "Tools":
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


def _zone(text: object) -> str:
    try:
        return ZoneInfo(str(text)).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError('not a valid time zone: write "UTC" or "Europe/Berlin"') from None


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Zone = Annotated[str, BeforeValidator(_zone)]
Count = Annotated[int, Field(ge=0, le=10_000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Keep(_Strict):
    """`[offsite.keep]`: see `retention.RetentionPolicy`."""

    last: Count = RetentionPolicy.last
    daily: Count = RetentionPolicy.daily
    weekly: Count = RetentionPolicy.weekly
    monthly: Count = RetentionPolicy.monthly
    yearly: Count = RetentionPolicy.yearly
    within: Duration = RetentionPolicy.within
    unverified_for: Duration = RetentionPolicy.unverified_for
    protect: tuple[str, ...] = RetentionPolicy.protect
    zone: Zone = "UTC"

    def policy(self) -> RetentionPolicy:
        """Return the settings as a retention policy."""
        return RetentionPolicy(**{**self.model_dump(), "zone": ZoneInfo(self.zone)})


class Promise(_Strict):
    """Settings of one host; `rpo`: how old the newest verified copy may get."""

    rpo: Duration | None = None


class Settings(_Strict):
    """`[offsite]`."""

    store: str = ""
    rpo: Duration = timedelta(hours=36)
    verify: Literal["read", "size"] = "read"
    require_encryption: bool = False
    recipients: tuple[str, ...] = ()
    jobs: Annotated[int, Field(ge=1, le=256)] = 4
    keep: Keep = Field(default_factory=Keep)
    drill_every: Duration | None = None
    notify: tuple[str, ...] = ()  # apprise URLs, or "env:VAR"; they contain secrets
    ping: str = ""  # URL to ping, or "env:VAR"
    cluster: dict[str, str] | None = None  # see `fleet.pool.Cluster`
    hosts: dict[str, Promise] = Field(default_factory=dict)

    def rpo_of(self, host: str) -> timedelta:
        """Return the RPO of one host."""
        return (self.hosts[host].rpo if host in self.hosts else None) or self.rpo

    def copying(self, tags: tuple[str, ...] = ()) -> CopyPolicy:
        """Return how copies are made; check the recipients' keys before anything is read.

        Raises:
            EncryptionFailed: a recipient is not in the keyring, or cannot be used.
        """
        keys = gpg.recipients(self.recipients) if self.recipients else ()
        return CopyPolicy(self.verify, keys, self.require_encryption, tags)


def settings(inventory: Inventory, store: str | None = None) -> Settings:
    """Read `[offsite]`; `store` (an option of the command line) replaces the store of the file.

    Raises:
        InventoryError: a mistake, with its key.
        UsageError: no store is given.
    """
    raw: dict[str, Any] = dict(inventory.extras.get("offsite") or {})
    if store:
        raw["store"] = store
    try:
        parsed = Settings.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(("offsite", *map(str, first["loc"])))
        known = Settings.model_fields if len(first["loc"]) == 1 else Keep.model_fields
        near = suggestion(str(first["loc"][-1]), known) if first["type"] == "extra_forbidden" else ""
        text = "no such setting" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
        raise inventory.error(text + near, key, "the settings are in docs/how-to/offsite.md") from None
    for name in parsed.hosts:
        if name not in inventory.hosts:
            near = suggestion(name, inventory.hosts)
            raise inventory.error(f"there is no host {name!r}{near}", f"offsite.hosts.{name}")
    if not parsed.store:
        raise UsageError("no store is given", 'use --store URL, or set store = "…" in [offsite] of the inventory')
    return parsed
