"""How long the tool takes to start, compared with Python itself and the libraries that it uses.

    python -m benchmarks.startup [--rounds 15] [--json FILE]

Each round starts every contender once, in a random order, so that other load on the machine affects all of them equally.
Medians and their ratios in one run count. `--help` should take less than 0.25 s.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOOL = Path(sys.executable).with_name("tscm-migrate")
CONTENDERS: dict[str, list[str]] = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import invoke": [sys.executable, "-c", "import invoke"],
    "import fabric": [sys.executable, "-c", "import fabric"],
    "fab --version": [str(TOOL.with_name("fab")), "--version"],
    "--help": [str(TOOL), "--help"],
    "--version": [str(TOOL), "--version"],
    "migrate --help": [str(TOOL), "migrate", "--help"],
    "run list": [str(TOOL), "run", "list"],
    "completion bash": [str(TOOL), "completion", "bash"],
    "a wrong option": [str(TOOL), "migrate", "--form", "x"],
    "host list": [str(TOOL), "host", "list"],
}


def once(argv: list[str], env: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", default="")
    asked = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "hosts.toml").write_text('[hosts.tscm-old]\naddress = "10.1.1.43"\n', encoding="utf-8")
        env = {**os.environ, "TSCM_STATE": folder, "TSCM_INVENTORY": f"{folder}/hosts.toml"}
        for number in range(asked.rounds + 1):
            for name in random.sample(list(CONTENDERS), len(CONTENDERS)):
                took = once(CONTENDERS[name], env)
                if number:  # the first round fills the disk's cache
                    times[name].append(took)
    base, fabric = statistics.median(times["python -c pass"]), statistics.median(times["import fabric"])
    print(f"{'':<18}{'median':>9}{'slowest':>9}{'/ python':>10}{'/ fabric':>10}")
    for name, taken in times.items():
        middle = statistics.median(taken)
        print(f"{name:<18}{middle:>7.3f} s{max(taken):>7.3f} s{middle / base:>10.1f}{middle / fabric:>10.2f}")
    if asked.json:
        Path(asked.json).write_text(json.dumps(times, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
