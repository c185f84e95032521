"""The largest amount of memory that a process has used."""

from __future__ import annotations

from pathlib import Path


def peak_kib() -> int:
    """Return the peak of this process in KiB; `ru_maxrss` would begin with that of the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
