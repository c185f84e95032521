"""Temporary keyrings for gpg, in folders with short paths, because gpg-agent's socket is in them."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def gpg(home: Path, *argv: str, stdin: bytes = b"") -> bytes:
    command = ["gpg", "--homedir", str(home), "--batch", "--no-tty", "--pinentry-mode", "loopback", *argv]
    return subprocess.run(command, input=stdin, capture_output=True, check=True, timeout=60).stdout


def make_key(home: Path, name: str, *more: str) -> str:
    """Make a key pair without a passphrase, and return its fingerprint."""
    gpg(home, "--passphrase", "", "--quick-gen-key", name, "future-default", "default", *more)
    lines = gpg(home, "--list-keys", "--with-colons", name).decode().splitlines()
    return next(line.split(":")[9] for line in lines if line.startswith("fpr"))


@contextmanager
def keyring() -> Iterator[Path]:
    """Yield an empty keyring; its agent ends with the context, also after an error."""
    with tempfile.TemporaryDirectory(prefix="k", dir="/tmp") as folder:
        try:
            yield Path(folder)
        finally:
            subprocess.run(["gpgconf", "--homedir", folder, "--kill", "all"], check=False, timeout=100)
