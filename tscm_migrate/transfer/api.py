"""What the rooms above call: copy between two appliances, pull to a folder, push from one, clean up after a kill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tscm_migrate.appliance import archives
from tscm_migrate.appliance.appliance import quote
from tscm_migrate.archive import select
from tscm_migrate.errors import CommandFailed, ConnectionLost, KeyAbused, MigrateError, TransferError
from tscm_migrate.events import Emit, Said, silent
from tscm_migrate.model import Archive
from tscm_migrate.transfer import authorise
from tscm_migrate.transfer.base import Sent, TransferJob
from tscm_migrate.transfer.endpoints.folder import FolderEnd
from tscm_migrate.transfer.endpoints.sftp import SftpEnd
from tscm_migrate.transfer.endpoints.shell import ShellEnd
from tscm_migrate.transfer.methods import METHODS
from tscm_migrate.transfer.relay import check_name
from tscm_migrate.transfer.routing import RouteChoice, RoutingInput, choose

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tscm_migrate.appliance.appliance import Appliance
    from tscm_migrate.transfer.base import Source

_TOOLS = ("rsync", "ssh", "tar")


@dataclass(frozen=True)
class TransferOptions:
    """What was asked for. `limit` in bytes a second, 0: none; `spool`: a folder of this workstation, sftp only."""

    method: str = "auto"
    route: str = "auto"
    limit: float = 0.0
    spool: Path | None = None


def tools(appliance: Appliance) -> frozenset[str]:
    """What there is for a transfer; just "sftp" where no shell answers."""
    script = f"echo shell; for t in {' '.join(_TOOLS)}; do command -v $t >/dev/null 2>&1 && echo $t; done; true"
    said = appliance.run(script, check=False, display="look for rsync, ssh and tar")
    found = frozenset(said.stdout.split()) & {"shell", *_TOOLS}
    return (found if "shell" in found else frozenset()) | {"sftp"}


def reaches(source: Appliance, target: Appliance) -> bool:
    """Whether a TCP connection from the source to the target's sshd can be made; takes some seconds at most."""
    host, port = quote(target.host.address), target.host.port
    probe = f"timeout 6 bash -c 'exec 3<>/dev/tcp/$0/{port}' {host}"
    script = f"if command -v bash >/dev/null 2>&1; then {probe}; else nc -z -w 6 {host} {port}; fi 2>/dev/null"
    return source.run(script, check=False, timeout=15.0, display=f"reach {host}:{port}").status == 0


def decide(source: Appliance, target: Appliance, options: TransferOptions, size: int | None = None) -> RouteChoice:
    """Look at both, and choose.

    Raises:
        UsageError: there is no way. SshError: see there.
    """
    here, there = tools(source), tools(target)
    tried = reaches(source, target) if {"rsync"} <= here & there and options.route != "relay" else None
    return choose(RoutingInput(here, there, options.method, options.route, tried, size))


def copy(
    source: Appliance,
    target: Appliance,
    archives: Sequence[Archive],
    *,
    options: TransferOptions = TransferOptions(),
    emit: Emit = silent,
    lent: Callable[[dict[str, str]], None] = lambda _: None,
) -> tuple[Sent, ...]:
    """Copy archives from one appliance to another.

    Where the chosen way fails, and nothing else was asked for, the next one goes on from what is there already.

    Args:
        source: from where.
        target: to where.
        archives: which.
        options: how.
        emit: told of progress.
        lent: told where a key is before it is let in, and an empty dict when it has been removed.

    Raises:
        UsageError: there is no way. TransferError: an archive could not be copied; nothing wrong bears a final name.
        SshError: the unfinished copies stay, and the same call goes on from them.
        KeyAbused: see there; nothing else is tried.
    """
    choice = decide(source, target, options, sum(archive.size for archive in archives))
    emit(Said(f"copying by {choice.text()}", "warning" if choice.warn else "info"))
    ways = ((choice.method, choice.route), *choice.fallbacks)
    for number, (method, route) in enumerate(ways, 1):
        ends = _ends(source, target, method)
        job = TransferJob(
            *ends, tuple(archives), route, options.limit, options.spool if method == "sftp" else None, emit, lent=lent
        )
        try:
            return METHODS[method].send(job)
        except (TransferError, CommandFailed, ConnectionLost) as error:
            if number == len(ways) or method != "rsync":
                raise
            emit(Said(f"{method}, {route} does not work: {error}; trying {ways[number][0]}", "warning"))
    raise AssertionError("a choice has a way")


def _ends(source: Appliance, target: Appliance, method: str) -> tuple[ShellEnd | SftpEnd, ShellEnd | SftpEnd]:
    if method != "sftp":
        return ShellEnd(source), ShellEnd(target)
    return end(source, sftp=True), end(target, sftp=True)


def end(appliance: Appliance, *, sftp: bool = False) -> ShellEnd | SftpEnd:
    """The end that fits an appliance; `sftp`: bytes by SFTP also where there is a shell."""
    return ShellEnd(appliance, sftp=sftp) if "shell" in tools(appliance) else SftpEnd(appliance)


def listed(appliance: Appliance) -> tuple[Archive, ...]:
    """The archives of an appliance, the one that was made last first, each name once.

    Raises:
        ListingFailed: it could not be looked, or the backup folder does not exist.
    """
    where = end(appliance)
    found = where.listed() if isinstance(where, SftpEnd) else archives.listed(appliance, folder_needed=True)
    return select.newest_first(found)


def chosen(appliance: Appliance, wanted: str) -> tuple[Archive, ...]:
    """Return the archives of an appliance that are meant: "latest", "all" or a name.

    Raises:
        ListingFailed: as `listed`. ArchiveMissing: there is no such archive.
    """
    return select.chosen(listed(appliance), wanted, appliance.host)


def pull(
    source: Appliance, archives: Sequence[Archive], folder: Path, *, limit: float = 0.0, emit: Emit = silent,
    sftp: bool = False,
) -> tuple[Sent, ...]:  # fmt: skip
    """Fetch archives into a folder of this workstation; see `copy` for what is raised."""
    job = TransferJob(end(source, sftp=sftp), FolderEnd(folder), tuple(archives), "relay", limit, None, emit)
    return METHODS["pull"].send(job)


def push(
    path: Path, target: Appliance, *, limit: float = 0.0, emit: Emit = silent, sftp: bool = False
) -> tuple[Sent, ...]:
    """Bring an archive file to an appliance's backup folder; see `copy` for what is raised."""
    check_name(path.name)
    size = path.stat().st_size if path.is_file() else 0
    if path.is_file() and not size:
        raise TransferError(f"{path} is empty; nothing was copied", "take another archive: this one restores nothing")
    archive = Archive(path.name, str(path.parent), size)
    return bring(FolderEnd(path.parent), archive, target, limit=limit, emit=emit, sftp=sftp)


def bring(
    source: Source, archive: Archive, target: Appliance, *, limit: float = 0.0, emit: Emit = silent, sftp: bool = False
) -> tuple[Sent, ...]:
    """Bring an archive from wherever it is to an appliance's backup folder; see `copy` for what is raised."""
    job = TransferJob(source, end(target, sftp=sftp), (archive,), "relay", limit, None, emit)
    return METHODS["push"].send(job)


def leftovers(*appliances: Appliance) -> None:
    """Remove keys and folders that a transfer, killed before it could, has left; an unfinished copy stays.

    Raises:
        KeyAbused: see there.
    """
    for appliance in appliances:
        try:
            authorise.leftovers(appliance)
        except KeyAbused:
            raise
        except MigrateError as error:
            appliance.emit(Said(f"{appliance.name}: could not look for leftovers of a transfer: {error}", "warning"))
