"""What the simulated programs read from their appliance: address, running updates, configured devices."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import Machine


def address_of(machine: Machine, interface: str) -> tuple[str, int]:
    """Return the address and prefix length of an interface from `ip`; end the program if it has no address."""
    command = ["ip", "-4", "-o", "addr", "show", "dev", interface]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    found = re.search(r"inet (\d+\.\d+\.\d+\.\d+)/(\d+)", done.stdout)
    if not found:
        machine.fail(f"Interface {interface} not found or without an address; see --interface")
    return found[1], int(found[2])


def updates_running(machine: Machine) -> int:
    """Return the number of this appliance's ts-update processes in `ps`, to mark archives that were made too early."""
    root = str(machine.path("bin").parents[2]).rstrip("/") + "/"  # several appliances may run on one machine
    done = subprocess.run(["ps", "-A", "-o", "args="], check=False, capture_output=True, text=True, timeout=30)
    lines = [line.split()[:4] for line in done.stdout.splitlines()]
    return sum(any(word.startswith(root) and word.endswith("/ts-update") for word in words) for words in lines)


_LABELS = {
    "asa": "Cisco ASA", "isr": "Cisco ISR", "firepower": "Cisco Firepower", "pan": "Palo Alto Networks",
    "panos": "Palo Alto Networks", "fortinet": "Fortinet Fortigate", "nios": "Infoblox NIOS", "a10": "A10 Networks",
    "checkpoint": "Check Point", "bind": "ISC BIND 9",
}  # fmt: skip


def device_label(kind: str) -> str:
    """Return the vendor's label for a type of device."""
    return _LABELS.get(kind, kind)


def device_names(machine: Machine) -> list[str]:
    """Return the configured devices."""
    folder = machine.path("devices")
    return sorted(path.parent.name for path in folder.glob("*/device.json"))


def device_settings(machine: Machine, name: str) -> dict[str, Any]:
    """Return the content of a device's file."""
    loaded: dict[str, Any] = json.loads(machine.path("devices").joinpath(name, "device.json").read_text("utf-8"))
    return loaded
