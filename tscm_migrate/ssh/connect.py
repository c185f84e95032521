"""Make a connection: through gateways, to a host whose key is pinned, with what the operator has to prove himself."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import fabric
import paramiko

from tscm_migrate.errors import HostKeyChanged, HostKeyUnknown, MigrateError, Unreachable
from tscm_migrate.events import Emit, Said, silent
from tscm_migrate.ssh import known_hosts
from tscm_migrate.ssh.auth import Authentication, Credentials, NoSecrets
from tscm_migrate.ssh.exceptions import refusal, translated
from tscm_migrate.ssh.shell import DEFAULT_TIMEOUTS, Shell, Timeouts
from tscm_migrate.ssh.ssh_config import settings, settled
from tscm_migrate.ssh.transport import Transport, Watchdog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tscm_migrate.model import Host

__all__ = ["Credentials", "NoSecrets", "Timeouts", "connect"]

# AES-GCM has hardware support and needs no separate MAC: twice the throughput of paramiko's default order.
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
# paramiko's own rekey at 2**29 bytes fails under load (paramiko#822); the server rekeys where its policy says so.
_REKEY_BYTES = 1 << 40
_said: set[str] = set()
# A library without a handler would print tracebacks of its threads to the operator's terminal.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class HostKeyPolicy:
    """What a server key must be: one of the pinned keys, or one of the expected fingerprints."""

    host: str
    name: str
    known: known_hosts.KnownHosts
    expect: tuple[str, ...] | None = None

    def check(self, blob: bytes) -> None:
        """Pass, or raise HostKeyUnknown or HostKeyChanged."""
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
        """The key types in the order to ask for: what is pinned first, so that the server shows that key."""
        pinned = {entry.type for entry in self.known.pinned(self.name)} if self.expect is None else set()
        return sorted(types, key=lambda t: ("ssh-rsa" if t.startswith("rsa-sha2-") else t) not in pinned)


class PinnedKeyPolicy(paramiko.MissingHostKeyPolicy):
    """Has paramiko check every server key by a HostKeyPolicy: the client's own tables of host keys stay empty."""

    def __init__(self, policy: HostKeyPolicy) -> None:
        self._policy = policy

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        """Pass, or raise HostKeyUnknown or HostKeyChanged."""
        self._policy.check(key.asbytes())


def connect(
    host: Host,
    *,
    credentials: Credentials,
    emit: Emit = silent,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    expect: Sequence[str] | None = None,
    foreseen: Mapping[str, Sequence[str]] | None = None,
) -> Shell:
    """Connect to a host, and to its gateways before.

    Args:
        host: the inventory's entry; `host.known_hosts` is the only file whose keys count.
        credentials: asked for a secret when its turn comes.
        emit: sees every command that the shell runs.
        timeouts: seconds.
        expect: `SHA256:…` fingerprints; the server's key must be one of them, and known_hosts is not asked. For the
            cutover, when the identity at an address changes as foreseen.
        foreseen: the same for gateways, by NAME@ADDRESS.

    Raises:
        Unreachable: no connection, no banner, or no common algorithm.
        HostKeyUnknown: nothing is pinned.
        HostKeyChanged: another key than the pinned or expected ones.
        AuthFailed: no key and no password was accepted.
    """
    chain: list[fabric.Connection] = []
    try:
        hops = _hops(host)
        for hop in hops:
            keys = expect if hop is hops[-1] else (foreseen or {}).get(f"{hop.name}@{hop.address}")
            wanted = None if keys is None else tuple(keys)
            _say_notes(hop, emit)
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
    )  # fmt: skip


def _say_notes(host: Host, emit: Emit) -> None:
    """Say what of ~/.ssh/config does not apply, each line once."""
    for note in settings(host).notes:
        if note not in _said:
            _said.add(note)
            emit(Said(f"{host.name}: {note}", "warning"))


def _hops(host: Host) -> list[Host]:
    hops = [settled(host)]
    while (gateway := hops[0].gateway) is not None:
        hops.insert(0, settled(gateway))
    return hops


def _close(chain: list[fabric.Connection]) -> None:
    for connection in reversed(chain):
        # fabric's own close() leaves the socket of a connection that failed half-way
        connection.client.close()
        connection.close()


@dataclass(frozen=True)
class _Route:
    """What one hop needs."""

    host: Host
    gateway: fabric.Connection | None
    credentials: Credentials
    timeouts: Timeouts
    identity: HostKeyPolicy


def _open(route: _Route) -> fabric.Connection:
    try:
        return _attempt(route)
    except HostKeyChanged:
        # Only fingerprints are expected, not their types: the server may hold an expected key of another type.
        found = _other_type(route) if route.identity.expect is not None else None
        if found is None:
            raise
        return found


def _other_type(route: _Route) -> fabric.Connection | None:
    for types in known_hosts.ALGORITHMS:
        try:
            return _attempt(route, types)
        except (HostKeyChanged, Unreachable):  # another key again, or none of this type
            continue
    return None


def _attempt(route: _Route, types: tuple[str, ...] = ()) -> fabric.Connection:
    """One connection attempt; `types` limits the host key algorithms (empty: all)."""
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
        # fabric's files and what it would read of ~/.ssh/config may redirect the connection: see `userconfig`
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
    connection.client.set_missing_host_key_policy(PinnedKeyPolicy(route.identity))  # fabric's own accepts any key
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
