"""`python -m tests.harness.namespaces --cleanup`: end labs that still run after the process that started them."""

from __future__ import annotations

import os
import signal
import sys

from tests.harness.namespaces.controller import leftovers


def main(arguments: list[str]) -> int:
    """Kill the controller process of each leftover lab; its processes, mounts and networks end with it."""
    if arguments != ["--cleanup"]:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    for pid, folder in leftovers().items():
        os.kill(pid, signal.SIGKILL)
        sys.stdout.write(f"ended the lab in {folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
