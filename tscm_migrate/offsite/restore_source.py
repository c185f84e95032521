"""Restore sources when the old appliance is gone: an off-site copy, or a local archive file."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tscm_migrate.archive import gpg, inspect, names
from tscm_migrate.archive.select import LATEST
from tscm_migrate.errors import CopyMissing, UsageError
from tscm_migrate.model import Archive, Paths, Secret
from tscm_migrate.offsite import fetch
from tscm_migrate.offsite.catalog import Catalog, Copy, names_of
from tscm_migrate.offsite.manifest import Manifest
from tscm_migrate.transfer.endpoints.folder import FolderEnd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from tscm_migrate.offsite.stores.base import Store
    from tscm_migrate.transfer.base import ByteStream, Source

_CHUNK = 1 << 20


class RestoreSource(Protocol):
    """A backup to restore from."""

    @property
    def host(self) -> str:
        """Return the host that it was made of; "" if that is not known."""

    @property
    def archive(self) -> Archive:
        """Return the archive as it was on the appliance; its folder is where it is now."""

    @property
    def taken_at(self) -> datetime:
        """Return when the appliance made it (UTC)."""

    @property
    def versions(self) -> Mapping[str, str]:
        """Return the versions of the appliance's modules at the pull; empty if they are not known."""

    @property
    def os(self) -> str:
        """Return the appliance's operating system at the pull; "" if it is not known."""

    @property
    def proof(self) -> str:
        """Return in words how it was verified."""

    @property
    def wants_passphrase(self) -> bool:
        """Whether the appliance encrypted it with a passphrase."""

    def read(self, paths: Paths, passphrase: Secret | None) -> inspect.ArchiveFacts:
        """Decrypt it, read it to its end, and return what is in it; nothing is written to a disk.

        Raises:
            OffsiteError: it is damaged, or cannot be decrypted.
        """

    def source(self) -> Source:
        """Return the source of a transfer."""

    def note(self) -> dict[str, Any]:
        """Return what a journal stores to find it again; see `noted`."""

    def close(self) -> None:
        """Close connections."""


@dataclass
class StoredCopy:
    """A copy in a store; the store is opened when it is first needed."""

    copy: Copy
    url: str
    open: Callable[[], Store]
    gnupg_home: Path | None = None
    _store: Store | None = field(default=None, repr=False)

    @property
    def store(self) -> Store:
        """Return the open store."""
        if self._store is None:
            self._store = self.open()
        return self._store

    @property
    def host(self) -> str:
        """See RestoreSource."""
        return self.copy.host

    @property
    def archive(self) -> Archive:
        """See RestoreSource."""
        manifest = self.copy.manifest
        return Archive(manifest.archive, self.url, manifest.source_size, manifest.source_sha256)

    @property
    def taken_at(self) -> datetime:
        """See RestoreSource."""
        return self.copy.taken_at

    @property
    def versions(self) -> Mapping[str, str]:
        """See RestoreSource."""
        return self.copy.manifest.versions

    @property
    def os(self) -> str:
        """See RestoreSource."""
        return self.copy.manifest.os

    @property
    def proof(self) -> str:
        """See RestoreSource."""
        drill = self.copy.drill
        verified = f"verified {self.copy.verified_at:%Y-%m-%d %H:%M}Z" if self.copy.verified_at else "never verified"
        drilled = f"drilled {drill.at:%Y-%m-%d} ({'ok' if drill.ok else 'FAILED'})" if drill else "never drilled"
        return f"{verified}, {drilled}"

    @property
    def wants_passphrase(self) -> bool:
        """See RestoreSource."""
        return self.copy.manifest.encrypted == "passphrase"

    def read(self, paths: Paths, passphrase: Secret | None) -> inspect.ArchiveFacts:
        """See RestoreSource."""
        needs_gpg = self.copy.manifest.encrypted != "no"
        if needs_gpg and not self.copy.manifest.sealed_to and not shutil.which("gpg"):
            return inspect.ArchiveFacts("there is no gpg on this workstation; it is decrypted on the new appliance")
        with fetch.opened(self.store, self.copy, passphrase, gnupg_home=self.gnupg_home) as chunks:
            return inspect.read(chunks, paths, packed=self.copy.manifest.source_size)

    def source(self) -> Source:
        """See RestoreSource."""
        return _StoreEnd(self)

    def note(self) -> dict[str, Any]:
        """See RestoreSource."""
        return {"store": self.url, "manifest": self.copy.manifest.as_dict()}

    def close(self) -> None:
        """See RestoreSource."""
        if self._store is not None:
            self._store.close()
            self._store = None


def noted(note: Mapping[str, Any], open_: Callable[[str], Store]) -> RestoreSource:
    """Return the restore source of a `note`; `open_` opens a store by its URL."""
    if "file" in note:
        return ArchiveFile(Path(note["file"]))
    url = note["store"]
    return StoredCopy(Copy(Manifest.model_validate(note["manifest"])), url, lambda: open_(url))


def find(catalog: Catalog, wanted: str) -> Copy:
    """Return the copy that `offsite:NAME` means: `latest`, a name or an id, with `HOST/` before it if several fit.

    Raises:
        CopyMissing: no copy fits, or several, which are listed then.
    """
    host, _, name = wanted.rpartition("/")
    if host:
        return catalog.find(host, name)
    fits = [c for c in catalog.copies if name == LATEST or name in names_of(c)]
    hosts = sorted({copy.host for copy in fits})
    if not hosts:
        there = (
            f"it has copies of {', '.join(sorted({c.host for c in catalog.copies}))}"
            if catalog.copies
            else "it is empty"
        )
        raise CopyMissing(detail=f"no copy is called {name!r} in {catalog.url}; {there}")
    if len(hosts) > 1:
        ways = ", ".join(f"offsite:{one}/{name}" for one in hosts[:8])
        fix = f"say which: --archive {ways}" + (" …" if len(hosts) > 8 else "")
        raise CopyMissing(detail=f"{catalog.url} holds {name!r} of {len(hosts)} hosts", fix=fix)
    return catalog.find(hosts[0], name)


class _Skipped:
    """The bytes from an offset on, as a transfer reads them."""

    def __init__(self, chunks: Iterator[bytes], offset: int) -> None:
        self._chunks, self._skip = chunks, offset

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            if self._skip >= len(chunk):
                self._skip -= len(chunk)
                continue
            piece, self._skip = chunk[self._skip :], 0
            yield piece

    def finish(self) -> None:
        """Return nothing: `fetch.archive` has compared the bytes with the manifest before the end."""


class _StoreEnd:
    """See transfer.base.Source: a copy as it was on the appliance, decrypted if this tool encrypted it."""

    def __init__(self, kept: StoredCopy) -> None:
        self._kept = kept

    @property
    def name(self) -> str:
        return self._kept.url

    def identify(self, archive: Archive) -> Archive:
        del archive
        return self._kept.archive

    def prefix(self, archive: Archive, size: int) -> str:
        """Return the SHA-256 of the first `size` bytes."""
        digest, left = hashlib.sha256(), size
        with self.reading(archive, 0) as incoming:
            for chunk in incoming:
                digest.update(chunk[:left])
                left -= min(left, len(chunk))
                if not left:
                    break
        return digest.hexdigest() if not left else ""

    def stamp(self, archive: Archive) -> str:
        """Return a constant: a copy is never changed."""
        return archive.name

    @contextmanager
    def reading(self, archive: Archive, offset: int) -> Iterator[ByteStream]:
        """Return its bytes from `offset` on; all bytes are read and verified."""
        del archive
        with fetch.archive(self._kept.store, self._kept.copy, gnupg_home=self._kept.gnupg_home) as chunks:
            yield _Skipped(chunks, offset)


class ArchiveFile:
    """An archive in a folder of this workstation.

    Raises:
        UsageError: it does not exist, or its name is not an archive's name.
    """

    host = ""
    versions: Mapping[str, str] = {}
    os = ""
    proof = "there is no manifest to compare it with"

    def __init__(self, path: Path) -> None:
        when = names.taken_at(path.name)
        if when is None:
            fix = "archives are named threatstop_backup_YYYY-MM-DD_hh_mm_ss.tsbak[.gpg]"
            raise UsageError(f"{path.name!r} is no archive's name", fix)
        if path.is_symlink() or not path.is_file():
            raise UsageError(f"there is no file {path}", "give the path of the archive: --archive ./NAME")
        self.path, self.taken_at = path, when
        self.wants_passphrase = path.suffix == ".gpg"
        self._archive: Archive | None = None

    @property
    def archive(self) -> Archive:
        """See RestoreSource; it is hashed when it is first asked for."""
        if self._archive is None:
            self._archive = self.source().identify(Archive(self.path.name, str(self.path.parent), 0))
        return self._archive

    def read(self, paths: Paths, passphrase: Secret | None) -> inspect.ArchiveFacts:
        """See RestoreSource."""
        if self.wants_passphrase and not shutil.which("gpg"):
            return inspect.ArchiveFacts("there is no gpg on this workstation; it is decrypted on the new appliance")
        with self.path.open("rb") as file, closing(_chunks_of(file)) as chunks:
            sealed = gpg.opened(chunks, passphrase) if self.wants_passphrase else nullcontext(chunks)
            with sealed as plain:
                return inspect.read(plain, paths, packed=self.path.stat().st_size)

    def source(self) -> Source:
        """See RestoreSource."""
        return FolderEnd(self.path.parent)

    def note(self) -> dict[str, Any]:
        """See RestoreSource."""
        return {"file": str(self.path)}

    def close(self) -> None:
        """Do nothing: no connection is open."""


def _chunks_of(file: Any) -> Any:
    while chunk := file.read(_CHUNK):
        yield chunk
