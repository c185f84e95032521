"""known_hosts, read as OpenSSH does: which keys are pinned for a name; reads one file, writes nothing."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tscm_migrate.errors import InventoryError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import paramiko

    from tscm_migrate.model import Host

REVOKED = "@revoked"
AUTHORITY = "@cert-authority"
DEFAULT_PORT = 22


def fingerprint(key: paramiko.PKey | bytes) -> str:
    """`SHA256:…` as `ssh-keygen -l` prints it; of a key or of its wire form."""
    blob = key if isinstance(key, bytes) else key.asbytes()
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def name_of(address: str, port: int = DEFAULT_PORT) -> str:
    """The name under which known_hosts keeps an address: bare at port 22, `[address]:port` elsewhere."""
    return address.lower() if port == DEFAULT_PORT else f"[{address.lower()}]:{port}"


def name_of_host(host: Host) -> str:
    """The name under which known_hosts keeps an appliance."""
    return name_of(host.address, host.port)


@dataclass(frozen=True)
class Entry:
    """One line of a known_hosts file that holds a key; `blob` is the key's wire form."""

    number: int  # of the line, from 1
    marker: str
    names: str  # the comma separated patterns, or one hashed name
    type: str
    blob: bytes
    comment: str = ""

    @property
    def fingerprint(self) -> str:
        """`SHA256:…` of the key."""
        return fingerprint(self.blob)

    def matches(self, name: str) -> bool:
        """Whether this line speaks of `name` (as `name_of` gives it)."""
        if self.names.startswith("|1|"):
            return _hash_matches(self.names, name)
        patterns = self.names.lower().split(",")
        if any(_glob(p[1:], name) for p in patterns if p.startswith("!")):
            return False
        return any(_glob(p, name) for p in patterns if not p.startswith("!"))


@dataclass(frozen=True)
class KnownHosts:
    """What a known_hosts file says; `notes` names what was passed over, for the operator."""

    entries: tuple[Entry, ...] = ()
    notes: tuple[str, ...] = ()
    authorities: tuple[Entry, ...] = ()  # lines with @cert-authority, by which nothing is checked

    def pinned(self, name: str) -> tuple[Entry, ...]:
        """The keys pinned for a name, without revoked ones."""
        revoked = {e.blob for e in self.entries if e.marker == REVOKED and e.matches(name)}
        return tuple(e for e in self.entries if not e.marker and e.blob not in revoked and e.matches(name))

    def authority(self, name: str) -> Entry | None:
        """The @cert-authority line by which ssh would check this host's certificate."""
        return next((entry for entry in self.authorities if entry.matches(name)), None)

    def revoked(self, name: str, blob: bytes) -> bool:
        """Whether this very key is marked @revoked for the name."""
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
    if "*" not in pattern and "?" not in pattern:  # a file of hundreds of hosts is matched at every connection
        return pattern == name
    # Only * and ? mean something here; fnmatch would also take the brackets of "[address]:port" for a set.
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(parts), name) is not None


def parse(text: str) -> KnownHosts:
    """Read known_hosts text; a line that cannot be read is passed over with a note, as OpenSSH does."""
    entries: list[Entry] = []
    notes: list[str] = []
    authorities: list[Entry] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        entry = entry_of(number, line.split())
        if entry is None:
            notes.append(f"line {number}: not understood, passed over")
        elif entry.marker == AUTHORITY:
            notes.append(f"line {number}: @cert-authority is not supported, passed over")
            authorities.append(entry)
        else:
            entries.append(entry)
    return KnownHosts(tuple(entries), tuple(notes), tuple(authorities))


def entry_of(number: int, words: list[str]) -> Entry | None:
    """Read the words of one line; None when they make no sense."""
    marker = words.pop(0) if words[0].startswith("@") else ""
    if marker not in ("", REVOKED, AUTHORITY) or len(words) < 3:
        return None
    names, kind, encoded, *comment = words
    try:
        blob = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return None
    if blob[4 : 4 + len(kind)] != kind.encode():  # the wire form begins with its own type
        return None
    return Entry(number, marker, names, kind, blob, " ".join(comment))


def load(path: Path | None) -> KnownHosts:
    """Read a known_hosts file; no file means that nothing is pinned.

    Raises:
        InventoryError: there is one, and it cannot be read.
    """
    if path is None:
        return KnownHosts()
    try:
        return parse(path.read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        return KnownHosts()
    except OSError as error:
        fix = "give it to the user that you are, or name another: known_hosts in the inventory"
        raise InventoryError(f"cannot be read: {error.strerror}", fix, file=str(path)) from error


def fingerprints(entries: Iterable[Entry]) -> str:
    """The fingerprints of several entries, for a message."""
    return ", ".join(e.fingerprint for e in entries)
