"""A tar stream, taken apart as it passes by: nothing but the plain files that were asked for comes through. Pure."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

from tscm_migrate.errors import ArchiveChanged, TransferError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tscm_migrate.model import Archive

BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)


def header(name: str, size: int) -> bytes:
    """The header of a private plain file."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")


def padding(size: int) -> bytes:
    """What fills the last block of a member."""
    return bytes(-size % BLOCK)


class Unpacker:
    """Reads members from the chunks of a stream that an appliance's tar makes; all of it is hostile."""

    def __init__(self, chunks: Iterable[bytes], host: str) -> None:
        self._chunks = iter(chunks)
        self._held = memoryview(b"")
        self._host = host

    def _take(self, size: int) -> bytes:
        out = b"".join(self._pieces(size))
        if len(out) < size:
            raise self._refusal("it ends in the middle")
        return out

    def _pieces(self, size: int) -> Iterator[bytes]:
        while size:
            if not self._held:
                self._held = memoryview(next(self._chunks, b""))
                if not self._held:
                    return
            piece, self._held = self._held[:size], self._held[size:]
            size -= len(piece)
            whole = piece.obj  # a chunk that is wholly content is handed on as it came
            yield whole if isinstance(whole, bytes) and len(whole) == len(piece) else bytes(piece)

    def expect(self, archive: Archive) -> Iterator[bytes]:
        """The bytes of the next member, which must be this archive: by name, as a plain file, of its size.

        Raises:
            TransferError: it is anything else (a link, a device, another name, another size), or the stream ends.
        """
        block = self._take(BLOCK)
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise self._refusal(f"it has a header that is none ({error})") from error
        if info.name != archive.name or info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise self._refusal(f"it has {info.name[:200]!r} of type {info.type!r} where {archive.name} was asked for")
        if info.size != archive.size:
            raise ArchiveChanged(f"{archive.name} has {info.size} bytes on {self._host}, and had {archive.size} before")
        return self._content(info.size)

    def _content(self, size: int) -> Iterator[bytes]:
        left = size
        for piece in self._pieces(size):
            left -= len(piece)
            yield piece
        if left:
            raise self._refusal("it ends in the middle")
        self._take(-size % BLOCK)

    def end(self) -> None:
        """Nothing but zeros may follow."""
        for piece in self._pieces(1 << 62):
            if piece.strip(b"\0"):
                raise self._refusal("there is more in it than was asked for")

    def _refusal(self, why: str) -> TransferError:
        fix = "look at that host: its tar does not do what tar does; or go another way: --method sftp"
        return TransferError(f"the tar stream of {self._host} is refused: {why}", fix)
