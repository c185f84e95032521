"""A fire drill: fetch, decrypt, unpack in memory, look at what is in there. Nothing touches a disk.

An archive's layout is not documented, so what is asked is what holds for any: it can be decrypted to its end, it is a
tar that can be read to its end with every check sum right, its names stay inside, and it holds files.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from contextlib import ExitStack
from dataclasses import dataclass
from io import RawIOBase
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any, cast

from tscm_migrate.appliance.archives import devices_in
from tscm_migrate.errors import CopyDamaged, OffsiteError, SealFailed
from tscm_migrate.offsite import seal
from tscm_migrate.offsite.fetch import archive
from tscm_migrate.offsite.manifest import Record
from tscm_migrate.offsite.verify import write_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from tscm_migrate.offsite.catalog import Copy
    from tscm_migrate.offsite.stores.base import Store
    from tscm_migrate.site import Secret

_LARGEST = 64 << 30  # bytes unpacked; beyond that it is a bomb, not a backup
_MEMBERS = 200_000
_READ = 1 << 20

_PACKED: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
    (b"\x1f\x8b", lambda raw: gzip.GzipFile(fileobj=raw)),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\x00", lzma.LZMAFile),
)


@dataclass(frozen=True)
class Drilled:
    """What a drill showed; `why` is "" where all is well. `size`: bytes unpacked."""

    copy: Copy
    why: str = ""
    files: int = 0
    size: int = 0
    devices: tuple[str, ...] = ()

    @property
    def detail(self) -> str:
        """One line for the record."""
        devices = ", ".join(self.devices) or "none seen"
        return self.why or f"{self.files} files, {self.size} bytes, devices: {devices}"[:280]


def drill(
    store: Store, copy: Copy, passphrase: Secret | None, now: datetime, *, gnupg_home: Path | None = None
) -> Drilled:
    """Do the drill and write down how it went.

    Args:
        store: where the copy is.
        copy: which.
        passphrase: of the archive, where one was used on the appliance.
        now: aware UTC; what the record says.
        gnupg_home: the keyring with the secret key of what we sealed; None: the user's.

    Raises:
        StoreUnavailable, StoreDenied: nothing was learned, and nothing is written down.
        SealFailed: no passphrase was given; that says nothing of the copy.
    """
    if copy.manifest.encrypted == "passphrase" and passphrase is None:
        raise SealFailed(
            detail=f"{copy.host}: {copy.id} is encrypted with a passphrase, and none was given",
            fix="give it: --passphrase-file FILE, TSCM_PASSPHRASE, the inventory or the keyring",
        )
    done = _try(store, copy, passphrase, gnupg_home)
    record = Record(
        copy=copy.id,
        host=copy.host,
        kind="drill",
        at=now,
        data=copy.manifest.data,
        ok=not done.why,
        detail=done.detail,
    )
    write_record(store, copy, record)
    return done


def _try(store: Store, copy: Copy, passphrase: Secret | None, home: Path | None) -> Drilled:
    try:
        with ExitStack() as stack:
            chunks = stack.enter_context(archive(store, copy, gnupg_home=home))
            if copy.manifest.encrypted == "passphrase":
                chunks = stack.enter_context(seal.opened(chunks, passphrase))
            elif copy.manifest.encrypted == "public-key" and not copy.manifest.sealed_to:
                chunks = stack.enter_context(seal.opened(chunks, home=home))
            return unpack(copy, chunks)
    except (SealFailed, CopyDamaged) as error:
        return Drilled(copy, error.message()[:280])
    except OffsiteError:
        raise
    except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        return Drilled(copy, f"it cannot be unpacked: {type(error).__name__}: {error}"[:280])


def unpack(copy: Copy, chunks: Iterator[bytes]) -> Drilled:
    """Read a tar, packed or not, to its very end, in memory."""
    head: list[bytes] = []
    for chunk in chunks:
        head.append(chunk)
        if sum(map(len, head)) >= 8:
            break
    start = b"".join(head)
    raw = _Raw(start, chunks)
    opener = next((opener for magic, opener in _PACKED if start.startswith(magic)), None)
    stream = opener(raw) if opener else raw
    files, size, names = 0, 0, list[str]()
    with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|", bufsize=_READ) as tar:
        for member in tar:
            if len(names) >= _MEMBERS or size + member.size > _LARGEST:
                return Drilled(copy, "it unpacks to more than any backup")
            if _leaves(member):
                return Drilled(copy, f"a name in it leads outside: {member.name[:100]!r}")
            names.append(member.name)
            if member.isreg():
                files, size = files + 1, size + _read(tar, member)
    while stream.read(_READ):  # the packer's check sum comes last
        pass
    while raw.read(_READ):  # and then what was signed or hashed around it
        pass
    if not files:
        return Drilled(copy, "there is no file in it")
    return Drilled(copy, "", files, size, devices_in(tuple(names)))


def _leaves(member: tarfile.TarInfo) -> bool:
    path = PurePosixPath(member.name)
    target = PurePosixPath(member.linkname) if member.islnk() else PurePosixPath()
    return any((p.is_absolute() and not member.isdir()) or ".." in p.parts for p in (path, target)) or member.isdev()


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> int:
    file, size = tar.extractfile(member), 0
    while file and (chunk := file.read(_READ)):
        size += len(chunk)
    return size


class _Raw(RawIOBase):
    """Chunks as a raw file."""

    def __init__(self, head: bytes, chunks: Iterator[bytes]) -> None:
        self._held = memoryview(head)
        self._chunks = chunks

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._held:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._held = memoryview(chunk)
        size = min(len(buffer), len(self._held))
        buffer[:size] = self._held[:size]
        self._held = self._held[size:]
        return size
