"""Restore sources if the old appliance is not available: an off-site copy, or a local archive file."""

import hashlib
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from tscm_migrate.archive import gpg, inspect, names
from tscm_migrate.archive.select import LATEST
from tscm_migrate.errors import CopyMissing, UsageError
from tscm_migrate.model import Archive, Paths, Secret
from tscm_migrate.offsite import fetch
from tscm_migrate.offsite.catalog import Catalog, Copy, names_of
from tscm_migrate.offsite.manifest import Manifest
from tscm_migrate.offsite.stores.base import Store
from tscm_migrate.transfer.base import ByteStream, Source
from tscm_migrate.transfer.endpoints.folder import FolderEnd
from tscm_migrate.util.text import listed

_CHUNK = 1 << 20


class RestoreSource(ABC):
    """A backup to restore from.

    Attributes:
        taken_at: when the appliance made it (UTC).
        encrypted, wants_passphrase: whether the appliance encrypted it at all, and with a passphrase.
        host: that it was made of; "" if that is not known.
        os, versions: the appliance's operating system and the versions of its modules at the pull; empty if they are
            not known.
        proof: in words how it was verified.
    """

    taken_at: datetime
    encrypted: bool
    wants_passphrase: bool
    host = ""
    os = ""
    versions: Mapping[str, str] = {}
    proof = "there is no manifest to compare it with"

    @property
    @abstractmethod
    def archive(self) -> Archive:
        """Return the archive as it was on the appliance; its folder is where it is now."""

    def read(self, paths: Paths, passphrase: Secret | None) -> inspect.ArchiveFacts:
        """Decrypt it, read it to its end, and return what is in it; nothing is written to a disk.

        Raises:
            OffsiteError: it is damaged, or cannot be decrypted.
        """
        if self.encrypted and not shutil.which("gpg"):
            return inspect.ArchiveFacts("there is no gpg on this workstation; it is decrypted on the new appliance")
        with self._opened(passphrase) as chunks:
            return inspect.read(chunks, paths, packed=self.archive.size)

    @abstractmethod
    def _opened(self, passphrase: Secret | None) -> AbstractContextManager[Iterator[bytes]]:
        """Return the decrypted bytes."""

    @abstractmethod
    def source(self) -> Source:
        """Return the source of a transfer."""

    @abstractmethod
    def note(self) -> dict[str, Any]:
        """Return what a journal stores to find it again; see `noted`."""

    @abstractmethod
    def close(self) -> None:
        """Close connections."""


class StoredCopy(RestoreSource):
    """A copy in a store, which is opened when it is first needed.

    It is also the source of a transfer (see transfer.base.Source): as it was on the appliance, decrypted if this tool
    encrypted it.
    """

    def __init__(self, copy: Copy, url: str, open_: Callable[[], Store]) -> None:
        manifest = copy.manifest
        self.copy, self.name = copy, url
        self._open = open_
        self._store: Store | None = None
        self.host, self.os, self.versions = manifest.host, manifest.os, manifest.versions
        self.taken_at = manifest.taken_at
        self.encrypted = manifest.encrypted != "no" and not manifest.sealed_to
        self.wants_passphrase = manifest.encrypted == "passphrase"
        drill = copy.drill
        verified = f"verified {copy.verified_at:%Y-%m-%d %H:%M}Z" if copy.verified_at else "never verified"
        drilled = f"drilled {drill.at:%Y-%m-%d} ({'ok' if drill.ok else 'FAILED'})" if drill else "never drilled"
        self.proof = f"{verified}, {drilled}"

    @property
    def archive(self) -> Archive:
        """See RestoreSource."""
        manifest = self.copy.manifest
        return Archive(manifest.archive, self.name, manifest.source_size, manifest.source_sha256)

    @property
    def store(self) -> Store:
        """Return the open store."""
        if self._store is None:
            self._store = self._open()
        return self._store

    def _opened(self, passphrase: Secret | None) -> AbstractContextManager[Iterator[bytes]]:
        return fetch.opened(self.store, self.copy, passphrase)

    def note(self) -> dict[str, Any]:
        """See RestoreSource."""
        return {"store": self.name, "manifest": self.copy.manifest.as_dict()}

    def close(self) -> None:
        """See RestoreSource."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def source(self) -> Source:
        """See RestoreSource."""
        return self

    def identify(self, archive: Archive) -> Archive:  # noqa: ARG002 - there is only one
        """See Source."""
        return self.archive

    def prefix(self, archive: Archive, size: int) -> str:
        """See Source."""
        digest, left = hashlib.sha256(), size
        with self.reading(archive, 0) as incoming:
            for chunk in incoming:
                digest.update(chunk[:left])
                left -= min(left, len(chunk))
                if not left:
                    break
        return digest.hexdigest() if not left else ""

    def stamp(self, archive: Archive) -> str:
        """See Source: a constant, because a copy is never changed."""
        return archive.name

    @contextmanager
    def reading(self, archive: Archive, offset: int) -> Iterator[ByteStream]:  # noqa: ARG002 - there is only one
        """See Source; all bytes are read and verified."""
        with fetch.archive(self.store, self.copy) as chunks:
            yield _Skipped(chunks, offset)


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
        owners = ", ".join(sorted({copy.host for copy in catalog.copies}))
        there = f"it has copies of {owners}" if owners else "it is empty"
        raise CopyMissing(detail=f"no copy is called {name!r} in {catalog.url}; {there}")
    if len(hosts) > 1:
        fix = f"name one: --archive {listed([f'offsite:{one}/{name}' for one in hosts])}"
        raise CopyMissing(detail=f"{catalog.url} has {name!r} of {len(hosts)} hosts", fix=fix)
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


class ArchiveFile(RestoreSource):
    """An archive in a folder of this workstation.

    Raises:
        UsageError: it does not exist, or its name is not an archive's name.
    """

    def __init__(self, path: Path) -> None:
        when = names.taken_at(path.name)
        if when is None:
            fix = "archives are named threatstop_backup_YYYY-MM-DD_hh_mm_ss.tsbak[.gpg]"
            raise UsageError(f"{path.name!r} is not the name of an archive", fix)
        if path.is_symlink() or not path.is_file():
            raise UsageError(f"there is no file {path}", "give the path of the archive: --archive ./NAME")
        self.path, self.taken_at = path, when
        self.encrypted = self.wants_passphrase = path.suffix == ".gpg"

    @cached_property
    def archive(self) -> Archive:
        """See RestoreSource; it is hashed when it is first asked for."""
        return self.source().identify(Archive(self.path.name, str(self.path.parent), 0))

    @contextmanager
    def _opened(self, passphrase: Secret | None) -> Iterator[Iterator[bytes]]:
        with self.path.open("rb") as file:
            chunks = iter(partial(file.read, _CHUNK), b"")
            with gpg.opened(chunks, passphrase) if self.encrypted else nullcontext(chunks) as plain:
                yield plain

    def source(self) -> Source:
        """See RestoreSource."""
        return FolderEnd(self.path.parent)

    def note(self) -> dict[str, Any]:
        """See RestoreSource."""
        return {"file": str(self.path)}

    def close(self) -> None:
        """Do nothing: no connection is open."""
