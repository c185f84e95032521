"""Connect to a host, through its gateways, with a check of every host key and with the configured credentials."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fabric
import paramiko

from tscm_migrate.errors import HostKeyChanged, HostKeyUnknown, MigrateError, Unreachable
from tscm_migrate.events import Emit, Message, silent
from tscm_migrate.model import Host
from tscm_migrate.ssh import known_hosts
from tscm_migrate.ssh.auth import Authentication, Credentials, NoSecrets
from tscm_migrate.ssh.exceptions import refusal, translated
from tscm_migrate.ssh.shell import DEFAULT_TIMEOUTS, Shell, Timeouts
from tscm_migrate.ssh.ssh_config import settings, settled
from tscm_migrate.ssh.transport import Transport, Watchdog

__all__ = ["Credentials", "NoSecrets", "Timeouts", "connect"]

# AES-GCM has hardware support and needs no separate MAC: twice the throughput of paramiko's default order.
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
# paramiko's own rekey at 2**29 bytes fails under load (paramiko#822); the server rekeys where its policy says so.
_REKEY_BYTES = 1 << 40
_reported: set[str] = set()  # notes about ~/.ssh/config
# Without a handler, tracebacks of paramiko's threads would be printed on the terminal.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class HostKeyPolicy(paramiko.MissingHostKeyPolicy):
    """Decides whether a server key is accepted: it is pinned, or its fingerprint is expected.

    paramiko asks it about every key, because the client's own tables of host keys stay empty.
    """

    host: str
    name: str
    known: known_hosts.KnownHosts
    expect: tuple[str, ...] | None = None

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        """Check the server's key; paramiko calls this.

        Raises:
            HostKeyUnknown, HostKeyChanged: see `check`.
        """
        self.check(key.asbytes())

    def check(self, blob: bytes) -> None:
        """Check a key in wire form.

        Raises:
            HostKeyUnknown: no key is pinned. HostKeyChanged: the key is another one, or revoked.
        """
        offered = known_hosts.fingerprint(blob)
        if self.expect is not None:
            if offered not in self.expect:
                raise HostKeyChanged(self.host, pinned=", ".join(self.expect) or "none", offered=offered)
            return
        pinned = self.known.pinned(self.name)
        if self.known.revoked(self.name, blob):
            raise HostKeyChanged(self.host, "the offered key is revoked", known_hosts.fingerprints(pinned), offered)
        if not pinned:
            raise HostKeyUnknown(self.host, f"{self.name} offers {offered}{self._authority()}", offered)
        if all(entry.blob != blob for entry in pinned):
            size = int.from_bytes(blob[:4], "big")
            like = [entry for entry in pinned if entry.type == blob[4 : 4 + size].decode("ascii", "replace")]
            raise HostKeyChanged(self.host, pinned=known_hosts.fingerprints(like or pinned), offered=offered)

    def _authority(self) -> str:
        line = self.known.authority(self.name)
        if line is None:
            return ""
        return (
            f"; known_hosts line {line.number} trusts a @cert-authority for it, by which ssh would check it: "
            "this tool does not read certificates, so its key has to be pinned"
        )

    def preferred(self, types: Sequence[str]) -> list[str]:
        """Return the key types with the pinned types first, so that the server offers a key that is pinned."""
        pinned = {entry.type for entry in self.known.pinned(self.name)} if self.expect is None else set()
        return sorted(types, key=lambda t: ("ssh-rsa" if t.startswith("rsa-sha2-") else t) not in pinned)


def connect(
    host: Host,
    *,
    credentials: Credentials,
    emit: Emit = silent,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    expect: Sequence[str] | None = None,
    foreseen: Mapping[str, Sequence[str]] | None = None,
) -> Shell:
    """Connect to a host, first to its gateways.

    Args:
        host: the inventory's entry; only keys in `host.known_hosts` are trusted.
        credentials: resolve secrets when a method needs them.
        emit: receives an event for every command that the shell runs.
        timeouts: seconds.
        expect: `SHA256:…` fingerprints, used instead of known_hosts: the server's key must be one of them. For the
            cutover, when another appliance takes over an address.
        foreseen: the same for gateways, by NAME@ADDRESS.

    Raises:
        Unreachable: no connection, no banner, or no common algorithm.
        HostKeyUnknown: no key is pinned for the host.
        HostKeyChanged: the key is not one of those pinned or expected.
        AuthFailed: no key and no password was accepted.
    """
    chain: list[fabric.Connection] = []
    try:
        hops = _hops(host)
        for hop in hops:
            keys = expect if hop is hops[-1] else (foreseen or {}).get(f"{hop.name}@{hop.address}")
            wanted = None if keys is None else tuple(keys)
            _report_notes(hop, emit)
            identity = HostKeyPolicy(hop.name, known_hosts.name_of_host(hop), known_hosts.load(hop.known_hosts), wanted)
            chain.append(_open(_Route(hop, chain[-1] if chain else None, credentials, timeouts, identity)))
    except BaseException:
        _close(chain)
        raise
    transport: paramiko.Transport = chain[-1].transport
    watchdog = Watchdog(transport, timeouts.dead)

    def close() -> None:
        watchdog.stop()
        _close(chain)

    def again() -> Shell:
        shown = (known_hosts.fingerprint(transport.get_remote_server_key()),)
        return connect(host, credentials=credentials, emit=emit, timeouts=timeouts, expect=shown, foreseen=foreseen)

    return Shell(
        hops[-1], transport, credentials=credentials, emit=emit, timeouts=timeouts, on_close=close, again=again
    )


def _report_notes(host: Host, emit: Emit) -> None:
    """Report which lines of ~/.ssh/config are ignored, each line once."""
    for note in settings(host).notes:
        if note not in _reported:
            _reported.add(note)
            emit(Message(f"{host.name}: {note}", "warning"))


def _hops(host: Host) -> list[Host]:
    hops = [settled(host)]
    while (gateway := hops[0].gateway) is not None:
        hops.insert(0, settled(gateway))
    return hops


def _close(chain: list[fabric.Connection]) -> None:
    for connection in reversed(chain):
        # fabric's close() does not close the socket of a connection that failed during its setup
        connection.client.close()
        connection.close()


@dataclass(frozen=True)
class _Route:
    """What a connection to one hop needs."""

    host: Host
    gateway: fabric.Connection | None
    credentials: Credentials
    timeouts: Timeouts
    identity: HostKeyPolicy


def _open(route: _Route) -> fabric.Connection:
    try:
        return _attempt(route)
    except HostKeyChanged:
        # Only fingerprints are expected, without key types: the server may have an expected key of another type.
        found = _other_type(route) if route.identity.expect is not None else None
        if found is None:
            raise
        return found


def _other_type(route: _Route) -> fabric.Connection | None:
    for types in known_hosts.ALGORITHMS:
        try:
            return _attempt(route, types)
        except (HostKeyChanged, Unreachable):  # an unexpected key, or no key of this type
            continue
    return None


def _attempt(route: _Route, types: tuple[str, ...] = ()) -> fabric.Connection:
    """Try to connect once; `types` limits the host key algorithms (empty: all)."""
    host, timeouts = route.host, route.timeouts

    opened: list[Transport] = []

    def transport(sock: Any, **options: Any) -> paramiko.Transport:
        made = Transport(sock, fast=host.fast_transport, **options)
        opened.append(made)
        made.packetizer.REKEY_BYTES = _REKEY_BYTES
        security = made.get_security_options()
        security.ciphers = (*_CIPHERS, *(c for c in security.ciphers if c not in _CIPHERS))
        security.key_types = types or route.identity.preferred(security.key_types)
        return made

    connection = fabric.Connection(
        host.address,
        user=host.user,
        port=host.port,
        gateway=route.gateway,
        # fabric's own files, and its reading of ~/.ssh/config, may redirect the connection: see `ssh_config`
        config=fabric.Config(lazy=True, ssh_config=paramiko.SSHConfig()),
        connect_kwargs={
            "timeout": timeouts.connect,
            "banner_timeout": timeouts.banner,
            "auth_timeout": timeouts.auth,
            "channel_timeout": timeouts.channel,
            "transport_factory": transport,
            "auth_strategy": Authentication(host, route.credentials),
        },
    )
    connection.client.set_missing_host_key_policy(route.identity)  # fabric's default accepts any key
    try:
        with translated(host.name, connecting=True):
            connection.open()
    except BaseException as error:
        _close([connection])
        cause = error.__cause__ if isinstance(error, MigrateError) and error.__cause__ else error
        found = refusal(host, opened[-1] if opened else None, cause)
        if found is not None:
            raise found from error
        raise
    return connection
