"""`demo`: a migration between two simulated appliances on this machine, or a shell to try the commands in."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import UsageError
from tscm_migrate.tasks.base import command
from tscm_migrate.ui.console import as_it_is, say
from tscm_migrate.util.text import duration_text

if TYPE_CHECKING:
    from tscm_migrate.demo.embedded import EmbeddedLab


@command(
    help={
        "interactive": "Open a shell in which you can try the commands on both appliances.",
        "keep": "Keep the files of the simulated appliances.",
    }
)
def demo(_context: Any, interactive: bool = False, keep: bool = False) -> int:
    """Migrate between two simulated appliances on this machine.

    Uses real SSH and changes nothing else. The appliances listen on the loopback addresses 127.0.1.43 and 127.0.1.50
    until the migration has ended. Checks and waits are the same as for real appliances. With --interactive, a shell
    opens in which you plan, migrate, interrupt, resume and roll back yourself.

    Examples:
        tscm-migrate demo
        tscm-migrate demo --interactive
    """
    if os.name == "nt":
        raise UsageError("the simulated appliances need Linux or macOS", "run it there, for example in WSL")
    if importlib.util.find_spec("asyncssh") is None:
        raise UsageError("the simulated appliances need asyncssh", "pip install 'tscm-migrate[lab]'")
    from tscm_migrate.demo import embedded, playground
    from tscm_migrate.demo.base import NEW, OLD, Profile

    reason = embedded.available()
    if reason:
        raise UsageError(f"the demo cannot run here: {reason}")
    folder = Path(tempfile.mkdtemp(prefix="tscm-demo-"))
    began = time.monotonic()
    phrase = secrets.token_urlsafe(12)
    with embedded.EmbeddedLab(folder, Profile(**OLD), Profile(**NEW)) as lab:
        _say(f"two appliances are up after {duration_text(time.monotonic() - began)}, in {folder}")
        if interactive:
            as_it_is(playground.INTRODUCTION)
            status = playground.run(lab, phrase)
        else:
            status = _migrate(lab, phrase)
    if not keep:
        for name in ("old", "new"):
            shutil.rmtree(folder / name, ignore_errors=True)
    reports = sorted(folder.glob("workstation/**/report.html"))
    _say("the appliances have been removed")
    _say(f"the report: {reports[-1]}" if reports else f"the state folder: {folder / 'workstation'}")
    if not interactive:
        took = duration_text(time.monotonic() - began)
        _say(f"the demo took {took}; with two real appliances, begin with: {_named()} init")
    return status


def _named() -> str:
    """Return how the tool is called from this shell: by its name, or by its path if it is not on PATH."""
    installed = Path(sys.executable).parent / "tscm-migrate"
    return "tscm-migrate" if shutil.which("tscm-migrate") or not installed.is_file() else str(installed)


def _migrate(lab: EmbeddedLab, phrase: str) -> int:
    """Run the tool in a process of its own, as a user would."""
    words = ["migrate", "--from", "tscm-old", "--to", "tscm-new", "--yes"]
    _say(f"tscm-migrate {' '.join(words)}")
    argv = [sys.executable, "-m", "tscm_migrate", *words]
    return subprocess.run(argv, env={**lab.env(), "TSCM_PASSPHRASE": phrase}, check=False, timeout=600).returncode


def _say(text: str) -> None:
    say(f"demo: {text}")
