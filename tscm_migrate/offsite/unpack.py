"""An archive's contents, read in memory from a stream: nothing of it touches a disk.

An archive's layout is not documented, so what is asked is what holds for any: it is a tar that can be read to its end
with every check sum right, and its names stay inside. Its names and bytes are hostile input.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from dataclasses import dataclass
from io import RawIOBase
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    See = Callable[[str, Iterator[bytes]], None]

_LARGEST = 64 << 30  # bytes unpacked; beyond that it is a bomb, not a backup
_MEMBERS = 200_000
_READ = 1 << 20
BROKEN = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)  # what `walk` raises on damage

_PACKED: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
    (b"\x1f\x8b", lambda raw: gzip.GzipFile(fileobj=raw)),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\x00", lzma.LZMAFile),
)


@dataclass(frozen=True)
class Walked:
    """`why`: what is wrong with it, "" where nothing is; `size`: bytes unpacked; `names`: of all members."""

    why: str = ""
    files: int = 0
    size: int = 0
    names: tuple[str, ...] = ()


def walk(chunks: Iterator[bytes], see: See | None = None) -> Walked:
    """Read a tar, packed or not, to its very end, in memory.

    Args:
        chunks: the archive without its seal.
        see: is shown each regular file, its name and its bytes; what it leaves unread is read for it.

    Raises:
        One of `BROKEN`: it cannot be read to its end. Also whatever `chunks` raises.
    """
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
                return Walked("it unpacks to more than any backup")
            if _leaves(member):
                return Walked(f"a name in it leads outside: {member.name[:100]!r}")
            names.append(member.name)
            if member.isreg():
                files, size = files + 1, size + _show(tar, member, see)
    while stream.read(_READ):  # the packer's check sum comes last
        pass
    while raw.read(_READ):  # and then what was signed or hashed around it
        pass
    return Walked("" if files else "there is no file in it", files, size, tuple(names))


def _leaves(member: tarfile.TarInfo) -> bool:
    path = PurePosixPath(member.name)
    target = PurePosixPath(member.linkname) if member.islnk() else PurePosixPath()
    return any((p.is_absolute() and not member.isdir()) or ".." in p.parts for p in (path, target)) or member.isdev()


def _show(tar: tarfile.TarFile, member: tarfile.TarInfo, see: See | None) -> int:
    file = tar.extractfile(member)
    if file is None:
        return 0
    if see is not None:
        see(member.name, iter(lambda: file.read(_READ), b""))
    while file.read(_READ):
        pass
    return member.size


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
