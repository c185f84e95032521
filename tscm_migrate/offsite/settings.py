"""Read `[offsite]` of the inventory: the store, how copies are made and kept, and the RPO."""

from datetime import timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tscm_migrate.archive import gpg
from tscm_migrate.errors import UsageError
from tscm_migrate.inventory.inventory import Inventory
from tscm_migrate.offsite.retention import RetentionPolicy
from tscm_migrate.offsite.upload import CopyPolicy
from tscm_migrate.util.text import parse_duration, suggestion


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
    cluster: dict[str, str] | None = None  # see `fleet.executors.Cluster`
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
