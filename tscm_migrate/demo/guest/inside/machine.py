"""What the programs ask of the operating system: the interface's address, running updates."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import Machine


def address_of(machine: Machine, interface: str) -> tuple[str, int]:
    """The address and prefix length of an interface, as `ip` prints them; ends the program where there is none."""
    command = ["ip", "-4", "-o", "addr", "show", "dev", interface]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    found = re.search(r"inet (\d+\.\d+\.\d+\.\d+)/(\d+)", done.stdout)
    if not found:
        machine.fail(f"Interface {interface} not found or without an address; see --interface")
    return found[1], int(found[2])


def updates_running() -> int:
    """How many ts-update processes `ps` shows; used to mark archives that were made too early."""
    done = subprocess.run(["ps", "-A", "-o", "args="], check=False, capture_output=True, text=True, timeout=30)
    return sum(any(word.endswith("/ts-update") for word in line.split()[:4]) for line in done.stdout.splitlines())
