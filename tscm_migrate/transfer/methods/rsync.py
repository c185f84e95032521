"""METHOD 1 as it can work: rsync runs on the old one and writes to the new one, directly or through a tunnel of ours.

rsync cannot have two remote ends, so it runs on the source, with a key that is made for this transfer. The source's
rsync is asked beforehand which command it will want at the target. Only the one command that our own call leads to is
accepted, and what runs at the target is written here (see `authorise`). How much is right already is decided by our own
hashes, so rsync only appends.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tscm_migrate.appliance.appliance import quote
from tscm_migrate.errors import CommandFailed, ConnectionLost, TalkativeLogin, TransferError
from tscm_migrate.transfer import relay
from tscm_migrate.transfer.authorise import Opens, authorised, key_on
from tscm_migrate.transfer.base import MethodCaps, Sent, TransferJob
from tscm_migrate.transfer.methods.tar import ShellEnds, ends_of
from tscm_migrate.transfer.pump import Meanwhile, Teller
from tscm_migrate.transfer.tunnel import tunnel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tscm_migrate.model import Archive
    from tscm_migrate.ssh.stream import StreamReader
    from tscm_migrate.transfer.authorise import Key

_PATIENCE = 180.0
_LOST = (10, 12, 30, 35, 255)  # rsync's and ssh's own words for a connection that failed
_SHOWN = re.compile(rb"^\s*([\d,.]+)\s+\d+%")
# The capabilities that rsync 3.0 to 3.5 name in -e; "i" (recursion in steps) is none of a single file's.
_CAPABLE = re.compile(r"-e(?:\.|[0-9]+\.[0-9]+)[LsfxCIvu]*\Z")

_ASK = 'while [ "$1" != rsync ]; do shift || exit 1; done; echo "$*" >&2; exit 1'  # stands in for ssh


class Rsync:
    """See the module."""

    caps: ClassVar[MethodCaps] = MethodCaps(
        ("direct", "relay"), frozenset({"shell", "rsync", "ssh"}), frozenset({"shell", "rsync"})
    )

    def send(self, job: TransferJob) -> tuple[Sent, ...]:
        """See Method."""
        ends = ends_of(job, "rsync")
        sent = []
        with contextlib.ExitStack() as stack:
            made: _Way | None = None
            for given in job.archives:
                archive, offset = relay.start(job, given)
                if offset is None:
                    sent.append(Sent(archive, 0, kept=True))
                    continue
                if offset < archive.size or archive.size == 0:
                    made = made or stack.enter_context(_way(ends, job))
                    made.copy(archive, offset)
                relay.finish(job, archive)
                sent.append(Sent(archive, archive.size - offset, offset))
        return tuple(sent)


@contextlib.contextmanager
def _way(ends: ShellEnds, job: TransferJob) -> Iterator[_Way]:
    """A key, and how the source reaches the target with it."""
    source, target = ends.source.appliance, ends.target.appliance
    addresses = Meanwhile(lambda: _addresses(ends)) if job.route == "direct" else None
    with key_on(source, target) as key:
        if addresses is not None:
            yield _Way(ends, job, key, target.host.address, target.host.port, addresses.result())
        else:
            with tunnel(source, target) as port:
                yield _Way(ends, job, key, "127.0.0.1", port, _as_seen(ends))


def _addresses(ends: ShellEnds) -> tuple[str, ...]:
    """The source's addresses; where something translates them on the way, the target refuses, and we go another way."""
    text = ends.source.appliance.run(
        "ip -o addr show 2>/dev/null || hostname -I", check=False, display="addresses"
    ).stdout
    found = re.findall(r"\binet6? ([0-9a-fA-F:.]+)", text) or text.split()
    return tuple(dict.fromkeys(address for address in found if _is_address(address)))[:64]


def _as_seen(ends: ShellEnds) -> tuple[str, ...]:
    """Where the target sees us, and its own loopback for what comes through a gateway."""
    told = ends.target.appliance.run('echo "$SSH_CONNECTION"', display="echo $SSH_CONNECTION").stdout.split()
    return tuple(address for address in (*told[:1], "127.0.0.1", "::1") if _is_address(address))


def _is_address(text: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class _Way:
    """One authorised way from source to target."""

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
        """The partial file as the target's rsync sees it."""
        part = self.ends.target.part(archive).rpartition("/")[2]
        return f"{self.key.landing(self.ends.target.appliance)}/{part}"

    def _words(self, archive: Archive, shell: str) -> str:
        """The rsync command. --append: our hashes have said that what is there is right."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        there = f"{self.ends.target.appliance.host.user}@{address}:{self._landed(archive)}"
        return (
            f"rsync --append --timeout=120 {' '.join(self._limit)} --info=progress2 --outbuf=N -e {quote(shell)} "
            f"-- {quote(archive.path)} {quote(there)}"
        )

    def _opens(self, archive: Archive) -> Opens:
        """What the source's rsync will ask the target for, and what runs there instead of it."""
        printer = f"{self.key.folder}/ask"
        source = self.ends.source.appliance
        told = source.run(
            f"printf '%s\\n' {quote(_ASK)} > {printer}; "
            f"{self._words(archive, f'sh {printer}')} 2>&1 >/dev/null </dev/null; true",
            display="ask rsync what it will ask for",
        ).stdout
        part = self._landed(archive)
        for asked in (line.strip() for line in told.splitlines()[:100]):
            options, _, path = asked.partition(" . ")
            first, second, capable, *long = [*options.split(" "), "", "", ""]
            wanted = sorted(("--timeout=120", "--append", *self._limit))
            exact = (first, second, path) == ("rsync", "--server", part) and sorted(filter(None, long)) == wanted
            if exact and _CAPABLE.match(capable):
                run = f"rsync --server {capable} {' '.join(wanted)} . {quote(part)}"
                return Opens(asked, run, self.ends.target.part(archive), archive.size)
        raise TransferError(
            f"the rsync of {source.name} asks for something unexpected: {told.strip()[:300]!r}",
            "use another method: --method tar",
        )

    def copy(self, archive: Archive, offset: int) -> None:
        """Let rsync append what is missing."""
        opens = self._opens(archive)
        teller = Teller(self.job.emit, archive.name, archive.size, offset)
        source = self.ends.source.appliance
        pid = f"{self.key.folder}/pid"
        script = f"echo $$ > {pid}; exec {self._words(archive, self.key.ssh(self.port))}"
        sudo = self.ends.source.root_reads(archive)
        with (
            authorised(self.ends.target.appliance, self.key, self.seen_as, opens, self.job.lent),
            source.shell.reader(script, sudo=sudo, idle=_PATIENCE, display=f"rsync {archive.name}") as reader,
        ):
            _follow(reader, teller)
            try:
                reader.finish(timeout=60.0)
            except CommandFailed as error:
                raise self._failed(error) from error

    def _failed(self, error: CommandFailed) -> TransferError | ConnectionLost:
        """What rsync's end means."""
        source, target = self.ends.source.appliance, self.ends.target.appliance
        said = error.output.strip()[-300:]
        if error.status in _LOST:
            return ConnectionLost(source.name, f"rsync to {self.address}: {said}")
        if "shell clean" in said:
            talk = f"the login of {target.name} prints something, which rsync cannot tell from its own words"
            return TransferError(talk, TalkativeLogin.advice)
        return TransferError(f"rsync on {source.name} failed: {said}")


def _follow(reader: StreamReader, teller: Teller) -> None:
    """Turn rsync's progress lines into events."""
    rest = b""
    for chunk in reader:
        lines = re.split(rb"[\r\n]", (rest + chunk)[-4096:])
        rest = lines.pop()
        for line in lines:
            if match := _SHOWN.match(line):
                teller.at(min(teller.total, max(teller.done, int(re.sub(rb"\D", b"", match[1])))))
