"""Replaces df on an appliance whose disk is nearly full."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tscm_migrate.demo.embedded.shims.main import Shim


def df(shim: Shim) -> int:
    """Run the real `df`, or print the free space of the profile."""
    free = shim.config["disk_free"]
    if free is None:
        shim.become(shim.argv)
    unit = 1 if "-B1" in shim.argv or "--block-size=1" in shim.argv else 1024
    left = free // unit
    columns = next((word.partition("=")[2] for word in shim.argv if word.startswith("--output=")), "")
    for path in [word for word in shim.argv if word.startswith("/")] or ["/"]:
        if columns == "avail":
            shim.say(f"Avail\n{left}")
        else:
            shim.say("Filesystem 1024-blocks Used Available Capacity Mounted on")
            shim.say(f"/dev/sda1 {left * 10} {left * 9} {left} 90% {path}")
    return 0
