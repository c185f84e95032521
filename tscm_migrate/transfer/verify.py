"""Checks a pulled archive on this workstation: it is complete and, with the passphrase, can be decrypted to its end."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
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
            members = _count(file, path)
        if members < 0:
            return Opened(-1, "it is not encrypted, and it is not a tar that can be listed")
        return Opened(members, f"it is not encrypted; {members} entries")
    with path.open("rb") as file:
        packets = openpgp.walk(file, path.stat().st_size)
    if packets.why_not:
        fix = "check the archive on the appliance; its backup may have failed: make another one"
        raise TransferError(f"{path.name} is damaged: {packets.why_not}", fix)
    gpg = shutil.which("gpg")
    if passphrase is None or gpg is None:
        why = "no passphrase was given" if passphrase is None else "gpg is not installed here"
        return Opened(-1, f"{packets.text}; not decrypted, {why}")
    return _decrypted(path, passphrase, gpg, packets.text)


def _count(file: IO[bytes], path: Path) -> int:
    """Read a tar to its end; return its number of entries, or -1 if it is not a tar.

    Raises:
        ArchiveRefused: it would fill memory, disk or time.
    """
    chunks, size = iter(lambda: file.read(_CHUNK), b""), path.stat().st_size
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


def _decrypted(path: Path, passphrase: Secret, gpg: str, said: str) -> Opened:
    # a separate home: no agent, no cached passphrase and no configuration influence the result
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
        raise TransferError(text, "use the passphrase of that backup: --passphrase-file FILE")
    listed = f"{members} entries" if members >= 0 else "not a tar that can be listed"
    return Opened(members, f"{said}; decrypted to its end, {listed}")


def _collect(pipe: Any, into: list[bytes]) -> None:
    while data := pipe.read(1 << 12):
        into.append(data)
        del into[:-16]
