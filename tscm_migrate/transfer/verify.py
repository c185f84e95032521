"""What can be said about a pulled archive here: whole, and, with the passphrase, open to its last byte."""

from __future__ import annotations

import shutil
import subprocess
import threading
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from tscm_migrate.archive import compression, contents, openpgp
from tscm_migrate.errors import ArchiveRefused, TransferError

if TYPE_CHECKING:
    from pathlib import Path

    from tscm_migrate.model import Secret
    from tscm_migrate.transfer.base import Sent

_CHUNK = 1 << 20


def line(sent: Sent, where: Path | str) -> str:
    """What came of one archive, on one line."""
    archive = sent.archive
    how = "was there already" if sent.kept else f"{sent.moved / 1e6:.1f} MB sent"
    if sent.resumed_at:
        how += f" after {sent.resumed_at / 1e6:.1f} MB that were right"
    return f"{where}: {archive.size} bytes, SHA-256 {archive.sha256} on both sides ({how})"


@dataclass(frozen=True)
class Opened:
    """`members`: how many files the tar in it has, -1: it was not opened, or is not a tar."""

    members: int
    text: str


def look(path: Path, passphrase: Secret | None) -> Opened:
    """Check the packets, or the tar where it is not sealed; with a passphrase (and gpg), decrypt and list.

    No plaintext is written to any disk.

    Raises:
        TransferError: it is damaged, or the passphrase does not open it. ArchiveRefused: see there.
    """
    if not path.name.endswith(".gpg"):
        with path.open("rb") as file:
            members = _count(file, path)
        if members < 0:
            return Opened(-1, "it is not encrypted, and not a tar that could be listed")
        return Opened(members, f"it is not encrypted; {members} entries")
    with path.open("rb") as file:
        packets = openpgp.walk(file, path.stat().st_size)
    if packets.why_not:
        fix = "look at the archive on the appliance: its backup may have failed; make another one"
        raise TransferError(f"{path.name} is damaged: {packets.why_not}", fix)
    gpg = shutil.which("gpg")
    if passphrase is None or gpg is None:
        why = "no passphrase was given" if passphrase is None else "gpg is not installed here"
        return Opened(-1, f"{packets.text}; not decrypted, {why}")
    return _decrypted(path, passphrase, gpg, packets.text)


def _count(file: IO[bytes], path: Path) -> int:
    """Entries of a tar that is read to its end; -1 where it is none.

    Raises:
        ArchiveRefused: it is made to fill memory, disk or time.
    """
    chunks, size = iter(lambda: file.read(_CHUNK), b""), path.stat().st_size
    try:
        try:
            found = contents.walk(chunks, packed=size)
        except contents.BROKEN:
            contents.drain(chunks, packed=size)  # whether it can be decrypted shows at its end
            return -1
    except compression.ArchiveBomb as error:
        found = contents.Walked(f"archive refused: {error}", refused=True)
    if found.refused:
        raise ArchiveRefused(f"{path.name}: {found.why}")
    return len(found.names) if found.names else -1


def _decrypted(path: Path, passphrase: Secret, gpg: str, said: str) -> Opened:
    import tempfile

    # a home of its own: no agent, no cached passphrase and no configuration decide about the result
    with tempfile.TemporaryDirectory(prefix="tscm-", ignore_cleanup_errors=True) as home:
        argv = [gpg, "--no-options", "--homedir", home, "--batch", "--no-tty", "--quiet", "--pinentry-mode", "loopback"]
        argv += ["--passphrase-fd", "0", "--decrypt", str(path)]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            errors: list[bytes] = []
            listener = threading.Thread(target=_collect, args=(process.stderr, errors), daemon=True)
            listener.start()
            pipes: Any = process
            pipes.stdin.write(passphrase.reveal().encode() + b"\n")
            pipes.stdin.close()
            try:
                members = _count(pipes.stdout, path)
            except BaseException:
                process.kill()
                raise
            status = process.wait(60)
            listener.join(5)
        conf = shutil.which("gpgconf")
        if conf is not None:
            subprocess.run([conf, "--homedir", home, "--kill", "all"], check=False, capture_output=True, timeout=30)
    if status != 0:
        last = b"".join(errors).decode(errors="replace").strip().splitlines()[-1:]
        text = f"{path.name} cannot be opened: {''.join(c for c in ''.join(last) if c.isprintable())[:200]}"
        raise TransferError(text, "give the passphrase that it was made with: --passphrase-file FILE")
    listed = f"{members} entries" if members >= 0 else "not a tar that could be listed"
    return Opened(members, f"{said}; decrypted to its end, {listed}")


def _collect(pipe: Any, into: list[bytes]) -> None:
    while data := pipe.read(1 << 12):
        into.append(data)
        del into[:-16]
