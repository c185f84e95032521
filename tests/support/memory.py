"""Peak memory of this process."""

from __future__ import annotations

from pathlib import Path


def peak_kib() -> int:
    """Return the peak memory of this process in KiB; `ru_maxrss` could be the peak of its parent process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
