"""Pin a host's keys: ask for the offered keys, compare them with the pinned keys, write the accepted ones."""

import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from tscm_migrate.errors import HostKeyMismatch, Unreachable, UsageError
from tscm_migrate.model import Host
from tscm_migrate.ssh import known_hosts
from tscm_migrate.ssh.connect import Credentials, connect
from tscm_migrate.ssh.exceptions import no_common, translated
from tscm_migrate.ssh.known_hosts import KnownHosts
from tscm_migrate.ssh.shell import Shell
from tscm_migrate.ssh.ssh_config import settled
from tscm_migrate.ssh.transport import Transport

State = Literal["new", "same", "more", "changed"]


@dataclass(frozen=True)
class Offer:
    """The keys that a host offers, and those pinned for it; `keys` has wire forms by type."""

    host: str
    name: str  # as in known_hosts
    path: Path
    keys: dict[str, bytes]
    known: KnownHosts

    @property
    def fingerprints(self) -> dict[str, str]:
        """Return the offered `SHA256:…` by key type, as `ssh-keygen -l` prints them."""
        return {kind: known_hosts.fingerprint(blob) for kind, blob in self.keys.items()}

    @property
    def pinned(self) -> dict[str, str]:
        """Return the pinned fingerprints, by key type."""
        return {entry.type: entry.fingerprint for entry in self.known.pinned(self.name)}

    @property
    def state(self) -> State:
        """Return how offered and pinned keys differ.

        "new": no key is pinned; "same": all are; "more": some are, the others are new; "changed": one differs.
        """
        pinned = {entry.blob for entry in self.known.pinned(self.name)}
        if not pinned:
            return "new"
        offered = set(self.keys.values())
        replaced = any(kind in self.keys and self.keys[kind] not in pinned for kind in self.pinned)
        if replaced or not pinned & offered:
            return "changed"
        return "same" if offered <= pinned else "more"


def scan(
    address: str, port: int = known_hosts.DEFAULT_PORT, timeout: float = 10.0, *, via: Shell | None = None
) -> dict[str, paramiko.PKey]:
    """Ask a host for its keys, with one key exchange for each type; without a login, and without trusting them.

    Args:
        address: name or address, as seen from this workstation or from `via`.
        port: TCP.
        timeout: seconds for each connection.
        via: a connection to a gateway.

    Returns:
        The keys by type; the host has proved for each that it owns it.

    Raises:
        Unreachable: no connection, or no key of a known type.
    """
    place = known_hosts.name_of(address, port)
    found = (_offered(address, port, timeout, types, via) for types in known_hosts.ALGORITHMS)
    keys = {key.get_name(): key for key in found if key is not None}
    if not keys:
        raise Unreachable(place, "it offers no host key that this SSH library knows")
    return keys


def _offered(
    address: str, port: int, timeout: float, types: tuple[str, ...], via: Shell | None
) -> paramiko.PKey | None:
    with translated(known_hosts.name_of(address, port), connecting=True):
        sock = via.open_tunnel(address, port) if via else socket.create_connection((address, port), timeout)
        try:
            with contextlib.closing(Transport(sock)) as transport:
                transport.banner_timeout = timeout
                transport.get_security_options().key_types = types
                try:
                    transport.start_client(timeout=timeout)
                except IncompatiblePeer:
                    found = no_common(known_hosts.name_of(address, port), transport)
                    if found is not None and "host key" not in found.kind:
                        raise found from None
                    return None
                return transport.get_remote_server_key()
        finally:
            sock.close()


def look(host: Host, credentials: Credentials, timeout: float = 10.0) -> Offer:
    """Ask a host for its keys, through its gateway if it has one; nothing is written.

    Args:
        host: the host.
        credentials: used for the gateway only.
        timeout: seconds for each connection.

    Raises:
        Unreachable: no connection could be made.
        HostKeyMismatch: an offered key is marked @revoked.
    """
    host = settled(host)
    if host.known_hosts is None:
        raise UsageError(f"{host.name} has no known_hosts file to pin keys in", "set known_hosts in the inventory")
    if host.gateway is None:
        found = scan(host.address, host.port, timeout)
    else:
        with connect(host.gateway, credentials=credentials) as gateway:
            found = scan(host.address, host.port, timeout, via=gateway)
    keys = {kind: key.asbytes() for kind, key in found.items()}
    offer = Offer(host.name, known_hosts.name_of_host(host), host.known_hosts, keys, known_hosts.load(host.known_hosts))
    revoked = [kind for kind, blob in keys.items() if offer.known.revoked(offer.name, blob)]
    if revoked:
        raise HostKeyMismatch(
            host.name, f"{host.known_hosts} marks its {revoked[0]} key @revoked", offered=offer.fingerprints[revoked[0]]
        )
    return offer


def accept(offer: Offer, fingerprint: str | None = None) -> bool:
    """Pin all the keys of an offer, or only the one with this fingerprint.

    Changed keys replace the pinned keys. Comments and other lines of the file are kept, and its previous content is
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
        return known_hosts.replace(offer.path, [offer.name], chosen)
    changed = [known_hosts.pin(offer.path, [offer.name], blob) for blob in chosen]
    return any(changed)
