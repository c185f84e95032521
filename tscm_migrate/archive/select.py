"""Which archives or copies are meant by `latest`, `all` or a name.

Selection is by the time at which an archive was made, never by a `latest` link (it may dangle) and never by a position
in a list (one archive can be listed twice).
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

from tscm_migrate.archive.names import when
from tscm_migrate.errors import ArchiveMissing
from tscm_migrate.model import Archive, Host
from tscm_migrate.util.redact import outside
from tscm_migrate.util.text import suggestion

LATEST, ALL = "latest", "all"
Item = TypeVar("Item")


def select(
    items: Iterable[Item], wanted: str, names: Callable[[Item], Collection[str]], order: Callable[[Item], Any]
) -> tuple[Item, ...]:
    """Return the selected items, the newest first; () if no item matches.

    Args:
        items: from which.
        wanted: "latest", "all", or a name.
        names: all names of an item.
        order: sort key; the greatest is the latest.
    """
    newest_first = sorted(items, key=order, reverse=True)
    if wanted == LATEST:
        return tuple(newest_first[:1])
    return tuple(item for item in newest_first if wanted == ALL or wanted in names(item))


def newest_first(archives: Iterable[Archive]) -> tuple[Archive, ...]:
    """Return the archives, the one that was made last first, each name once; of two files the first is taken."""
    first: dict[str, Archive] = {}
    for archive in archives:
        first.setdefault(archive.name, archive)
    return select((a for a in first.values() if when(a)), ALL, _names, _made)


def newest(archives: Iterable[Archive]) -> Archive | None:
    """Return the archive that was made last, or None."""
    return next(iter(newest_first(archives)), None)


def chosen(archives: Iterable[Archive], wanted: str, host: Host) -> tuple[Archive, ...]:
    """Return the archives of an appliance that are meant, the newest first.

    Args:
        archives: that the appliance has; the backup folder's before the home folder's.
        wanted: "latest", "all", or the name of an archive.
        host: the appliance.

    Raises:
        ArchiveMissing: there is no such archive.
    """
    there, folder = newest_first(archives), host.paths.backup_dir
    found = select(there, wanted, _names, _made)
    if not found:
        if not there:
            which = "none at all" if wanted in (LATEST, ALL) else f"{outside(wanted, 80)}, nor any other one,"
            raise ArchiveMissing(host.name, f"{which} in {folder}; make one on it: tsadmin backup")
        near = suggestion(wanted, [archive.name for archive in there])
        raise ArchiveMissing(host.name, f"{outside(wanted, 80)} in {folder}{near}")
    return found


def _names(archive: Archive) -> tuple[str, ...]:
    return (archive.name,)


def _made(archive: Archive) -> Any:
    return when(archive), archive.name
