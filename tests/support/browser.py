"""A page in a real browser: Debian's chromium, headless, with a profile of its own and no word to anybody."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-sync", "--disable-component-update", "--disable-quic",
)  # fmt: skip


def missing() -> bool:
    return shutil.which("chromium") is None


def dom(page: Path, profile: Path) -> str:
    """What the page is after its scripts, if it has any, have run."""
    command = ["chromium", *FLAGS, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    return done.stdout
