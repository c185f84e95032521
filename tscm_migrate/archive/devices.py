"""Recognises the devices that an archive contains. Pure.

No layout of an archive is documented. Two are known: a folder `devices` with a file or folder for each device, and the
etc folder of the appliance with a file NAME.conf for each device, beside files that are not devices. The second is
accepted only with a further sign, because `etc/x.conf` can be anything: the file's text names the device or its family,
or the inventory lists the device. For every other layout the answer is "unknown", never "none".
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from tscm_migrate.appliance.device_discovery import FAMILY, NO_DEVICE, etc_devices, in_tree
from tscm_migrate.appliance.parsers import without_ending
from tscm_migrate.model import Paths

_TEXT = 4096  # bytes of a file that are read as text
_TEXTS = 5000  # such files; an archive is hostile input
_SHOWN = 8  # names in a message
# A folder `etc` with one of these is that of the operating system.
_SYSTEM = frozenset(
    ("passwd", "group", "fstab", "hostname", "hosts", "resolv.conf", "os-release", "ssh", "cron.d", "network",
     "netplan", "sysconfig", "init.d", "systemd")
)  # fmt: skip
_CONFIG = re.compile(r".+\.(?:conf|cfg|json|xml|ya?ml|ini|txt)")
_SETTING = re.compile(r"^\W*[\w. -]*?(?:type|family|vendor|model|tdid|device)\w*\W*[:=]", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class ArchivedDevices:
    """The devices of an archive.

    Attributes:
        names: of the devices.
        known: the layout is known, so that no names means no devices.
        seen: where the layout is not known: the first names in the archive, or those that may be devices.
    """

    names: tuple[str, ...] = ()
    known: bool = False
    seen: tuple[str, ...] = ()

    @property
    def why_unknown(self) -> str:
        """Why it is not known whether there are devices; "" if it is known."""
        if self.names or self.known:
            return ""
        return f"its layout is not known (it contains {', '.join(self.seen) or 'nothing'})"


class ConfigTexts:
    """Keeps the first bytes of the files in etc folders, as `recognise` needs them."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def see(self, name: str, chunks: Iterator[bytes]) -> None:
        """Keep the text of a member; for `contents.walk`."""
        if self.wants(name):
            self.add(name, next(chunks, b""))

    def wants(self, name: str) -> bool:
        """Return whether the text of this member is needed."""
        path = PurePosixPath(name)
        return len(self.texts) < _TEXTS and path.parent.name == "etc" and _CONFIG.fullmatch(path.name) is not None

    def add(self, name: str, start: bytes) -> None:
        """Keep the first bytes of a member."""
        self.texts[name] = start[:_TEXT].decode(errors="replace")


def recognise(
    members: Sequence[str], paths: Paths, *, texts: Mapping[str, str] | None = None, listed: Collection[str] = ()
) -> ArchivedDevices:
    """Recognise the devices by the names of the members.

    Args:
        members: names in the archive; hostile input.
        paths: of the appliance: its etc folder and the pattern of its device files.
        texts: first bytes of files in etc folders, by member name (see `ConfigTexts`).
        listed: names of devices from the inventory or from the appliance.
    """
    names, folder_there = _in_folder(members, paths.device_glob)
    tree = in_tree(map(_plain, members)) if listed else frozenset()
    roots = _etc_folders(members, paths.etc_dir)
    maybe = {member: name for member in members if (name := _configured(member, roots))}
    confirmed = tree.intersection(listed) | _confirmed(maybe, listed, texts or {})
    found = tuple(dict.fromkeys([*names, *sorted(confirmed)]))
    # If the inventory lists devices and none is found, none is in it, under any layout.
    known = bool(found or folder_there or listed) or (bool(roots) and not maybe)
    return ArchivedDevices(found, known, () if known else _first(tuple(maybe.values()) or members))


def _confirmed(maybe: Mapping[str, str], listed: Collection[str], texts: Mapping[str, str]) -> set[str]:
    return {name for file, name in maybe.items() if name in listed or _is_device(name, texts.get(file, ""))}


def _configured(member: str, roots: Collection[str]) -> str:
    """Return the name of the device that a configuration file in an etc folder may be of; "" for other members."""
    path = PurePosixPath(_plain(member))
    fits = str(path.parent) in roots and _CONFIG.fullmatch(path.name) and not NO_DEVICE.fullmatch(path.name)
    return without_ending(path.name) if fits else ""


def _in_folder(members: Iterable[str], device_glob: str) -> tuple[tuple[str, ...], bool]:
    """Return the names in the folder of the device pattern, and whether there is such a folder."""
    folder = re.escape(device_glob.rsplit("/", 1)[0].rsplit("/", 1)[-1])
    pattern = re.compile(rf"(?:^|.*/){folder}(?:/(?P<name>[^/]+).*|/?)", re.DOTALL)
    found = [match for name in members if (match := pattern.fullmatch(name))]
    names: tuple[str, ...] = etc_devices("\n".join(match["name"] for match in found if match["name"]))["in_etc"]
    return names, bool(found)


def _etc_folders(members: Iterable[str], etc_dir: str) -> frozenset[str]:
    """Return the folders that are the appliance's etc folder, however much of its path was packed."""
    entries = [PurePosixPath(_plain(name)) for name in members]
    folders = {str(folder) for path in entries for folder in (path, path.parent)}
    parts = PurePosixPath(etc_dir).parts[1:]
    for start in range(len(parts)):
        ending = "/".join(parts[start:])
        fits = {folder for folder in folders if f"/{folder}".endswith(f"/{ending}")}
        if len(parts) - start == 1:  # only its last name, such as `etc`: the system's folder has the same
            fits -= _system_folders(entries)
        if fits:
            return frozenset(fits)
    return frozenset()


def _system_folders(entries: Iterable[PurePosixPath]) -> set[str]:
    """Return the folders that contain what only the system's etc folder has."""
    below = {path.parent for path in entries if path.name in _SYSTEM}
    return {str(folder) for folder in below | {path.parent.parent for path in entries if path.parent.name in _SYSTEM}}


def _is_device(name: str, text: str) -> bool:
    """Return whether the text of a configuration file says that it is of a device of this name."""
    words = set(re.findall(r"[\w.@-]+", text))
    return name in words or (any(FAMILY.fullmatch(word) for word in words) and _SETTING.search(text) is not None)


def _plain(name: str) -> str:
    return name.removeprefix("./").rstrip("/") or "."


def _first(names: Sequence[str]) -> tuple[str, ...]:
    """Return some names for a message: the first parts of their paths, printable."""
    tops = dict.fromkeys("/".join(PurePosixPath(_plain(name)).parts[:2]) for name in names[:1000])
    shown = ["".join(c if c.isprintable() else "?" for c in top)[:60] for top in tops if top != "."]
    return (*shown[:_SHOWN], *(["…"] if len(shown) > _SHOWN else []))
