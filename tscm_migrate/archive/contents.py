"""Reads the members of an archive in memory, from a stream; nothing is written to a disk, and memory use is constant.

The checks hold for any layout: the archive is a tar that can be read to its end with all checksums right, and no name
leads outside. `tarfile` reads a header of any size into memory and follows chains of headers by recursion, so only its
parser of a single block is used.
"""

import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from tscm_migrate.archive.compression import LARGEST, ArchiveBomb, UnpackMeter, unpacked

See = Callable[[str, Iterator[bytes]], None]
_MEMBERS = 200_000
_NAME = 8192  # bytes; Linux takes 4096
_NAMES = 64 << 20  # bytes of all names
_DEPTH = 100
_HEADER = 1 << 20  # bytes of a header with a long name or with attributes
_CHAIN = 16  # extended headers before one member
_EXTENSIONS = 100_000  # blocks with the map of a sparse file
_BLOCK = tarfile.BLOCKSIZE
_LONG_NAMES = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}
_SPARSE = "GNU.sparse."
_KNOWN = ("path", "linkpath", "size", "GNU.sparse.name")
_PAX = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
BROKEN = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)  # of a damaged archive


@dataclass(frozen=True)
class Walked:
    """Result of `walk`.

    Attributes:
        why: what is wrong; "" if nothing is.
        files: number of regular files.
        size: bytes of all files.
        names: of all members.
        refused: it was not read to its end, because it would fill memory, disk or time.
    """

    why: str = ""
    files: int = 0
    size: int = 0
    names: tuple[str, ...] = ()
    refused: bool = False


def walk(chunks: Iterator[bytes], see: See | None = None, *, packed: int = 0) -> Walked:
    """Read a tar, compressed or not, to its end.

    Args:
        chunks: the archive, decrypted.
        see: called with each regular file, its name and its bytes; bytes that it leaves are skipped.
        packed: size of the archive as stored, if it is known.

    Raises:
        One of `BROKEN`: it cannot be read to its end. Also every error of `chunks`.
    """
    meter = UnpackMeter(packed)
    source = meter.reading(chunks)
    try:
        found = _walk(source, see, meter)
        for _ in source:  # after it there may be data of a signature
            pass
    except ArchiveBomb as error:
        return Walked(f"archive refused: {error}", refused=True)
    return found


def drain(chunks: Iterator[bytes], *, packed: int = 0) -> None:
    """Read the rest of an archive that could not be listed: only its end proves that it can be decrypted.

    Raises:
        ArchiveBomb: it is larger than any backup. Also every error of `chunks`.
    """
    for _ in UnpackMeter(packed).reading(chunks):
        pass


def _walk(source: Iterator[bytes], see: See | None, meter: UnpackMeter) -> Walked:
    stream = _TarStream(unpacked(_start(source), source, meter))
    files, size, names, length, why = 0, 0, list[str](), 0, ""
    links = set[PurePosixPath]()  # symbolic links that lead outside: a member below one would be written there
    for member in _members(stream):
        length += len(member.name)
        if len(names) >= _MEMBERS or length > _NAMES:
            raise ArchiveBomb("it has more members than any backup")
        if _leads_outside(member, links) and not why:
            why, see = f"a name in it leads outside: {member.name[:100]!r}", None  # contents after it are ignored
        names.append(member.name)
        if member.file:
            files, size = files + 1, size + member.size
            if see is not None and not member.sparse:
                see(member.name, stream.content())
    stream.drain()  # the checksum of the compression is at the end
    return Walked(why or ("" if files else "there is no file in it"), files, size, tuple(names))


def _start(source: Iterator[bytes]) -> bytes:
    """Read as many chunks as it takes to see the compression."""
    start = b""
    for chunk in source:
        start += chunk
        if len(start) >= 8:
            break
    return start


def _leads_outside(member: "_Member", links: set[PurePosixPath]) -> bool:
    """Return whether a member would be written outside; add it to `links` if it is a link that leads there."""
    outside = _leaves(member) or (bool(links) and not links.isdisjoint(PurePosixPath(member.name).parents))
    if member.kind == tarfile.SYMTYPE and _outward(PurePosixPath(member.link)):
        links.add(PurePosixPath(member.name))
    return outside


class _TarStream:
    """Reads exact numbers of bytes from pieces, and skips the rest of the current member."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = memoryview(b"")
        self._left = self._padding = 0

    def _next(self, most: int) -> memoryview:
        while not self._held:
            piece = next(self._pieces, None)
            if piece is None:
                return self._held
            self._held = memoryview(piece)
        taken, self._held = self._held[:most], self._held[most:]
        return taken

    def take(self, size: int) -> bytes:
        """Return `size` bytes, or b"" at the end."""
        out = bytearray()
        while len(out) < size and (piece := self._next(size - len(out))):
            out += piece
        if out and len(out) < size:
            raise EOFError("it ends in the middle")
        return bytes(out)

    def enter(self, size: int) -> None:
        """Start the content of a member, of `size` bytes."""
        self._left, self._padding = size, -size % _BLOCK

    def content(self) -> Iterator[bytes]:
        """Yield the content of the current member."""
        while self._left:
            piece = self._next(self._left)
            if not piece:
                raise EOFError("it ends in the middle")
            self._left -= len(piece)
            yield bytes(piece)

    def leave(self) -> None:
        """Skip the rest of the current member's content, and its padding."""
        self._left, self._padding = self._left + self._padding, 0
        for _ in self.content():
            pass

    def drain(self) -> None:
        """Read to the end."""
        self._held = memoryview(b"")
        for _ in self._pieces:
            pass


@dataclass(frozen=True)
class _Member:
    name: str
    link: str
    kind: bytes
    size: int  # of its content in the stream, in bytes
    sparse: bool

    @property
    def file(self) -> bool:
        return self.kind in tarfile.REGULAR_TYPES


@dataclass
class _Headers:
    """Values of extended headers for the next member, and those for all later ones."""

    own: dict[str, str] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)
    count: int = 0

    def take(self, kind: bytes, data: bytes) -> None:
        self.count += 1
        if self.count > _CHAIN:
            raise ArchiveBomb(f"more than {_CHAIN} extended headers are before one member")
        if kind in _LONG_NAMES:
            self.own[_LONG_NAMES[kind]] = data.partition(b"\0")[0].decode(errors="surrogateescape")
            return
        # Of the other keys of a sparse file only the presence counts: any number of them may be sent for all members.
        found = _records(data)
        known = {key: value for key, value in found.items() if key in _KNOWN}
        if any(key.startswith(_SPARSE) for key in found):
            known[_SPARSE] = ""
        (self.shared if kind == tarfile.XGLTYPE else self.own).update(known)

    def member(self, info: tarfile.TarInfo) -> _Member:
        """Return the member that `info` and the headers before it describe, and forget these headers."""
        fields, self.own, self.count = {**self.shared, **self.own}, {}, 0
        size = _number(fields["size"]) if "size" in fields else info.size
        name = fields.get("GNU.sparse.name") or fields.get("path") or info.name
        link = fields.get("linkpath") or info.linkname
        if size > LARGEST:
            raise ArchiveBomb(f"a member of {size} bytes")
        if max(len(name), len(link)) > _NAME:
            raise ArchiveBomb(f"a name of {max(len(name), len(link))} characters")
        if name.count("/") > _DEPTH:
            raise ArchiveBomb(f"folders nested {name.count('/')} deep")
        content = info.isreg() or info.type not in tarfile.SUPPORTED_TYPES
        sparse = info.type == tarfile.GNUTYPE_SPARSE or any(key.startswith(_SPARSE) for key in fields)
        return _Member(name, link, info.type, size if content else 0, sparse)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise tarfile.HeaderError("a size that is not a number")
    return int(text)


def _records(data: bytes) -> dict[str, str]:
    """Parse the records `LENGTH KEY=VALUE` of a pax header."""
    records, at = {}, 0
    while at < len(data) and data[at]:
        digits, blank, _ = data[at : at + 12].partition(b" ")
        length = _number(digits.decode(errors="replace")) if blank else 0
        record = data[at + len(digits) + 1 : at + length]
        if length < 5 or not record.endswith(b"\n") or b"=" not in record or at + length > len(data):
            raise tarfile.HeaderError("a damaged pax header")
        key, _, value = record[:-1].decode(errors="surrogateescape").partition("=")
        records[key] = value
        at += length
    return records


def _members(stream: _TarStream) -> Iterator[_Member]:
    """Yield the members; content that the caller leaves is skipped."""
    headers = _Headers()
    while any(block := stream.take(_BLOCK)):
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if not 0 <= info.size <= LARGEST:
            raise ArchiveBomb(f"a member of {info.size} bytes")
        if info.type in _LONG_NAMES or info.type in _PAX:
            if info.size > _HEADER:
                raise ArchiveBomb(f"a header of {info.size} bytes")
            stream.enter(info.size)
            headers.take(info.type, b"".join(stream.content()))
            stream.leave()
            continue
        if info.type == tarfile.GNUTYPE_SPARSE:
            _skip_map(block, stream)
        member = headers.member(info)
        stream.enter(member.size)
        yield member
        stream.leave()


def _skip_map(block: bytes, stream: _TarStream) -> None:
    """Skip the blocks in which the old GNU format continues the map of a sparse file."""
    more, count = block[482], 0
    while more:
        count += 1
        if count > _EXTENSIONS:
            raise ArchiveBomb("a sparse file with an endless map")
        extension = stream.take(_BLOCK)
        if not extension:
            raise EOFError("it ends in the middle")
        more = extension[504]


def _outward(path: PurePosixPath) -> bool:
    return path.is_absolute() or ".." in path.parts


def _leaves(member: _Member) -> bool:
    path = PurePosixPath(member.name)
    target = PurePosixPath(member.link) if member.kind == tarfile.LNKTYPE else PurePosixPath()
    folder = member.kind == tarfile.DIRTYPE
    special = member.kind in {tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE}
    return special or (".." in path.parts if folder else _outward(path)) or _outward(target)
