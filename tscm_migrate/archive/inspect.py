"""Extracts facts of an appliance from its archive, in memory: host keys, network settings, hashes of files.

They replace the facts of an appliance that is dead. Facts that are not found stay empty: no layout of an archive is
documented.
"""

import fnmatch
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from tscm_migrate.appliance import parsers
from tscm_migrate.archive import compression, contents, network_config
from tscm_migrate.archive.devices import ConfigTexts, recognise
from tscm_migrate.errors import ArchiveRefused
from tscm_migrate.model import Paths

_NETWORK = ("*network/interfaces", "*network/interfaces.d/*", "*netplan/*.yaml", "*network-scripts/ifcfg-*")
_LONGEST = 1 << 16  # bytes of a file that is read as text
_MOST = 200  # number of such files; an archive is hostile input
_SECRET = ("*pass*", "*secret*", "*gpg*", "*.key")  # `devices.file_hashes` leaves them out, too


@dataclass(frozen=True)
class ArchiveFacts:
    """The facts; `files`: path below the etc folder → SHA-256, as `devices.file_hashes` returns it.

    `why`: the archive could be decrypted to its end, but not be listed, for this reason.
    """

    why: str = ""
    host_keys: tuple[tuple[str, str], ...] = ()
    network: network_config.Saved = field(default_factory=network_config.Saved)
    hostname: str = ""
    cron_text: str = ""
    devices: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


def read(chunks: Iterator[bytes], paths: Paths, *, packed: int = 0) -> ArchiveFacts:
    """Read a decrypted archive to its end.

    Args:
        chunks: as `fetch.opened` returns them.
        paths: of the appliance's files.
        packed: size of the archive as stored, if it is known.

    Raises:
        ArchiveRefused: it would fill memory, disk or time.
        OffsiteError: raised by `chunks`: a wrong passphrase, damage.
    """
    seen = _Seen(paths)
    try:
        walked = contents.walk(chunks, seen, packed=packed)
    except contents.BROKEN as error:
        walked = contents.Walked(f"it is not a tar that could be listed ({type(error).__name__})")
    if walked.refused:
        raise ArchiveRefused(walked.why)
    try:
        contents.drain(chunks, packed=packed)
    except compression.ArchiveBomb as error:
        raise ArchiveRefused(f"archive refused: {error}") from error
    keys = parsers.host_keys("\n".join(seen.of("*ssh_host_*_key.pub").values()), paths)["host_keys"]
    return ArchiveFacts(
        walked.why,
        tuple(keys),
        network_config.settings({path: text for pattern in _NETWORK for path, text in seen.of(pattern).items()}),
        next(iter("".join(seen.of("*etc/hostname").values()).split()), ""),
        "".join(seen.of(_cron(paths)).values()),
        recognise(walked.names, paths, texts=seen.config.texts).names,
        device_files(seen.hashes, paths.device_glob),
    )


def device_files(hashes: Mapping[str, str], device_glob: str) -> dict[str, str]:
    """Return the files that match the device pattern or are below; if none does, all but hidden and secret files."""
    depth = len(PurePosixPath(device_glob).parts)
    chosen = {
        path: digest
        for path, digest in hashes.items()
        if fnmatch.fnmatchcase("/".join(PurePosixPath(path).parts[:depth]), device_glob)
        and len(PurePosixPath(path).parts) >= depth
    }
    return chosen or {
        path: digest
        for path, digest in hashes.items()
        if not any(part.startswith(".") for part in PurePosixPath(path).parts)
        and not any(fnmatch.fnmatch(PurePosixPath(path).name.lower(), pattern) for pattern in _SECRET)
    }


def _cron(paths: Paths) -> str:
    return "*/" + "/".join(PurePosixPath(paths.cron_entry).parts[-2:])


class _Seen:
    """Keeps the texts that are parsed later, and hashes the files in the etc folder."""

    def __init__(self, paths: Paths) -> None:
        parts = PurePosixPath(paths.etc_dir).parts[1:]
        # Packed from the root or from a folder above it: at least its last two names must match.
        self._etc = [f"/{'/'.join(parts[at:])}/" for at in range(max(1, len(parts) - 1))]
        self._texts = (*_NETWORK, "*ssh_host_*_key.pub", "*etc/hostname", _cron(paths))
        self._kept: dict[str, str] = {}
        self.hashes: dict[str, str] = {}
        self.config = ConfigTexts()

    def __call__(self, name: str, chunks: Iterator[bytes]) -> None:
        path = "/" + name.removeprefix("./")
        below = next((path.partition(etc)[2] for etc in self._etc if etc in path), "")
        if below and not re.search(r"[\x00-\x1f]", below):
            start = next(chunks, b"")
            digest = hashlib.sha256(start)
            if self.config.wants(name):
                self.config.add(name, start)
            for chunk in chunks:
                digest.update(chunk)
            self.hashes[below] = digest.hexdigest()
        elif len(self._kept) < _MOST and any(fnmatch.fnmatchcase(path, pattern) for pattern in self._texts):
            body = next(chunks, b"")
            if len(body) <= _LONGEST:
                self._kept[path] = body.decode(errors="replace")

    def of(self, pattern: str) -> dict[str, str]:
        """Return the texts whose path matches."""
        return {path: text for path, text in self._kept.items() if fnmatch.fnmatchcase(path, pattern)}
