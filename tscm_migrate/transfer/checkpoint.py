"""Checkpoints of SFTP transfers: files on this workstation with the running SHA-256 of an archive.

With them, a prefix of a source that cannot hash need not be read again to be verified. Each line is a JSON list of a
number of bytes and their SHA-256; there is one for each half MiB. The file name is derived from the source, the path,
the size and the modification time, so that a changed archive has no checkpoint.
"""

from __future__ import annotations

import contextlib
import hashlib
import json

from tscm_migrate.util import private
from tscm_migrate.util.private import state_folder

EVERY = 1 << 19  # bytes between two lines


class Checkpoint:
    """The checkpoint of one archive on one source; damaged lines are ignored."""

    def __init__(self, *identity: object) -> None:
        name = hashlib.sha256(json.dumps([str(part) for part in identity]).encode()).hexdigest()[:32]
        self.path = state_folder() / "transfers" / f"{name}.jsonl"

    def add(self, size: int, sha256: str) -> None:
        """Store the SHA-256 of the first `size` bytes; if the disk is full, only the ability to resume is lost."""
        with contextlib.suppress(OSError):
            private.folder(self.path.parent)
            private.append(self.path, json.dumps([size, sha256]) + "\n")

    def marks(self) -> dict[int, str]:
        """Return all lines: size in bytes → SHA-256."""
        found: dict[int, str] = {}
        with contextlib.suppress(OSError, UnicodeDecodeError):
            for line in self.path.read_text(encoding="ascii").splitlines():
                with contextlib.suppress(ValueError, TypeError):
                    size, sha256 = json.loads(line)
                    found[int(size)] = str(sha256)
        return found

    def delete(self) -> None:
        """Delete the file."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
