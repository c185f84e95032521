"""Copy archives from an appliance into a store: read-only on the appliance, nothing on the workstation's disk."""

import re
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Self

from tscm_migrate import errors
from tscm_migrate.appliance import archives, facts
from tscm_migrate.appliance.appliance import quote
from tscm_migrate.appliance.archives import complete
from tscm_migrate.appliance.backup_schedule import MARKERS
from tscm_migrate.archive import hashing, names, select
from tscm_migrate.archive.compression import LARGEST
from tscm_migrate.events import Emit, Message, silent
from tscm_migrate.model import Archive
from tscm_migrate.offsite import catalog
from tscm_migrate.offsite.catalog import Catalog, Copy
from tscm_migrate.offsite.stores.base import Store
from tscm_migrate.offsite.upload import Copied, CopyPolicy, make_copy
from tscm_migrate.offsite.verify import verify
from tscm_migrate.ssh.shell import Shell
from tscm_migrate.ssh.stream import StreamReader
from tscm_migrate.util.redact import outside

_ASKED = {"os", "archives", "version"}
_TOLD = 20  # unreadable objects of a store that are named
_HASHING = 600.0  # seconds that `sha256sum` of one archive may take

stopping = threading.Event()  # set when this process has to end: every stream stops at its next chunk


@dataclass(frozen=True)
class PullOptions:
    """What to pull, and how; `archive` is "latest", "all" or a name; `limit` is in seconds for one archive.

    `window`: bytes of one stream in memory. `look_only`: list the archives and store nothing.
    """

    archive: str = "latest"
    copying: CopyPolicy = field(default_factory=CopyPolicy)
    limit: float = 6 * 3600.0
    window: int = 16 << 20
    cache: Path | None = None
    look_only: bool = False


@dataclass(frozen=True)
class Pulled:
    """The result of one pull; `copies`: newest first; `failed`: archives that could not be stored, and why.

    `seen`: the names of the chosen archives, if it was only to list them.
    """

    host: str
    copies: tuple[Copied, ...]
    failed: tuple[tuple[str, errors.MigrateError], ...] = ()
    seen: tuple[str, ...] = ()

    @property
    def outcome(self) -> Literal["stored", "already"]:
        """Return "stored" if anything new was stored, else "already"."""
        return "stored" if any(copied.outcome == "stored" for copied in self.copies) else "already"

    @property
    def size(self) -> int:
        """Return the number of bytes that were stored."""
        return sum(copied.manifest.size for copied in self.copies if copied.outcome == "stored")


@dataclass(frozen=True)
class Seen:
    """What an appliance says of itself and of its archives."""

    archives: tuple[Archive, ...]
    versions: dict[str, str]
    os: str


def look(shell: Shell) -> Seen:
    """Read the list of archives, the versions and the system in one round trip.

    Raises:
        ListingFailed: the archives could not be listed, or the backup folder does not exist.
    """
    paths, mark = shell.host.paths, f"@{secrets.token_hex(8)}@"
    asked = tuple(fact for fact in facts.FACTS if fact.name in _ASKED)
    result = shell.run(facts.script(paths, mark, asked), check=False, display="list archives")
    parts = facts.sections(result.stdout, mark)
    listed = archives.parse_listing(parts.get("archives", (1, ""))[1])
    complete(shell.host, listed, result.stderr, folder_needed=True)
    found = {
        name: value for fact in asked for name, value in fact.parser(parts.get(fact.name, (1, ""))[1], paths).items()
    }
    versions = {outside(module, 60): outside(version, 60) for module, version in found.get("versions", ())[:40]}
    return Seen(listed.archives, versions, outside(str(found.get("os_pretty", "")), 200))


def pull(shell: Shell, store: Store, options: PullOptions, *, now: datetime, emit: Emit = silent) -> Pulled:
    """Copy the chosen archives into the store, unless they are there; safe to run twice at the same time.

    An archive that cannot be stored does not stop the others.

    Args:
        shell: a connection to the appliance.
        store: where to.
        options: what and how.
        now: aware UTC.
        emit: gets progress and warnings.

    Raises:
        SshError, ApplianceError, StoreError, CopyDamaged, EncryptionFailed, PlaintextRefused: nothing was stored; of
            several archives, some may have been stored before the connection or the store was lost.
    """
    return _Pull(shell, store, options, now, emit).run()


@dataclass(frozen=True)
class _Pull:
    """One pull, with what its parts share."""

    shell: Shell
    store: Store
    options: PullOptions
    now: datetime
    emit: Emit

    def run(self) -> Pulled:
        host, seen = self.shell.host.name, look(self.shell)
        wanted = select.chosen(seen.archives, self.options.archive, self.shell.host)
        known = catalog.load(self.store, hosts=[host], cache=self.options.cache)
        for thing in known.unreadable[:_TOLD]:
            self._warn(f"skipped in the store: {thing}")
        if self.options.look_only:
            return Pulled(host, (), (), tuple(archive.name for archive in wanted))
        copies: list[Copied] = []
        failed: list[tuple[str, errors.MigrateError]] = []
        for archive in wanted:
            try:
                copies.append(self._one(archive, seen, known))
            except (errors.SshError, errors.StoreUnavailable, errors.Interrupted):
                raise
            except errors.MigrateError as error:
                failed.append((archive.name, error))
                self._warn(f"{archive.name} was not stored: {error.message()}")
        self._mark(known, copies)
        if failed and not copies:
            raise failed[0][1]
        return Pulled(host, tuple(copies), tuple(failed))

    def _mark(self, known: Catalog, copies: list[Copied]) -> None:
        """Mark on the appliance the archives that have a verified copy; its purge deletes no others."""
        before = [c.manifest for c in known.of(self.shell.host.name) if c.verified_at and not c.damaged]
        now = [copied.manifest for copied in copies if copied.manifest.verified_at]
        verified = {manifest.archive: manifest.source_sha256 for manifest in (*before, *now)}
        try:
            leave_markers(self.shell, verified)
        except errors.MigrateError as error:
            self._warn(f"its markers of off-site copies were not written: {error.message()}")

    def _one(self, archive: Archive, seen: Seen, known: Catalog) -> Copied:
        began = time.monotonic()
        if archive.size == 0:
            raise errors.ArchiveEmpty(self.shell.host.name, archive.name)
        if archive.size > LARGEST:
            what = f"{archive.name}: listed with {archive.size} bytes, more than any backup ({LARGEST >> 30} GiB)"
            raise errors.ArchiveRefused(what)
        standing = self._standing(archive, known)
        if standing is not None and not self._damage(standing):
            return Copied(standing.manifest, "already", time.monotonic() - began)
        if standing is not None:
            self._warn(f"the copy of {archive.name} is damaged; it is pulled again")
        mine = known.of(self.shell.host.name)
        with FromAppliance(self.shell, archive, seen, self.options) as incoming:
            return make_copy(
                incoming,
                self.store,
                self.options.copying,
                now=self.now,
                emit=self.emit,
                instead_of=standing.manifest if standing else None,
                behind=any(c.verified_at and not c.future and c.taken_at > incoming.taken_at for c in mine),
            )

    def _standing(self, archive: Archive, known: Catalog) -> Copy | None:
        """Return the copy with the same bytes as the appliance's archive; hash the archive there to compare."""
        same = [c for c in known.of(self.shell.host.name) if c.manifest.archive == archive.name]
        if not same:
            return None
        sha256 = hash_of(self.shell, archive)
        found = next((c for c in same if c.manifest.source_sha256 == sha256), None)
        if found is None:
            self._warn(f"{archive.name} has changed since it was pulled; both are kept")
        return found

    def _damage(self, copy: Copy) -> str:
        """Return why a copy is damaged, or ""; read one now that was never read back, if the policy asks for it."""
        if copy.damaged or copy.verified_at or self.options.copying.verify != "read":
            return copy.damaged
        (looked,) = verify(self.store, [copy], self.now)
        return looked.why

    def _warn(self, text: str) -> None:
        self.emit(Message(f"{self.shell.host.name}: {text}", "warning"))


def hash_of(shell: Shell, archive: Archive) -> str:
    """Return the SHA-256 of an archive on its appliance, 64 hex digits; "" if it has no program for that.

    Raises:
        ApplianceError: the file cannot be read; it may have been removed after it was listed.
    """
    script = hashing.of_file(quote(archive.path))
    result = shell.run(script, check=False, timeout=_HASHING, display=f"sha256sum {archive.path}")
    if result.status not in {0, 127}:
        raise errors.ApplianceError(shell.host.name, f"{archive.path} could not be read: {result.error_output}")
    return hashing.digest_in(result.stdout)


class FromAppliance:
    """One archive, streamed from its appliance; the same command hashes it there after the bytes."""

    def __init__(self, shell: Shell, archive: Archive, seen: Seen, options: PullOptions) -> None:
        when = names.when(archive)
        if when is None:
            raise errors.ApplianceError(shell.host.name, f"{archive.name[:80]!r} is not the name of an archive")
        self.host = shell.host.name
        self.archive = archive.name
        self.size = archive.size
        self.taken_at = when
        self.versions = seen.versions
        self.os = seen.os
        self._limit, self._window = options.limit, options.window
        self._shell = shell
        self._path = archive.path
        self._reader: StreamReader | None = None

    def __enter__(self) -> Self:
        path = quote(self._path)
        stamp = f"stat -c '@%s %y %i' {path} >&2"
        script = f"[ -f {path} ] && [ ! -L {path} ] || exit 44; {stamp}; cat < {path} && {hashing.of_file(path)} >&2; "
        script += f"r=$?; {stamp}; exit $r"
        self._reader = self._shell.reader(script, display=f"read {self._path}", window=self._window)
        return self

    def __exit__(self, *_: object) -> None:
        if self._reader is not None:
            self._reader.close()

    def __iter__(self) -> Iterator[bytes]:
        if self._reader is None:
            raise RuntimeError("not entered")
        end, passed = time.monotonic() + self._limit, 0
        for chunk in self._reader:
            passed += len(chunk)
            if passed > self.size:
                raise errors.CopyDamaged(
                    detail=f"{self.host}: {self.archive}: more than the {self.size} bytes came that were listed",
                    fix="it is still being written; pull again when its backup has ended",
                )
            yield chunk
            if stopping.is_set():
                raise errors.Interrupted(f"{self.host}: {self.archive} was not stored")
            if time.monotonic() > end:
                what = f"reading {self._path} was not done after {self._limit:.0f} s"
                raise errors.CommandTimeout(self.host, what, self._limit)

    def finish(self) -> str:
        """Return the hash that the appliance computed; "" if it has no sha256sum."""
        if self._reader is None:
            raise RuntimeError("not entered")
        ended = self._reader.finish(_HASHING, check=False)
        if ended.status not in {0, 127}:
            why = "is not a regular file" if ended.status == 44 else ended.error_output
            raise errors.ApplianceError(self.host, f"{self._path} could not be read: {why}")
        if len(set(re.findall(r"^@(.+)$", ended.stderr, re.MULTILINE))) > 1:
            raise errors.CopyDamaged(
                detail=f"{self.host}: {self.archive} was written to while it was read",
                fix="it is still being written; pull again when its backup has ended",
            )
        return hashing.digest_in(ended.stderr)


def leave_markers(shell: Shell, verified: Mapping[str, str]) -> None:
    """Mark on an appliance which of its archives have a verified copy off-site, and remove all other markers.

    The purge of `schedule` deletes nothing else. `schedule` creates the folder; without it, nothing is written. All
    markers are written again after each pull, so that a copy that is gone from the store has none.

    Args:
        shell: a connection to the appliance.
        verified: name of an archive → the SHA-256 that it had on the appliance when the copy was made.

    Raises:
        SshError: they could not be written.
    """
    folder = quote(f"{shell.host.paths.backup_dir}/{MARKERS}")
    script = (
        f'd={folder}; [ -d "$d" ] && [ ! -L "$d" ] || exit 0; cd "$d" && umask 077 && rm -f ./threatstop_backup_* && '
        'while read -r sum name; do printf "%s\\n" "$sum" >"./$name" || exit 1; done'
    )
    lines = "".join(f"{sum_} {name}\n" for name, sum_ in verified.items() if names.acceptable(name) and sum_)
    shell.run(script, stdin=lines.encode(), display="mark what has a verified copy off-site")
