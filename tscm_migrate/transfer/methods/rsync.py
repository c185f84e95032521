"""Runs rsync on the old appliance, which writes to the new appliance (METHOD 1, corrected).

rsync cannot have two remote ends, so it runs on the source, with a key that is created for this transfer and used once.
It connects directly, or through a tunnel over this workstation. The source's rsync is first asked which command it will
request at the target; only the command that follows from our own call is accepted, and the command that runs there is
composed here (see `authorise`). How much of a partial file is right is decided by our own hashes; rsync only appends.
"""

import contextlib
import ipaddress
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from tscm_migrate.appliance.appliance import Appliance, quote
from tscm_migrate.errors import CommandFailed, ConnectionLost, LoginPrintsOutput, MigrateError, TransferError
from tscm_migrate.model import Archive
from tscm_migrate.ssh.stream import StreamReader
from tscm_migrate.transfer import relay
from tscm_migrate.transfer.authorise import Key, Opens, authorised, key_on
from tscm_migrate.transfer.base import MethodCaps, Sent, TransferJob
from tscm_migrate.transfer.methods.tar import ShellEnds, ends_of
from tscm_migrate.transfer.pump import Background, ProgressReporter

_CONNECT_TIMEOUT = 20.0  # seconds
_IDLE_TIMEOUT = 180.0
_LOST = (10, 12, 30, 35, 255)  # exit statuses of rsync and ssh for a failed connection
_SHOWN = re.compile(rb"^\s*([\d,.]+)\s+\d+%")
# Capabilities that rsync 3.0 to 3.5 send in -e; "i" (incremental recursion) is not sent for a single file.
_CAPABLE = re.compile(r"-e(?:\.|[0-9]+\.[0-9]+)[LsfxCIvu]*\Z")

_ASK = 'while [ "$1" != rsync ]; do shift || exit 1; done; echo "$*" >&2; exit 1'  # replaces ssh: prints the request


class Rsync:
    """The method rsync; see the module."""

    caps: ClassVar[MethodCaps] = MethodCaps(
        ("direct", "relay"), frozenset({"shell", "rsync", "ssh"}), frozenset({"shell", "rsync"})
    )

    def send(self, job: TransferJob) -> tuple[Sent, ...]:
        """See Method."""
        ends = ends_of(job, "rsync")
        sent = []
        with contextlib.ExitStack() as stack:
            made: _Connection | None = None
            for given in job.archives:
                archive, offset = relay.start(job, given)
                if offset is None:
                    sent.append(Sent(archive, 0, kept=True))
                    continue
                if offset < archive.size or archive.size == 0:
                    made = made or stack.enter_context(_connection(ends, job))
                    made.copy(archive, offset)
                relay.finish(job, archive)
                sent.append(Sent(archive, archive.size - offset, offset))
        return tuple(sent)


@contextlib.contextmanager
def _connection(ends: ShellEnds, job: TransferJob) -> "Iterator[_Connection]":
    """Create a key, and find the address by which the source reaches the target with it."""
    source, target = ends.source.appliance, ends.target.appliance
    addresses = Background(lambda: _addresses(ends)) if job.route == "direct" else None
    with key_on(source, target) as key:
        if addresses is not None:
            yield _Connection(ends, job, key, target.host.address, target.host.port, addresses.result())
        else:
            with tunnel(source, target) as port:
                yield _Connection(ends, job, key, "127.0.0.1", port, _as_seen(ends))


def _addresses(ends: ShellEnds) -> tuple[str, ...]:
    """Return the source's addresses; behind NAT the target refuses the key, and a fallback method is used."""
    text = ends.source.appliance.run(
        "ip -o addr show 2>/dev/null || hostname -I", check=False, display="addresses"
    ).stdout
    found = re.findall(r"\binet6? ([0-9a-fA-F:.]+)", text) or text.split()
    return tuple(dict.fromkeys(address for address in found if _is_address(address)))[:64]


def _as_seen(ends: ShellEnds) -> tuple[str, ...]:
    """Return this workstation's address as the target sees it, and the target's loopback for a gateway."""
    printed = ends.target.appliance.run('echo "$SSH_CONNECTION"', display="echo $SSH_CONNECTION").stdout.split()
    return tuple(address for address in (*printed[:1], "127.0.0.1", "::1") if _is_address(address))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class _Connection:
    """A connection with a lent key from the source to the target."""

    ends: ShellEnds
    job: TransferJob
    key: Key
    address: str  # the target's sshd as the source reaches it
    port: int
    seen_as: tuple[str, ...]  # the source's addresses as the target sees them

    @property
    def _limit(self) -> tuple[str, ...]:
        return (f"--bwlimit={max(1, round(self.job.limit / 1024))}",) if self.job.limit else ()

    def _landed(self, archive: Archive) -> str:
        """Return the path of the partial file for the rsync on the target: a hard link, see `authorise`."""
        part = self.ends.target.part(archive).rpartition("/")[2]
        return f"{self.key.landing(self.ends.target.appliance)}/{part}"

    def _words(self, archive: Archive, shell: str) -> str:
        """Return the rsync command; --append is safe, because the prefix was verified by our hashes."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        there = f"{self.ends.target.appliance.host.user}@{address}:{self._landed(archive)}"
        return (
            f"rsync --append --timeout=120 {' '.join(self._limit)} --info=progress2 --outbuf=N -e {quote(shell)} "
            f"-- {quote(archive.path)} {quote(there)}"
        )

    def _opens(self, archive: Archive) -> Opens:
        """Ask the source's rsync which command it requests at the target, and compose the one that runs there."""
        printer = f"{self.key.folder}/ask"
        source = self.ends.source.appliance
        printed = source.run(
            f"printf '%s\\n' {quote(_ASK)} > {printer}; "
            f"{self._words(archive, f'sh {printer}')} 2>&1 >/dev/null </dev/null; true",
            display="ask rsync for its request",
        ).stdout
        part = self._landed(archive)
        for requested in (line.strip() for line in printed.splitlines()[:100]):
            options, _, path = requested.partition(" . ")
            first, second, capable, *long = [*options.split(" "), "", "", ""]
            wanted = sorted(("--timeout=120", "--append", *self._limit))
            exact = (first, second, path) == ("rsync", "--server", part) and sorted(filter(None, long)) == wanted
            if exact and _CAPABLE.match(capable):
                run = f"rsync --server {capable} {' '.join(wanted)} . {quote(part)}"
                return Opens(requested, run, self.ends.target.part(archive), archive.size)
        raise TransferError(
            f"the rsync of {source.name} requests an unexpected command: {printed.strip()[:300]!r}",
            "use another method: --method tar",
        )

    def copy(self, archive: Archive, offset: int) -> None:
        """Let rsync append the missing bytes."""
        opens = self._opens(archive)
        progress = ProgressReporter(self.job.emit, archive.name, archive.size, offset)
        source = self.ends.source.appliance
        pid = f"{self.key.folder}/pid"
        script = f"echo $$ > {pid}; exec {self._words(archive, self.key.ssh(self.port))}"
        sudo = self.ends.source.root_reads(archive)
        with (
            authorised(self.ends.target.appliance, self.key, self.seen_as, opens, self.job.lent),
            source.shell.reader(script, sudo=sudo, idle=_IDLE_TIMEOUT, display=f"rsync {archive.name}") as reader,
        ):
            _follow(reader, progress)
            try:
                reader.finish(timeout=60.0)
            except CommandFailed as error:
                raise self._failed(error) from error

    def _failed(self, error: CommandFailed) -> TransferError | ConnectionLost:
        """Return the error for a failed rsync."""
        source, target = self.ends.source.appliance, self.ends.target.appliance
        printed = error.output.strip()[-300:]
        if error.status in _LOST:
            return ConnectionLost(source.name, f"rsync to {self.address}: {printed}")
        if "shell clean" in printed:
            talk = f"the login shell of {target.name} prints output, which breaks the protocol of rsync"
            return TransferError(talk, LoginPrintsOutput.advice)
        return TransferError(f"rsync on {source.name} failed: {printed}")


def _follow(reader: StreamReader, progress: ProgressReporter) -> None:
    """Report progress from the lines that rsync prints."""
    rest = b""
    for chunk in reader:
        lines = re.split(rb"[\r\n]", (rest + chunk)[-4096:])
        rest = lines.pop()
        for line in lines:
            if match := _SHOWN.match(line):
                progress.at(min(progress.total, max(progress.done, int(re.sub(rb"\D", b"", match[1])))))


# ---------------------------------------------------------------------- the tunnel


@contextlib.contextmanager
def tunnel(source: Appliance, target: Appliance) -> Iterator[int]:
    """Forward a port of the source's loopback interface to the target's sshd, through this workstation.

    For appliances that cannot reach each other. The data is the encrypted connection of an ssh on the source.

    Returns:
        The port.

    Raises:
        SshError: the source's sshd does not allow forwarding.
    """
    shell = source.shell

    def accept(channel: Any) -> None:
        threading.Thread(target=_join, args=(channel, target), name="tunnel", daemon=True).start()

    port = shell.forwarded(accept)
    try:
        yield port
    finally:
        with contextlib.suppress(MigrateError):
            shell.unforward(port)


def _join(channel: Any, target: Appliance) -> None:
    try:
        other = _to_sshd(target)
    except (OSError, MigrateError):
        channel.close()
        return
    back = threading.Thread(target=_copy, args=(other, channel), name="tunnel-back", daemon=True)
    back.start()
    _copy(channel, other)
    back.join(5.0)


def _to_sshd(target: Appliance) -> Any:
    """Connect to the target's sshd, directly or through its gateway."""
    host = target.host
    if host.gateway is None:
        return socket.create_connection((host.address, host.port), _CONNECT_TIMEOUT)
    return target.shell.open_tunnel("127.0.0.1", host.port)


def _copy(source: Any, target: Any) -> None:
    """Copy until one side closes, then close both: ssh does not need half-open connections."""
    source.settimeout(None)
    with contextlib.suppress(OSError, EOFError):
        while data := source.recv(1 << 18):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError, EOFError):
            if isinstance(end, socket.socket):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
