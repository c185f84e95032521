"""The public functions of transfers: copy between two appliances, pull, push, and clean up after a killed transfer."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from tscm_migrate.appliance import archives
from tscm_migrate.appliance.appliance import Appliance, quote
from tscm_migrate.archive import select
from tscm_migrate.errors import CommandFailed, ConnectionLost, MigrateError, TransferError, TransferKeyMisused
from tscm_migrate.events import Emit, Message, silent
from tscm_migrate.model import Archive
from tscm_migrate.transfer import authorise
from tscm_migrate.transfer.base import Sent, Source, TransferJob
from tscm_migrate.transfer.endpoints.folder import FolderEnd
from tscm_migrate.transfer.endpoints.sftp import SftpEnd
from tscm_migrate.transfer.endpoints.shell import ShellEnd
from tscm_migrate.transfer.methods import METHODS
from tscm_migrate.transfer.relay import check_name
from tscm_migrate.transfer.routing import RouteChoice, RoutingInput, choose, needs_probe

_TOOLS = ("rsync", "ssh", "tar")


@dataclass(frozen=True)
class TransferOptions:
    """Options of a transfer.

    Attributes:
        method: a name in METHODS, or auto.
        route: direct, relay or auto.
        limit: bytes a second; 0: no limit.
        spool: a local folder for each copy in between; only for sftp.
    """

    method: str = "auto"
    route: str = "auto"
    limit: float = 0.0
    spool: Path | None = None


def tools(appliance: Appliance) -> frozenset[str]:
    """Return what the appliance has for a transfer: "sftp", and "shell" and programs if it has a shell."""
    script = f"echo shell; for t in {' '.join(_TOOLS)}; do command -v $t >/dev/null 2>&1 && echo $t; done; true"
    result = appliance.run(script, check=False, display="look for rsync, ssh and tar")
    found = frozenset(result.stdout.split()) & {"shell", *_TOOLS}
    return (found if "shell" in found else frozenset()) | {"sftp"}


def reaches(source: Appliance, target: Appliance) -> bool:
    """Return whether the source can connect to the target's SSH port; takes 15 seconds at most."""
    host, port = quote(target.host.address), target.host.port
    probe = f"timeout 6 bash -c 'exec 3<>/dev/tcp/$0/{port}' {host}"
    script = f"if command -v bash >/dev/null 2>&1; then {probe}; else nc -z -w 6 {host} {port}; fi 2>/dev/null"
    return source.run(script, check=False, timeout=15.0, display=f"reach {host}:{port}").status == 0


def decide(source: Appliance, target: Appliance, options: TransferOptions, size: int | None = None) -> RouteChoice:
    """Inspect both appliances, and choose method and route.

    Raises:
        UsageError: no method is possible. SshError: a connection failed.
    """
    with ThreadPoolExecutor(2, thread_name_prefix="tools") as pool:
        here, there = pool.map(tools, (source, target))
    known = RoutingInput(here, there, options.method, options.route, None, size)
    return choose(replace(known, reaches=reaches(source, target)) if needs_probe(known) else known)


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

    If the chosen method fails, and no method was requested, the next one resumes the partial files.

    Args:
        source: where the archives are.
        target: where the copies go.
        archives: which.
        options: method, route and limit.
        emit: gets progress events and messages.
        lent: called with the location of a lent key before it can be used, and with {} after its removal.

    Raises:
        UsageError: no method is possible.
        TransferError: an archive could not be copied; no incomplete or wrong copy has a final name.
        SshError: a connection failed; partial files stay, and the same call resumes them.
        TransferKeyMisused: the lent key was used for something else; no other method is tried.
    """
    choice = decide(source, target, options, sum(archive.size for archive in archives))
    emit(Message(f"copying by {choice.text()}", "warning" if choice.warn else "info"))
    routes = ((choice.method, choice.route), *choice.fallbacks)
    for number, (method, route) in enumerate(routes, 1):
        ends = _ends(source, target, method)
        job = TransferJob(
            *ends, tuple(archives), route, options.limit, options.spool if method == "sftp" else None, emit, lent=lent
        )
        try:
            return METHODS[method].send(job)
        except (TransferError, CommandFailed, ConnectionLost) as error:
            if number == len(routes) or method != "rsync":
                raise
            emit(Message(f"{method}, {route} failed: {error}; trying {routes[number][0]}", "warning"))
    raise AssertionError("a choice has at least one method")


def _ends(source: Appliance, target: Appliance, method: str) -> tuple[ShellEnd | SftpEnd, ShellEnd | SftpEnd]:
    if method != "sftp":
        return ShellEnd(source), ShellEnd(target)
    return end(source, sftp=True), end(target, sftp=True)


def end(appliance: Appliance, *, sftp: bool = False) -> ShellEnd | SftpEnd:
    """Return the endpoint for an appliance; `sftp`: transfer the bytes by SFTP also if it has a shell."""
    return ShellEnd(appliance, sftp=sftp) if "shell" in tools(appliance) else SftpEnd(appliance)


def listed(appliance: Appliance) -> tuple[Archive, ...]:
    """Return the archives of an appliance, the newest first, each name once.

    Raises:
        ListingFailed: the listing failed, or the backup folder does not exist.
    """
    where = end(appliance)
    found = where.listed() if isinstance(where, SftpEnd) else archives.listed(appliance, folder_needed=True)
    return select.newest_first(found)


def chosen(appliance: Appliance, wanted: str) -> tuple[Archive, ...]:
    """Return the archives of an appliance that `wanted` names: "latest", "all" or a file name.

    Raises:
        ListingFailed: as `listed`. ArchiveMissing: there is no such archive.
    """
    return select.chosen(listed(appliance), wanted, appliance.host)


def pull(
    source: Appliance, archives: Sequence[Archive], folder: Path, *, limit: float = 0.0, emit: Emit = silent,
    sftp: bool = False,
) -> tuple[Sent, ...]:  # fmt: skip
    """Copy archives of an appliance to a local folder; raises the errors of `copy`."""
    job = TransferJob(end(source, sftp=sftp), FolderEnd(folder), tuple(archives), "relay", limit, None, emit)
    return METHODS["pull"].send(job)


def push(
    path: Path, target: Appliance, *, limit: float = 0.0, emit: Emit = silent, sftp: bool = False
) -> tuple[Sent, ...]:
    """Copy a local archive file to the backup folder of an appliance; raises the errors of `copy`."""
    check_name(path.name)
    size = path.stat().st_size if path.is_file() else 0
    if path.is_file() and not size:
        raise TransferError(f"{path} is empty; nothing was copied", "use another archive: this one restores nothing")
    archive = Archive(path.name, str(path.parent), size)
    return bring(FolderEnd(path.parent), archive, target, limit=limit, emit=emit, sftp=sftp)


def bring(
    source: Source, archive: Archive, target: Appliance, *, limit: float = 0.0, emit: Emit = silent, sftp: bool = False
) -> tuple[Sent, ...]:
    """Copy an archive from any source to the backup folder of an appliance; raises the errors of `copy`."""
    job = TransferJob(source, end(target, sftp=sftp), (archive,), "relay", limit, None, emit)
    return METHODS["push"].send(job)


def leftovers(*appliances: Appliance) -> None:
    """Remove keys and folders that a killed transfer has left; partial files stay.

    Raises:
        TransferKeyMisused: a key was used for something else.
    """
    with ThreadPoolExecutor(max(len(appliances), 1), thread_name_prefix="leftovers") as pool:
        for _ in pool.map(_clear, appliances):
            pass


def _clear(appliance: Appliance) -> None:
    try:
        authorise.leftovers(appliance)
    except TransferKeyMisused:
        raise
    except MigrateError as error:
        text = f"{appliance.name}: keys and folders of earlier transfers could not be looked for: {error}"
        appliance.emit(Message(text, "warning"))
