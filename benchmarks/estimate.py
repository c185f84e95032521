"""Compare the estimate of the downtime with the actual one: a rehearsal and a migration, on a new lab in each round.

    python -m benchmarks.estimate [--rounds 10] [--devices 5] [--seconds 1] [--json FILE]

The estimate is what the rehearsal reports, the actual downtime what the migration reports; both come from the tool's
JSON events. All rounds use the same workstation, as at a site: in the first round the duration of a device's update and
of a restart is unknown, later rounds know both from the earlier ones. Needs root and network namespaces; no packet
leaves them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from tests.harness.namespaces import NamespaceLab
from tests.harness.profile import Device, new_profile, old_profile

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
    """Rehearse and migrate once; return the figures in seconds."""
    old = old_profile(devices=devices, archives=0)
    with (
        tempfile.TemporaryDirectory(prefix="estimate") as folder,
        NamespaceLab(Path(folder), old, new_profile()) as lab,
    ):
        estimates = [e for e in events(lab, state, "rehearse") if e["event"] == "estimated"]
        ran = events(lab, state, "migrate", "--yes", "--no-rehearsal")
    estimate = next(e for e in reversed(estimates) if e["step"] == "downtime")
    end = next(e for e in ran if e["event"] == "run_finished")
    parts = {e["step"]: e["seconds"] for e in estimates if e["step"] not in {"", "downtime"}}
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
    """Print a line for each round, and how many estimates are close enough."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--devices", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="duration of each device's update")
    parser.add_argument("--verbose", action="store_true", help="print the estimated and actual seconds of each step")
    parser.add_argument("--json", default="")
    options = parser.parse_args()
    devices = tuple(Device(f"asa-{n}", update_seconds=options.seconds) for n in range(options.devices))
    rounds = []
    with tempfile.TemporaryDirectory(prefix="estimate-state") as state:
        for number in range(1, options.rounds + 1):
            one = measured(devices, Path(state))
            rounds.append(one)
            between = f" (between {one['least']:.1f} and {one['most']:.1f})" if one["most"] else ""
            print(
                f"round {number:2}: estimated {one['estimated']:5.1f} s{between}, actual {one['actual']:5.1f} s, "
                f"error {100 * one['error']:.0f} %",
                flush=True,
            )
            if options.verbose:
                print("  " + ", ".join(f"{step} {a} / {b}" for step, (a, b) in one["parts"].items()), flush=True)
    close = sum(one["error"] <= WANTED for one in rounds)
    print(f"within {100 * WANTED:.0f} %: {close} of {len(rounds)}")
    if options.json:
        Path(options.json).write_text(json.dumps(rounds, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
