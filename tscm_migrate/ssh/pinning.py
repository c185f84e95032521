"""Pin a host's keys: look at what it offers, compare with what is pinned, and write only what was agreed to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tscm_migrate.errors import HostKeyMismatch, UsageError
from tscm_migrate.ssh import hostkeys
from tscm_migrate.ssh.ssh_config import settled

if TYPE_CHECKING:
    from pathlib import Path

    from tscm_migrate.model import Host
    from tscm_migrate.ssh.connect import Credentials
    from tscm_migrate.ssh.known_hosts import KnownHosts

State = Literal["new", "same", "more", "changed"]


@dataclass(frozen=True)
class Offer:
    """What a host offers against what is pinned for it; `keys` are wire forms by type."""

    host: str
    name: str  # as known_hosts has it
    path: Path
    keys: dict[str, bytes]
    known: KnownHosts

    @property
    def fingerprints(self) -> dict[str, str]:
        """`SHA256:…` by key type, as `ssh-keygen -l` prints it."""
        return {kind: hostkeys.fingerprint(blob) for kind, blob in self.keys.items()}

    @property
    def pinned(self) -> dict[str, str]:
        """The fingerprints that are pinned now, by key type."""
        return {entry.type: entry.fingerprint for entry in self.known.pinned(self.name)}

    @property
    def state(self) -> State:
        """How they differ.

        "new": nothing is pinned; "same": all is; "more": some is, the rest is new; "changed": one differs.
        """
        pinned = {entry.blob for entry in self.known.pinned(self.name)}
        if not pinned:
            return "new"
        offered = set(self.keys.values())
        replaced = any(kind in self.keys and self.keys[kind] not in pinned for kind in self.pinned)
        if replaced or not pinned & offered:
            return "changed"
        return "same" if offered <= pinned else "more"


def look(host: Host, credentials: Credentials, timeout: float = 10.0) -> Offer:
    """Ask a host for its keys, through its gateway where it has one; nothing is written.

    Args:
        host: whose keys.
        credentials: for logging in to the gateway only.
        timeout: seconds for each connection.

    Raises:
        Unreachable: nobody answers.
        HostKeyMismatch: a key that it offers is marked @revoked.
    """
    host = settled(host)
    if host.known_hosts is None:
        raise UsageError(f"{host.name} has no known_hosts file to pin keys in", "set known_hosts in the inventory")
    if host.gateway is None:
        found = hostkeys.scan(host.address, host.port, timeout)
    else:
        from tscm_migrate.ssh.connect import connect

        with connect(host.gateway, credentials=credentials) as gateway:
            found = hostkeys.scan(host.address, host.port, timeout, via=gateway)
    keys = {kind: key.asbytes() for kind, key in found.items()}
    offer = Offer(host.name, hostkeys.name_of_host(host), host.known_hosts, keys, hostkeys.load(host.known_hosts))
    revoked = [kind for kind, blob in keys.items() if offer.known.revoked(offer.name, blob)]
    if revoked:
        raise HostKeyMismatch(
            host.name, f"{host.known_hosts} marks its {revoked[0]} key @revoked", offered=offer.fingerprints[revoked[0]]
        )
    return offer


def accept(offer: Offer, fingerprint: str | None = None) -> bool:
    """Pin all the keys of an offer, or only the one with this fingerprint.

    Changed keys replace what was pinned. Comments and other lines of the file stay, and its previous content lies
    beside it as `.bak`.

    Returns:
        Whether the file changed.

    Raises:
        HostKeyMismatch: no offered key has this fingerprint.
    """
    chosen = [b for kind, b in offer.keys.items() if fingerprint in (None, offer.fingerprints[kind])]
    if not chosen:
        raise HostKeyMismatch(offer.host, expected=fingerprint or "", offered=", ".join(offer.fingerprints.values()))
    if offer.state == "changed":
        return hostkeys.replace(offer.path, [offer.name], chosen)
    changed = [hostkeys.pin(offer.path, [offer.name], blob) for blob in chosen]
    return any(changed)
