"""Checks a pulled archive on this workstation: it is complete and, with the passphrase, can be decrypted to its end."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tscm_migrate.archive import compression, contents, gpg, openpgp
from tscm_migrate.errors import ArchiveRefused, EncryptionFailed, TransferError
from tscm_migrate.model import Secret
from tscm_migrate.transfer.base import Sent

_CHUNK = 1 << 20


def line(sent: Sent, where: Path | str) -> str:
    """Return the result for one archive in one line."""
    archive = sent.archive
    how = "it existed already" if sent.kept else f"{sent.moved / 1e6:.1f} MB sent"
    if sent.resumed_at:
        how += f" after {sent.resumed_at / 1e6:.1f} MB of an earlier attempt"
    return f"{where}: {archive.size} bytes, SHA-256 {archive.sha256} on both sides ({how})"


@dataclass(frozen=True)
class Opened:
    """Result of `look`; `members`: entries of the tar in the archive, -1: it was not opened, or is not a tar."""

    members: int
    text: str


def look(path: Path, passphrase: Secret | None) -> Opened:
    """Check the OpenPGP packets, or the tar of a plain archive; with a passphrase and gpg, decrypt and list.

    No plaintext is written to a disk.

    Raises:
        TransferError: the archive is damaged, or the passphrase is wrong.
        ArchiveRefused: it would fill memory, disk or time.
    """
    if not path.name.endswith(".gpg"):
        with path.open("rb") as file:
            members = _count(_chunks(file), path)
        if members < 0:
            return Opened(-1, "it is not encrypted, and it is not a tar that can be listed")
        return Opened(members, f"it is not encrypted; {members} entries")
    with path.open("rb") as file:
        packets = openpgp.walk(file, path.stat().st_size)
    if packets.why_not:
        fix = "check the archive on the appliance; its backup may have failed: make another one"
        raise TransferError(f"{path.name} is damaged: {packets.why_not}", fix)
    if passphrase is None or shutil.which("gpg") is None:
        why = "no passphrase was given" if passphrase is None else "gpg is not installed here"
        return Opened(-1, f"{packets.text}; not decrypted, {why}")
    return _decrypted(path, passphrase, packets.text)


def _count(chunks: Iterator[bytes], path: Path) -> int:
    """Read a tar to its end; return its number of entries, or -1 if it is not a tar.

    Raises:
        ArchiveRefused: it would fill memory, disk or time.
    """
    size = path.stat().st_size
    try:
        try:
            found = contents.walk(chunks, packed=size)
        except contents.BROKEN:
            contents.drain(chunks, packed=size)  # an error in the decryption appears at its end
            return -1
    except compression.ArchiveBomb as error:
        found = contents.Walked(f"archive refused: {error}", refused=True)
    if found.refused:
        raise ArchiveRefused(f"{path.name}: {found.why}")
    return len(found.names) if found.names else -1


def _decrypted(path: Path, passphrase: Secret, packets: str) -> Opened:
    """Decrypt an archive to its end, and count its entries.

    Raises:
        TransferError: gpg could not decrypt it. ArchiveRefused: see `_count`.
    """
    try:
        with path.open("rb") as file, gpg.opened(_chunks(file), passphrase) as plain:
            members = _count(plain, path)
    except EncryptionFailed as error:
        raise TransferError(f"{path.name} cannot be opened: {error.detail}", error.fix) from error
    listed = f"{members} entries" if members >= 0 else "not a tar that can be listed"
    return Opened(members, f"{packets}; decrypted to its end, {listed}")


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: file.read(_CHUNK), b"")
