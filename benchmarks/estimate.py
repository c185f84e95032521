"""How close the estimate of the downtime is: a rehearsal, then the migration, on a fresh lab each round.

    python -m benchmarks.estimate [--rounds 10] [--devices 5] [--seconds 1] [--json FILE]

Estimated: what the rehearsal reports. Actual: what the migration reports at its end. Both are taken from the tool's JSON
events. All rounds use one workstation, as a site does: the first round knows neither how long a device's update takes
nor how long a restart takes before the system starts, and the later rounds know both from the earlier ones. Needs root
and network namespaces; nothing leaves them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from tests.harness.namespaces import NamespaceLab
from tscm_migrate.demo.profile import Device, new_profile, old_profile

WANTED = 0.3  # the largest error, as a part of the actual downtime
PAIR = ("--from", "tscm-old", "--to", "tscm-new")


def events(lab: NamespaceLab, state: Path, *words: str) -> list[dict[str, Any]]:
    """Run a command of the tool and return its events."""
    env = {"TSCM_PASSPHRASE": "benchmark", "TSCM_STATE": str(state)}
    done = lab.run_tool(*words, *PAIR, "--json", env=env, timeout=300)
    if done.returncode:
        raise SystemExit(f"{done.stdout}\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def measured(devices: tuple[Device, ...], state: Path) -> dict[str, Any]:
    """Rehearse and migrate once; figures in seconds."""
    old = old_profile(devices=devices, archives=0)
    with (
        tempfile.TemporaryDirectory(prefix="estimate") as folder,
        NamespaceLab(Path(folder), old, new_profile()) as lab,
    ):
        told = [e for e in events(lab, state, "rehearse") if e["event"] == "estimated"]
        ran = events(lab, state, "migrate", "--yes", "--no-rehearsal")
    estimate = next(e for e in reversed(told) if e["step"] == "downtime")
    end = next(e for e in ran if e["event"] == "run_finished")
    parts = {e["step"]: e["seconds"] for e in told if e["step"] not in {"", "downtime"}}
    took = {e["step"]: e["seconds"] for e in ran if e["event"] == "step_finished"}
    return {
        "estimated": estimate["seconds"],
        "least": estimate["least"],
        "most": estimate["most"],
        "actual": end["downtime"],
        "error": abs(estimate["seconds"] - end["downtime"]) / end["downtime"],
        "parts": {step: [seconds, took.get(step)] for step, seconds in parts.items()},
    }


def main() -> None:
    """Print a line for each round, and how many are close enough."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--devices", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each device's update")
    parser.add_argument("--verbose", action="store_true", help="each step: estimated and actual seconds")
    parser.add_argument("--json", default="")
    asked = parser.parse_args()
    devices = tuple(Device(f"asa-{n}", update_seconds=asked.seconds) for n in range(asked.devices))
    rounds = []
    with tempfile.TemporaryDirectory(prefix="estimate-state") as state:
        for number in range(1, asked.rounds + 1):
            one = measured(devices, Path(state))
            rounds.append(one)
            between = f" (between {one['least']:.1f} and {one['most']:.1f})" if one["most"] else ""
            print(
                f"round {number:2}: estimated {one['estimated']:5.1f} s{between}, actual {one['actual']:5.1f} s, "
                f"error {100 * one['error']:.0f} %",
                flush=True,
            )
            if asked.verbose:
                print("  " + ", ".join(f"{step} {a} / {b}" for step, (a, b) in one["parts"].items()), flush=True)
    close = sum(one["error"] <= WANTED for one in rounds)
    print(f"within {100 * WANTED:.0f} %: {close} of {len(rounds)}")
    if asked.json:
        Path(asked.json).write_text(json.dumps(rounds, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
