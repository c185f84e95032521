"""Every transfer method of this tool with files of many sizes: is what arrives right, and how much memory does it take?

    python -m benchmarks.sizes --memory            1 MiB to 4 GiB: peak memory of the workstation's process
    python -m benchmarks.sizes --edges 20          2²⁹−1, 2²⁹, 2²⁹+1 bytes, twenty times: paramiko rekeys at 2²⁹

Each transfer runs in a process of its own, and the SHA-256 of what has arrived is compared with what was written.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.hosts import station
from benchmarks.transfers import Bench, random_file

WAYS = ("pull", "pull-sftp", "push", "relay", "relay-sftp")
MEMORY = (1 << 20, 1 << 24, 1 << 28, 1 << 30, 1 << 32)
EDGES = ((1 << 29) - 1, 1 << 29, (1 << 29) + 1)


def measure(folder: Path, sizes: tuple[int, ...], rounds: int, ways: list[str]) -> int:
    """Print a line a size and way; how many were wrong."""
    wrong = 0
    with contextlib.ExitStack() as stack:
        old, new = (stack.enter_context(station(folder / name, name)) for name in ("old", "new"))
        (folder / "here").mkdir()
        for size in sizes:
            bench = Bench(old, new, folder, random_file(old.file, size), size)
            for how in ways:
                right = 0
                for _ in range(rounds):
                    bench.clean()
                    try:
                        bench.ours(how)
                        right += 1
                    except RuntimeError as error:
                        print(f"{how} of {size} bytes: {error}", file=sys.stderr)
                wrong += rounds - right
                peak = max(bench.seen.get(how, {}).get("peak", [0.0])) / 1e6
                print(f"{size:>12} bytes  {how:<12} {right} of {rounds} right, at most {peak:.0f} MB", flush=True)
            bench.clean()
    return wrong


def main() -> int:
    """The command line; 1 where something arrived wrong."""
    parser = argparse.ArgumentParser(description="Transfers of many sizes.")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--edges", type=int, default=0, metavar="ROUNDS")
    parser.add_argument("--only", default=",".join(WAYS), help="ways, with commas")
    given = parser.parse_args()
    base = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    wrong = 0
    for sizes, rounds in ((MEMORY if given.memory else (), 1), (EDGES if given.edges else (), given.edges)):
        folder = Path(tempfile.mkdtemp(prefix="tscm-sizes-", dir=base))
        try:
            wrong += measure(folder, sizes, rounds, given.only.split(","))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
