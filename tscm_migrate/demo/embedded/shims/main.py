"""Entry point of every replacement program, and what they share: configuration, control socket, the real programs."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from typing import Any, NoReturn


class Shim:
    """One call of a replacement program; `name` is the name by which it was called."""

    def __init__(self, config: dict[str, Any], name: str, argv: list[str]) -> None:
        self.config = config
        self.name = name
        self.argv = argv

    @property
    def is_root(self) -> bool:
        """Whether it was called by sudo."""
        return bool(os.environ.get("TSCM_LAB_ROOT"))

    def say(self, text: str) -> None:
        """Write a line to stdout."""
        sys.stdout.write(text + "\n")

    def complain(self, text: str) -> None:
        """Write a line to stderr."""
        sys.stderr.write(text + "\n")

    def ask_lab(self, op: str, **fields: Any) -> dict[str, Any]:
        """Send a request to the lab and wait for its reply (at most 30 s)."""
        import socket

        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(30)
            line.connect(self.config["control"])
            line.sendall(json.dumps({"op": op, "name": self.config["name"], **fields}).encode() + b"\n")
            reply = b""
            while not reply.endswith(b"\n"):
                piece = line.recv(65536)
                if not piece:
                    break
                reply += piece
        loaded: dict[str, Any] = json.loads(reply or b"{}")
        return loaded

    def real(self, name: str | None = None) -> str:
        """Return the path of the machine's own program; exit with 127 if it does not exist."""
        name = name or self.name
        for folder in self.config["real_path"].split(":"):
            if os.access(f"{folder}/{name}", os.X_OK):
                return f"{folder}/{name}"
        self.complain(f"{name}: not found")
        raise SystemExit(127)

    def become(self, args: list[str], name: str | None = None) -> NoReturn:
        """Replace this process by the machine's own program."""
        sys.stdout.flush()
        os.execv(self.real(name), [name or self.name, *args])  # noqa: S606


def main(config: str, name: str, argv: list[str]) -> int:
    """Run one replacement program."""
    with open(config, encoding="utf-8") as file:
        shim = Shim(json.load(file), name, argv)
    module, _, function = shim.config["shims"][name].rpartition(".")
    status: int = getattr(import_module(module), function)(shim)
    sys.stdout.flush()
    return status
