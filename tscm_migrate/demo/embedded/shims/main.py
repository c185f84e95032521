"""Entry point of every replacement program."""

from __future__ import annotations

import json
import sys
from importlib import import_module

from .base import Shim

# name of the program → module and function
SHIMS = {
    "sudo": "sudo.run",
    "shutdown": "power.shutdown",
    "reboot": "power.reboot",
    "poweroff": "power.poweroff",
    "halt": "power.poweroff",
    "systemctl": "power.systemctl",
    "service": "power.service",
    "ip": "net.ip",
    "ping": "net.ping",
    "hostname": "net.hostname",
    "ps": "proc.ps",
    "pgrep": "proc.pgrep",
    "pkill": "proc.pkill",
    "killall": "proc.pkill",
    "chown": "files.chown",
    "chgrp": "files.chown",
    "install": "files.install",
    "stat": "files.stat",
    "find": "files.find",
    "id": "files.identity",
    "whoami": "files.identity",
    "df": "files.df",
    "date": "files.date",
}
HIDDEN = {"tscm-on-terminal": "power.on_terminal"}


def main(config: str, name: str, argv: list[str]) -> int:
    """Run one replacement program."""
    with open(config, encoding="utf-8") as file:
        shim = Shim(json.load(file), name, argv)
    module, function = (SHIMS | HIDDEN)[name].split(".")
    status: int = getattr(import_module(f".{module}", __package__), function)(shim)
    sys.stdout.flush()
    return status
