"""Where every stand-in starts."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import termios
from pathlib import Path

from . import files, net, power, proc, sudo
from .base import Shim


def on_terminal(shim: Shim) -> int:
    """Make stdin the controlling terminal of this session, then become the command; the lab's server uses it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.execvp(shim.argv[0], shim.argv)  # noqa: S606


SHIMS = {
    "sudo": sudo.run,
    "shutdown": power.shutdown,
    "reboot": power.reboot,
    "poweroff": power.poweroff,
    "halt": power.poweroff,
    "systemctl": power.systemctl,
    "service": power.service,
    "ip": net.ip,
    "ping": net.ping,
    "hostname": net.hostname,
    "ps": proc.ps,
    "pgrep": proc.pgrep,
    "pkill": proc.pkill,
    "killall": proc.pkill,
    "chown": files.chown,
    "chgrp": files.chown,
    "install": files.install,
    "stat": files.stat,
    "find": files.find,
    "id": files.identity,
    "whoami": files.identity,
    "df": files.df,
    "date": files.date,
}
HIDDEN = {"tscm-on-terminal": on_terminal}


def main(config: str, name: str, argv: list[str]) -> int:
    """Run one stand-in."""
    shim = Shim(json.loads(Path(config).read_text("utf-8")), name, argv)
    status = (SHIMS | HIDDEN)[name](shim)
    sys.stdout.flush()
    return status
