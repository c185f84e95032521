"""Archives for tests without an appliance."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tscm_migrate.archive import names

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PASSPHRASE_HEAD = (
    bytes.fromhex("8c0d0409") + b"\x03\x02" + bytes(9) + b"\xd2\xff"
)  # the first bytes of the output of gpg --symmetric


def name_of(when: datetime, *, gpg: bool = True) -> str:
    return f"threatstop_backup_{when:%Y-%m-%d_%H_%M_%S}.tsbak{'.gpg' if gpg else ''}"


@dataclass
class Given:
    """Bytes as an incoming archive; can fail in the middle, or have a wrong size or hash."""

    body: bytes
    host: str = "tscm-a"
    archive: str = "threatstop_backup_2026-02-28_04_00_00.tsbak.gpg"
    versions: dict[str, str] = field(default_factory=lambda: {"TSCM-Core": "1.50-01"})
    os: str = "Ubuntu 20.04.6 LTS"
    size: int = -1
    sha256: str = ""
    dies_after: int | None = None
    chunk: int = 1 << 18

    def __post_init__(self) -> None:
        self.size = len(self.body) if self.size < 0 else self.size
        self.sha256 = self.sha256 or hashlib.sha256(self.body).hexdigest()

    @property
    def taken_at(self) -> datetime:
        when = names.taken_at(self.archive)
        assert when
        return when

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self.body), self.chunk):
            if self.dies_after is not None and start >= self.dies_after:
                raise ConnectionResetError("cut by the test")
            yield self.body[start : start + self.chunk]

    def finish(self) -> str:
        return self.sha256


def encrypted(size: int, seed: int = 1) -> bytes:
    """Return bytes that look like an archive encrypted with a passphrase."""
    return PASSPHRASE_HEAD + random.Random(seed).randbytes(size)


def plain(size: int, seed: int = 1) -> bytes:
    """Return bytes that look like an archive that is not encrypted."""
    return b"\x1f\x8b\x08\x00" + random.Random(seed).randbytes(size)
