"""Read known_hosts files as OpenSSH does, and change them without losing any other line."""

import base64
import binascii
import hashlib
import hmac
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko
from filelock import FileLock, Timeout

from tscm_migrate.errors import InventoryError, UsageError
from tscm_migrate.model import Host
from tscm_migrate.util import private
from tscm_migrate.util.private import expanded

REVOKED = "@revoked"
AUTHORITY = "@cert-authority"
DEFAULT_PORT = 22
# Host key algorithms, grouped by type of key.
ALGORITHMS = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)


def fingerprint(key: paramiko.PKey | bytes) -> str:
    """Return `SHA256:…` as `ssh-keygen -l` prints it, for a key or its wire form."""
    blob = key if isinstance(key, bytes) else key.asbytes()
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def name_of(address: str, port: int = DEFAULT_PORT) -> str:
    """Return the name of an address in known_hosts: the address for port 22, else `[address]:port`."""
    return address.lower() if port == DEFAULT_PORT else f"[{address.lower()}]:{port}"


def name_of_host(host: Host) -> str:
    """Return the name of an appliance in known_hosts."""
    return name_of(host.address, host.port)


@dataclass(frozen=True)
class HostKeyEntry:
    """One line of a known_hosts file that holds a key; `blob` is the key's wire form."""

    number: int  # of the line, from 1
    marker: str
    names: str  # the comma separated patterns, or one hashed name
    type: str
    blob: bytes
    comment: str = ""

    @property
    def fingerprint(self) -> str:
        """Return `SHA256:…` of the key."""
        return fingerprint(self.blob)

    def matches(self, name: str) -> bool:
        """Return whether this line applies to `name` (as returned by `name_of`)."""
        if self.names.startswith("|1|"):
            return _hash_matches(self.names, name)
        patterns = self.names.lower().split(",")
        if any(_glob(p[1:], name) for p in patterns if p.startswith("!")):
            return False
        return any(_glob(p, name) for p in patterns if not p.startswith("!"))


@dataclass(frozen=True)
class KnownHosts:
    """The content of a known_hosts file; `notes` describes the lines that were ignored."""

    entries: tuple[HostKeyEntry, ...] = ()
    notes: tuple[str, ...] = ()
    authorities: tuple[HostKeyEntry, ...] = ()  # lines with @cert-authority, which are not supported

    def pinned(self, name: str) -> tuple[HostKeyEntry, ...]:
        """Return the keys pinned for a name, without revoked keys."""
        revoked = {e.blob for e in self.entries if e.marker == REVOKED and e.matches(name)}
        return tuple(e for e in self.entries if not e.marker and e.blob not in revoked and e.matches(name))

    def authority(self, name: str) -> HostKeyEntry | None:
        """Return the @cert-authority line that ssh would use for this host's certificate; None without one."""
        return next((entry for entry in self.authorities if entry.matches(name)), None)

    def revoked(self, name: str, blob: bytes) -> bool:
        """Return whether this key is marked @revoked for the name."""
        return any(e.marker == REVOKED and e.blob == blob and e.matches(name) for e in self.entries)


def _hash_matches(hashed: str, name: str) -> bool:
    try:
        _, _, salt, digest = hashed.split("|")
        want = base64.b64decode(digest, validate=True)
        have = hmac.new(base64.b64decode(salt, validate=True), name.encode(), hashlib.sha1).digest()
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(want, have)


def _glob(pattern: str, name: str) -> bool:
    if "*" not in pattern and "?" not in pattern:  # fast: a file of hundreds of hosts is matched at every connection
        return pattern == name
    # Only * and ? are wildcards here; fnmatch would also read the brackets of "[address]:port" as a set.
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(parts), name) is not None


def parse(text: str) -> KnownHosts:
    """Read known_hosts text; a line that cannot be read is ignored with a note, as OpenSSH does."""
    entries: list[HostKeyEntry] = []
    notes: list[str] = []
    authorities: list[HostKeyEntry] = []
    for number, line in enumerate(text.split("\n"), 1):  # `splitlines` would also end a comment at other characters
        if not (words := _words(line)):
            continue
        entry = entry_of(number, words)
        if entry is None:
            notes.append(f"line {number}: not understood, passed over")
        elif entry.marker == AUTHORITY:
            notes.append(f"line {number}: @cert-authority is not supported, passed over")
            authorities.append(entry)
        else:
            entries.append(entry)
    return KnownHosts(tuple(entries), tuple(notes), tuple(authorities))


def _words(line: str) -> list[str]:
    """Return the words of a line as OpenSSH separates them; none of a comment or of an empty line."""
    words = [word for word in re.split(r"[ \t]+", line.strip(" \t\r\n")) if word]
    return [] if words and words[0].startswith("#") else words


def entry_of(number: int, words: list[str]) -> HostKeyEntry | None:
    """Read the words of one line; return None if they are not valid."""
    marker = words.pop(0) if words[0].startswith("@") else ""
    if marker not in ("", REVOKED, AUTHORITY) or len(words) < 3:
        return None
    names, kind, encoded, *comment = words
    try:
        blob = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return None
    if blob[4 : 4 + len(kind)] != kind.encode():  # the wire form begins with the key's type
        return None
    return HostKeyEntry(number, marker, names, kind, blob, " ".join(comment))


def load(path: Path | None) -> KnownHosts:
    """Read a known_hosts file; a missing file has no pinned keys.

    Raises:
        InventoryError: the file exists and cannot be read.
    """
    if path is None:
        return KnownHosts()
    try:
        return parse(path.read_bytes().decode(errors="replace"))
    except FileNotFoundError:
        return KnownHosts()
    except OSError as error:
        fix = "give it to the user that you are, or name another: known_hosts in the inventory"
        raise InventoryError(f"cannot be read: {error.strerror}", fix, file=str(path)) from error


def fingerprints(entries: Iterable[HostKeyEntry]) -> str:
    """Return the fingerprints of several entries, for a message."""
    return ", ".join(e.fingerprint for e in entries)


# --------------------------------------------------------------------------- changing the file

_LOCK_WAIT = 10.0  # seconds


def pin(path: Path, names: Sequence[str], key: paramiko.PKey | bytes) -> bool:
    """Add a key for some names; existing lines are kept.

    Args:
        path: the known_hosts file; created if it does not exist.
        names: as returned by `name_of`.
        key: a key, or its wire form.

    Returns:
        Whether the file changed: False if this key was pinned for each name already.
    """
    blob = _blob(key)

    def edit(lines: list[bytes]) -> list[bytes]:
        known = parse(b"".join(lines).decode(errors="replace"))
        missing = [n for n in names if all(e.blob != blob for e in known.pinned(n))]
        return [*lines, _line(missing, blob)] if missing else lines

    return _edit(path, edit)


def replace(path: Path, names: Sequence[str], keys: Iterable[paramiko.PKey | bytes]) -> bool:
    """Make these the only keys of some names; without keys, remove the names.

    Lines with a marker, lines whose pattern matches a name, and lines for other names are kept; from a line for several
    names only these are removed.

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


def _read(line: bytes) -> HostKeyEntry | None:
    words = _words(line.decode(errors="replace"))
    entry = entry_of(0, words) if words else None
    return None if entry is None or entry.marker else entry


def _speaks_only_of(line: bytes, names: Sequence[str]) -> bool:
    entry = _read(line)
    return entry is not None and set(entry.names.lower().split(",")) == set(names)


def _without(line: bytes, names: Sequence[str]) -> bytes:
    """Return the line without these names; b"" if no name is left; unchanged if it has none of them."""
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
    """Replace a file atomically; the previous content is kept beside it as `.bak`."""
    path = expanded(path).resolve()  # keeps a symbolic link
    try:
        return _edit_locked(path, edit)
    except Timeout as error:
        raise UsageError(f"{path}: another process holds its lock", f"wait for it, or remove {path}.lock") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}", "check its owner, mode and disk") from error


def _edit_locked(path: Path, edit: Callable[[list[bytes]], list[bytes]]) -> bool:
    private.folder(path.parent)
    with FileLock(f"{path}.lock", timeout=_LOCK_WAIT, mode=private.FILE):
        old = path.read_bytes() if path.exists() else b""
        lines = re.findall(rb"[^\n]*\n|[^\n]+", old)
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
    """Return a file's mode without write permission for others, who could otherwise decide which hosts are trusted."""
    return stat.S_IMODE(path.stat().st_mode) & ~0o022 if path.exists() else private.FILE
