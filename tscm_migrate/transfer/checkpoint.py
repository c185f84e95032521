"""What has been read from a source that cannot hash, written down here: so a prefix is not read again to be verified.

A line of JSON every half MiB: how many bytes, and their SHA-256. The file is named after the source's name, the path,
the size and the time of the last change, so that it says nothing about an archive that was changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json

from tscm_migrate.util import private
from tscm_migrate.util.folders import state_folder

EVERY = 1 << 19


class Ledger:
    """The notes about one archive on one source; damaged lines count for nothing."""

    def __init__(self, *identity: object) -> None:
        name = hashlib.sha256(json.dumps([str(part) for part in identity]).encode()).hexdigest()[:32]
        self.path = state_folder() / "transfers" / f"{name}.jsonl"

    def add(self, size: int, sha256: str) -> None:
        """Write down that the first `size` bytes have this hash; a disk that is full costs the resume, not the copy."""
        with contextlib.suppress(OSError):
            private.folder(self.path.parent)
            private.append(self.path, json.dumps([size, sha256]) + "\n")

    def marks(self) -> dict[int, str]:
        """Size → SHA-256."""
        found: dict[int, str] = {}
        with contextlib.suppress(OSError, UnicodeDecodeError):
            for line in self.path.read_text(encoding="ascii").splitlines():
                with contextlib.suppress(ValueError, TypeError):
                    size, sha256 = json.loads(line)
                    found[int(size)] = str(sha256)
        return found

    def forget(self) -> None:
        """Remove the notes."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
