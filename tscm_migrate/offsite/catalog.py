"""List the copies in a store from their manifests, with a local cache.

The cache only saves fetching manifests and records, which never change; it may be deleted. An object that cannot be
read is listed in `Catalog.unreadable` and skipped.
"""

from __future__ import annotations

import base64
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tscm_migrate.archive.select import LATEST, select
from tscm_migrate.errors import CopyDamaged, CopyMissing, ObjectMissing, StoreDenied, StoreError, StoreUnavailable
from tscm_migrate.offsite import keys
from tscm_migrate.offsite.manifest import Manifest, Record, parse_manifest, parse_record
from tscm_migrate.offsite.stores.base import SMALL, Stat, Store, read_small
from tscm_migrate.util import private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_FETCHERS = 8
_CACHE = 1
AHEAD = timedelta(hours=15)  # older versions read a name in local time as UTC, and no zone is that far to the east


@dataclass(frozen=True)
class Unreadable:
    """An object that cannot be read as part of a copy: its key, safe to show, and why."""

    key: str
    why: str

    def __str__(self) -> str:
        return self.why if self.key in self.why else f"{self.key}: {self.why}"

    def of(self, host: str) -> bool:
        """Whether its key is below the host's folder."""
        return f"{self.key}/".startswith(f"{keys.HOSTS}/{keys.host_part(host)}/")


@dataclass(frozen=True)
class Copy:
    """A manifest with all records about it."""

    manifest: Manifest
    records: tuple[Record, ...] = ()  # oldest first
    missing: bool = False  # the store does not list its data, or lists another size

    @property
    def host(self) -> str:
        """Return the host that it was made of."""
        return self.manifest.host

    @property
    def id(self) -> str:
        """Return what identifies it among the copies of its host."""
        return self.manifest.id

    @property
    def taken_at(self) -> datetime:
        """Return when the appliance made it (UTC)."""
        return self.manifest.taken_at

    @property
    def future(self) -> bool:
        """Whether its name was dated in the future when it was pulled; its date proves nothing then."""
        return self.taken_at > self.manifest.pulled_at + AHEAD

    @property
    def dated(self) -> datetime:
        """Return when it was taken, but not later than it was pulled."""
        return min(self.taken_at, self.manifest.pulled_at)

    def as_dict(self) -> dict[str, Any]:
        """Return the object of `--json`: the manifest, and the state from the records."""
        return {
            **self.manifest.as_dict(),
            "tags": list(self.tags),
            "damaged": self.damaged,
            "last_verified_at": self.verified_at.isoformat() if self.verified_at else None,
            "drilled_at": self.drill.at.isoformat() if self.drill else None,
            "drill_ok": self.drill.ok if self.drill else None,
        }

    def _latest(self, kind: str) -> Record | None:
        found = [r for r in self.records if r.kind == kind and r.data in {"", self.manifest.data}]
        return max(found, key=lambda record: record.at, default=None)

    @property
    def damaged(self) -> str:
        """Return why it is known to be damaged, or ""."""
        if self.missing:
            return "its data is not in the store, or has another size"
        latest = self._latest("verify")
        return latest.detail or "its bytes are not what they were" if latest and not latest.ok else ""

    @property
    def verified_at(self) -> datetime | None:
        """Return when its bytes were last read and correct; None: never, or damaged since."""
        if self.damaged:
            return None
        latest = self._latest("verify")
        times = [at for at in (self.manifest.verified_at, latest.at if latest else None) if at]
        return max(times, default=None)

    @property
    def drill(self) -> Record | None:
        """Return the newest drill's record."""
        return self._latest("drill")

    @property
    def tags(self) -> tuple[str, ...]:
        """Return its tags, as last set."""
        latest = self._latest("tag")
        return latest.tags if latest else self.manifest.tags


@dataclass(frozen=True)
class Catalog:
    """The contents of a store when it was listed."""

    url: str
    copies: tuple[Copy, ...]  # newest first
    unreadable: tuple[Unreadable, ...] = ()  # objects that could not be read
    orphans: tuple[Stat, ...] = ()  # data without a manifest
    known_before: int = 0  # copies that the workstation remembered before it looked
    hosts: tuple[str, ...] = field(default=())

    def of(self, host: str) -> tuple[Copy, ...]:
        """Return a host's copies, newest first."""
        return tuple(self._by_host.get(host, ()))

    @cached_property
    def _by_host(self) -> dict[str, list[Copy]]:
        found: dict[str, list[Copy]] = {}
        for copy in self.copies:
            found.setdefault(copy.host, []).append(copy)
        return found

    def find(self, host: str, name: str = "latest") -> Copy:
        """Return the copy that `name` means: "latest" (the newest verified copy), an id, or an archive's name.

        A copy that was dated in the future when it was pulled is the latest only if no other one is verified.

        Raises:
            CopyMissing: no copy fits, or several archives have that name and different bytes.
        """
        mine = self.of(host)
        candidates = [copy for copy in mine if copy.verified_at] if name == LATEST else mine
        found = select(candidates, name, names_of, lambda copy: (not copy.future, copy.dated, copy.manifest.pulled_at))
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(copy.id for copy in found)
            raise CopyMissing(
                detail=f"{host}: {len(found)} copies with different contents are called {name}", fix=f"name one: {ids}"
            )
        why = "no verified copy" if name == LATEST and mine else "no such copy"
        raise CopyMissing(detail=f"{host}: {why} in {self.url}")


def names_of(copy: Copy) -> frozenset[str]:
    """Return the names under which a copy can be asked for: its id and its archive's name."""
    return frozenset((copy.id, copy.manifest.archive))


def load(store: Store, *, hosts: Iterable[str] | None = None, cache: Path | None = None) -> Catalog:
    """List a store and read its manifests and records.

    Args:
        store: whose.
        hosts: only these; None for all.
        cache: folder of the cache; None for no cache.
    """
    memory = _Memory(cache, store.url)
    wanted = sorted(set(hosts)) if hosts is not None else None
    prefixes = [f"{keys.HOSTS}/{keys.host_part(host)}" for host in wanted] if wanted is not None else [keys.HOSTS]
    strange: list[Unreadable] = []

    def odd(key: str, why: str) -> None:
        strange.append(Unreadable(key, why))

    listed = [entry for prefix in prefixes for entry in store.entries(prefix, odd=odd)]
    small = [entry for entry in listed if entry.key.endswith(".json")]
    before = memory.manifests(prefixes)
    doubtful = memory.data_of_gone({entry.key for entry in small}, prefixes)
    bodies = _bodies(store, small, memory, strange)
    manifests, records = _parsed(bodies, odd)
    memory.save({entry.key for entry in small}, prefixes)
    data = {entry.key: entry.size for entry in listed if not entry.key.endswith(".json")}
    of_copy: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(records, key=lambda record: record.at):
        of_copy.setdefault((record.host, record.copy_), []).append(record)
    copies = [Copy(m, tuple(of_copy.get((m.host, m.id), ())), missing=data.get(m.data) != m.size) for m in manifests]
    copies.sort(key=lambda copy: (copy.taken_at, copy.manifest.pulled_at), reverse=True)
    used = {manifest.data for manifest in manifests} | doubtful  # a listing may lag: not an orphan yet
    orphans = tuple(e for e in listed if e.key in data and e.key not in used and "/archives/" in e.key)
    names = {copy.host for copy in copies} | set(wanted or ())
    return Catalog(store.url, tuple(copies), tuple(strange), orphans, before, tuple(sorted(names)))


def _parsed(bodies: dict[str, bytes], odd: Callable[[str, str], None]) -> tuple[list[Manifest], list[Record]]:
    manifests: list[Manifest] = []
    records: list[Record] = []
    for key, body in bodies.items():
        try:
            if "/archives/" in key:
                manifests.append(parse_manifest(body, key))
            else:
                records.append(parse_record(body, key))
        except CopyDamaged as error:
            odd(key, error.message())
        except Exception as error:  # noqa: BLE001 - an unexpected file must not hide all others
            odd(key, f"it cannot be read ({type(error).__name__})")
    return manifests, records


def _bodies(store: Store, small: list[Stat], memory: _Memory, strange: list[Unreadable]) -> dict[str, bytes]:
    """Read the objects that are not in the cache.

    Raises:
        StoreDenied: the store refuses to return any object.
    """
    bodies: dict[str, bytes] = {}
    absent: list[Stat] = []
    refused: list[StoreDenied] = []
    for entry in small:
        known = memory.get(entry)
        if known is not None:
            bodies[entry.key] = known
        elif entry.size > SMALL:
            strange.append(Unreadable(entry.key, f"{entry.size} bytes are more than this tool writes there"))
        else:
            absent.append(entry)
    with ThreadPoolExecutor(_FETCHERS, thread_name_prefix="catalog") as pool:
        for entry, got in zip(absent, pool.map(lambda one: _fetched(store, one), absent), strict=True):
            if isinstance(got, bytes):
                bodies[entry.key] = got
                memory.put(entry, got)
            elif got is not None:
                refused += [got] if isinstance(got, StoreDenied) else []
                strange.append(Unreadable(entry.key, got.message()))
    if refused and not bodies:
        raise refused[0]
    return bodies


def _fetched(store: Store, entry: Stat) -> bytes | CopyDamaged | StoreError | None:
    """Return an object's bytes, or why it cannot be read; None if it was deleted since the listing."""
    try:
        return read_small(store, entry.key)
    except ObjectMissing:
        return None
    except StoreUnavailable:
        raise
    except (CopyDamaged, StoreError) as error:
        return error


def forget(cache: Path, url: str) -> None:
    """Delete the cache of a store."""
    _memory_file(cache, url).unlink(missing_ok=True)


def _memory_file(folder: Path, url: str) -> Path:
    return folder / f"catalog-{hashlib.sha256(url.encode()).hexdigest()[:16]}.json"


class _Memory:
    """The cache: objects that were read before, by key, size and time of modification."""

    def __init__(self, folder: Path | None, url: str) -> None:
        self._path = _memory_file(folder, url) if folder else None
        self._held: dict[str, list[str | int]] = {}
        self._changed = False
        if self._path:
            with suppress(OSError, ValueError):
                data = json.loads(self._path.read_bytes())
                if isinstance(data, dict) and data.get("cache") == _CACHE:
                    self._held = {key: held for key, held in dict(data["held"]).items() if isinstance(held, list)}

    def get(self, entry: Stat) -> bytes | None:
        held = self._held.get(entry.key)
        if not held or held[:2] != [entry.size, entry.modified.isoformat()]:
            return None
        with suppress(ValueError, TypeError):
            return base64.b64decode(str(held[2]))
        return None

    def put(self, entry: Stat, body: bytes) -> None:
        self._held[entry.key] = [entry.size, entry.modified.isoformat(), base64.b64encode(body).decode()]
        self._changed = True

    def manifests(self, prefixes: list[str]) -> int:
        return sum("/archives/" in key for key in self._held if _below(key, prefixes))

    def data_of_gone(self, present: set[str], prefixes: list[str]) -> set[str]:
        """Return the data keys of manifests that were listed the last time, but not now."""
        found = set()
        for key, held in self._held.items():
            if _below(key, prefixes) and "/archives/" in key and key not in present:
                with suppress(ValueError, TypeError, CopyDamaged):
                    found.add(parse_manifest(base64.b64decode(str(held[2])), key).data)
        return found

    def save(self, present: set[str], prefixes: list[str]) -> None:
        gone = [key for key in self._held if _below(key, prefixes) and key not in present]
        if not self._path or not (self._changed or gone):
            return
        for key in gone:
            del self._held[key]
        with suppress(OSError):  # the cache only saves time
            private.folder(self._path.parent)
            private.write(self._path, json.dumps({"cache": _CACHE, "held": self._held}))


def _below(key: str, prefixes: list[str]) -> bool:
    return any(key.startswith(f"{prefix}/") for prefix in prefixes)
