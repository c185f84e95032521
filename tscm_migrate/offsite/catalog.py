"""List the copies in a store from their manifests, with a local cache.

The cache only saves fetching manifests and records, which never change; it may be deleted. An object that cannot be
read is listed in `Catalog.unreadable` and skipped.
"""

import base64
import gc
import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from tscm_migrate.archive.select import LATEST, select
from tscm_migrate.errors import CopyDamaged, CopyMissing, ObjectMissing, StoreDenied, StoreError, StoreUnavailable
from tscm_migrate.offsite import keys
from tscm_migrate.offsite.manifest import Manifest, Record, parse_manifest, parse_record
from tscm_migrate.offsite.stores.base import SMALL, Stat, Store, read_small
from tscm_migrate.util import private

_FETCHERS = 8
_BATCH = 64  # objects that a thread reads before it is given others
_CACHE = 2
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


@dataclass(frozen=True, slots=True)
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
        if not self.records:
            return None
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


@contextmanager
def _without_gc() -> Iterator[None]:
    """Disable the garbage collector: it would search a growing number of objects again and again, and free nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_without_gc()
def load(store: Store, *, hosts: Iterable[str] | None = None, cache: Path | None = None) -> Catalog:
    """List a store and read its manifests and records.

    Args:
        store: whose.
        hosts: only these; None for all.
        cache: folder of the cache; None for no cache.
    """
    wanted = None if hosts is None else sorted(set(hosts))
    prefixes = [keys.HOSTS] if wanted is None else [f"{keys.HOSTS}/{keys.host_part(host)}" for host in wanted]
    contents = _Contents()
    small, data = _listed(store, prefixes, contents)
    memory = _Memory(cache, store.url, prefixes)
    for key, body in memory.known(small):
        contents.add(key, body)
    _fetch(store, small, contents, memory)
    copies = contents.copies(data)
    used = {copy.manifest.data for copy in copies} | memory.doubtful
    orphans = tuple(e for e in data.values() if e.key not in used and "/archives/" in e.key)
    names = {copy.host for copy in copies} | set(wanted or ())
    unreadable = tuple(contents.unreadable)
    return Catalog(store.url, tuple(copies), unreadable, orphans, memory.manifests, tuple(sorted(names)))


def _listed(store: Store, prefixes: Iterable[str], contents: "_Contents") -> tuple[dict[str, Stat], dict[str, Stat]]:
    """Return the manifests and records that a store lists, and the archives, each by its key."""
    small: dict[str, Stat] = {}
    data: dict[str, Stat] = {}
    for prefix in prefixes:
        for entry in store.entries(prefix, odd=contents.odd):
            (small if entry.key.endswith(".json") else data)[entry.key] = entry
    return small, data


class _Contents:
    """The manifests and records of a store, and what in it cannot be read."""

    def __init__(self) -> None:
        self.unreadable: list[Unreadable] = []
        self.read: set[str] = set()  # keys
        self._manifests: list[Manifest] = []
        self._records: dict[tuple[str, str], list[Record]] = {}

    def odd(self, key: str, why: str) -> None:
        self.unreadable.append(Unreadable(key, why))

    def add(self, key: str, body: bytes) -> None:
        """Parse an object."""
        self.read.add(key)
        try:
            if "/archives/" in key:
                self._manifests.append(parse_manifest(body, key))
            else:
                record = parse_record(body, key)
                self._records.setdefault((record.host, record.copy_), []).append(record)
        except CopyDamaged as error:
            self.odd(key, error.message())
        except Exception as error:  # noqa: BLE001 - an unexpected file must not hide all others
            self.odd(key, f"it cannot be read ({type(error).__name__})")

    def copies(self, data: Mapping[str, Stat]) -> list[Copy]:
        """Return the copies, newest first; `data`: the archives that the store lists."""
        found = []
        for one in self._manifests:
            records = sorted(self._records.get((one.host, one.id), ()), key=lambda record: record.at)
            stat = data.get(one.data)
            found.append(Copy(one, tuple(records), missing=stat is None or stat.size != one.size))
        found.sort(key=lambda copy: (copy.taken_at, copy.manifest.pulled_at), reverse=True)
        return found


def _fetch(store: Store, small: Mapping[str, Stat], contents: _Contents, memory: "_Memory") -> None:
    """Read the objects that are not in the cache, and write the cache again if anything has changed.

    Raises:
        StoreDenied: the store refuses to return any object.
    """
    refused: list[StoreDenied] = []
    absent = []
    for entry in small.values():
        if entry.key in contents.read:
            continue
        if entry.size > SMALL:
            contents.odd(entry.key, f"{entry.size} bytes are more than this tool writes there")
        else:
            absent.append(entry)
    with memory.renewed(small, changed=bool(absent)) as remember:
        for entry, got in _bodies(store, absent):
            if isinstance(got, bytes):
                contents.add(entry.key, got)
                remember(entry, got)
            elif got is not None:
                refused += [got] if isinstance(got, StoreDenied) else []
                contents.odd(entry.key, got.message())
    if refused and not contents.read:
        raise refused[0]


def _bodies(store: Store, absent: list[Stat]) -> Iterator[tuple[Stat, bytes | CopyDamaged | StoreError | None]]:
    """Read objects with several threads; only a few batches at a time are in memory."""
    size = max(1, min(_BATCH, len(absent) // (4 * _FETCHERS)))
    batches = (absent[at : at + size] for at in range(0, len(absent), size))
    waiting: deque[tuple[list[Stat], Future[list[bytes | CopyDamaged | StoreError | None]]]] = deque()
    with ThreadPoolExecutor(_FETCHERS, thread_name_prefix="catalog") as pool:
        for batch in batches:
            if len(waiting) >= 2 * _FETCHERS:
                done, future = waiting.popleft()
                yield from zip(done, future.result(), strict=True)
            waiting.append((batch, pool.submit(lambda ones: [_fetched(store, one) for one in ones], batch)))
        for done, future in waiting:
            yield from zip(done, future.result(), strict=True)


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
    """The cache: objects that were read before, by key, size and time of modification; a line of JSON for each."""

    def __init__(self, folder: Path | None, url: str, prefixes: list[str]) -> None:
        self._path = _memory_file(folder, url) if folder else None
        self._prefixes = prefixes
        self._changed = False  # an object below the prefixes is gone, or another one
        self.manifests = 0  # that were remembered below the prefixes
        self.doubtful: set[str] = set()  # data of manifests that are not listed now: a listing may lag, not orphans yet

    def known(self, small: Mapping[str, Stat]) -> Iterator[tuple[str, bytes]]:
        """Yield key and bytes of each remembered object that is listed and has not changed."""
        for key, row in self._lines():
            if not _below(key, self._prefixes):
                continue
            is_manifest = "/archives/" in key
            self.manifests += is_manifest
            with suppress(ValueError, TypeError, CopyDamaged):
                if _same(small.get(key), row):
                    yield key, base64.b64decode(str(row[3]))
                    continue
                if is_manifest and key not in small:
                    self.doubtful.add(parse_manifest(base64.b64decode(str(row[3])), key).data)
            self._changed = True

    @contextmanager
    def renewed(self, small: Mapping[str, Stat], *, changed: bool) -> Iterator[Callable[[Stat, bytes], None]]:
        """Yield a function that remembers an object; afterwards the cache is replaced.

        The cache only saves time: if it cannot be written, the former one stays.
        """
        part: private.Replacement | None = None
        if self._path and (changed or self._changed):
            with suppress(OSError):
                private.folder(self._path.parent)
                part = private.Replacement(self._path)
        if part is None:
            yield lambda _entry, _body: None
            return
        failed = list[OSError]()

        def write(*row: object) -> None:
            try:
                if not failed:
                    part.write(json.dumps(row).encode() + b"\n")
            except OSError as error:
                failed.append(error)

        def remember(entry: Stat, body: bytes) -> None:
            write(entry.key, entry.size, entry.modified.isoformat(), base64.b64encode(body).decode())

        with part:
            write({"cache": _CACHE})
            for key, row in self._lines():
                if not _below(key, self._prefixes) or _same(small.get(key), row):
                    write(*row)
            yield remember
            if not failed:
                with suppress(OSError):
                    part.commit()

    def _lines(self) -> Iterator[tuple[str, list[Any]]]:
        """Yield key and line of each remembered object; nothing from a cache of another version."""
        if self._path is None:
            return
        with suppress(OSError, ValueError), self._path.open("rb") as file:
            head = json.loads(file.readline())
            if not isinstance(head, list) or head != [{"cache": _CACHE}]:
                return
            for line in file:
                row = json.loads(line)
                if isinstance(row, list) and len(row) == 4 and isinstance(row[0], str):
                    yield row[0], row


def _same(entry: Stat | None, row: list[Any]) -> bool:
    return entry is not None and row[1:3] == [entry.size, entry.modified.isoformat()]


def _below(key: str, prefixes: list[str]) -> bool:
    return any(key.startswith(f"{prefix}/") for prefix in prefixes)
