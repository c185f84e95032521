"""Host keys: change a known_hosts file without losing a byte of the rest, and ask a host for its keys."""

from __future__ import annotations

import base64
import contextlib
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from tscm_migrate.errors import UsageError
from tscm_migrate.ssh.known_hosts import (
    DEFAULT_PORT,
    Entry,
    KnownHosts,
    entry_of,
    fingerprint,
    fingerprints,
    load,
    name_of,
    name_of_host,
    parse,
)
from tscm_migrate.util import private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import paramiko

    from tscm_migrate.ssh.shell import Shell

__all__ = [
    "ALGORITHMS",
    "Entry",
    "KnownHosts",
    "fingerprint",
    "fingerprints",
    "load",
    "name_of",
    "name_of_host",
    "parse",
    "pin",
    "replace",
    "scan",
]

# --------------------------------------------------------------------------- changing the file

_LOCK_WAIT = 10.0  # seconds


def pin(path: Path, names: Sequence[str], key: paramiko.PKey | bytes) -> bool:
    """Add a key for some names; what is there already stays.

    Args:
        path: the known_hosts file; made when it is not there.
        names: as `name_of` gives them.
        key: a key, or its wire form.

    Returns:
        Whether the file changed: False when exactly this key is pinned for each name.
    """
    blob = _blob(key)

    def edit(lines: list[bytes]) -> list[bytes]:
        known = parse(b"".join(lines).decode(errors="replace"))
        missing = [n for n in names if all(e.blob != blob for e in known.pinned(n))]
        return [*lines, _line(missing, blob)] if missing else lines

    return _edit(path, edit)


def replace(path: Path, names: Sequence[str], keys: Iterable[paramiko.PKey | bytes]) -> bool:
    """Make these the only keys of some names; with no keys, forget the names.

    Lines with a marker, with patterns that merely match, and lines for other names stay as they are; a line for several
    names loses only these.

    Returns:
        Whether the file changed.
    """
    wanted = [_blob(key) for key in keys]

    def edit(lines: list[bytes]) -> list[bytes]:
        kept = [left for line in lines if (left := _without(line, names))]
        fresh = [_line(names, blob) for blob in wanted]
        already = [line for line in lines if _speaks_only_of(line, names)]
        if sorted(already) == sorted(fresh) and len(kept) + len(fresh) == len(lines):
            return lines
        return kept + fresh

    return _edit(path, edit)


def _blob(key: paramiko.PKey | bytes) -> bytes:
    return key if isinstance(key, bytes) else key.asbytes()


def _line(names: Sequence[str], blob: bytes) -> bytes:
    size = int.from_bytes(blob[:4], "big")
    return b" ".join((",".join(names).encode(), blob[4 : 4 + size], base64.b64encode(blob))) + b"\n"


def _read(line: bytes) -> Entry | None:
    text = line.decode(errors="replace")
    if not text.strip() or text.lstrip().startswith("#"):
        return None
    entry = entry_of(0, text.split())
    return None if entry is None or entry.marker else entry


def _speaks_only_of(line: bytes, names: Sequence[str]) -> bool:
    entry = _read(line)
    return entry is not None and set(entry.names.lower().split(",")) == set(names)


def _without(line: bytes, names: Sequence[str]) -> bytes:
    """The line without these names; b"" when none is left; the very same bytes when it does not speak of them."""
    entry = _read(line)
    if entry is None:
        return line
    if entry.names.startswith("|1|"):
        return b"" if any(entry.matches(n) for n in names) else line
    patterns = entry.names.split(",")
    left = [p for p in patterns if p.lower() not in names]
    if len(left) == len(patterns):
        return line
    return line.replace(entry.names.encode(), ",".join(left).encode(), 1) if left else b""


def _edit(path: Path, edit: Callable[[list[bytes]], list[bytes]]) -> bool:
    """Rewrite a file as a whole or not at all; the previous content stays beside it as `.bak`."""
    from filelock import Timeout

    path = Path(path).expanduser().resolve()  # a link stays a link
    try:
        return _edit_locked(path, edit)
    except Timeout as error:
        raise UsageError(f"{path}: another process holds its lock", f"wait for it, or remove {path}.lock") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}", "check its owner, mode and disk") from error


def _edit_locked(path: Path, edit: Callable[[list[bytes]], list[bytes]]) -> bool:
    from filelock import FileLock

    private.folder(path.parent)
    with FileLock(f"{path}.lock", timeout=_LOCK_WAIT, mode=private.FILE):
        old = path.read_bytes() if path.exists() else b""
        lines = old.splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            lines[-1] += b"\n"
        changed = edit(lines)
        if changed == lines:
            return False
        if path.exists():
            private.write(path.with_name(f"{path.name}.bak"), old, _mode_of(path))
        private.write(path, b"".join(changed), _mode_of(path))
    return True


def _mode_of(path: Path) -> int:
    """The mode that a file has, but never one that lets others write: whoever may, decides which hosts are trusted."""
    return stat.S_IMODE(path.stat().st_mode) & ~0o022 if path.exists() else private.FILE


# --------------------------------------------------------------------------- asking a host

# Host key algorithms by the key that they speak of.
ALGORITHMS = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)


def scan(
    address: str, port: int = DEFAULT_PORT, timeout: float = 10.0, *, via: Shell | None = None
) -> dict[str, paramiko.PKey]:
    """Ask a host for its keys, one key exchange for each kind; nobody logs in, and nothing is trusted yet.

    Args:
        address: name or address, as seen from here or from `via`.
        port: TCP.
        timeout: seconds for each connection.
        via: a connection to a gateway.

    Returns:
        The keys by type; each has proved that the host owns it.

    Raises:
        Unreachable: no connection, or none of its keys is of a known kind.
    """
    from tscm_migrate.errors import Unreachable

    place = name_of(address, port)
    found = (_offered(address, port, timeout, types, via) for types in ALGORITHMS)
    keys = {key.get_name(): key for key in found if key is not None}
    if not keys:
        raise Unreachable(place, "it offers no host key that this SSH library knows")
    return keys


def _offered(
    address: str, port: int, timeout: float, types: tuple[str, ...], via: Shell | None
) -> paramiko.PKey | None:
    import socket

    from paramiko.ssh_exception import IncompatiblePeer

    from tscm_migrate.ssh.exceptions import translated
    from tscm_migrate.ssh.refusal import no_common
    from tscm_migrate.ssh.service import Transport

    with translated(name_of(address, port), connecting=True):
        sock = via.open_tunnel(address, port) if via else socket.create_connection((address, port), timeout)
        try:
            with contextlib.closing(Transport(sock)) as transport:
                transport.banner_timeout = timeout
                transport.get_security_options().key_types = types
                try:
                    transport.start_client(timeout=timeout)
                except IncompatiblePeer:
                    found = no_common(name_of(address, port), transport)
                    if found is not None and "host key" not in found.kind:
                        raise found from None
                    return None
                return transport.get_remote_server_key()
        finally:
            sock.close()
