"""The staging half, from the first connection to the verified copy: what the tool adds to its remote commands.

    python -m benchmarks.staging [--rounds 3]

One migration a round on a fresh namespace lab. From the tool's JSON events: the time from its start to the end of the
step `verify`; the time within it in which at least one remote command ran, or in which the two looks of the drain have
to be apart; and the difference, which is what the tool adds (starting Python is counted: the clock starts before it).
Also how many connections each appliance accepted until then. Needs root and namespaces; no packet leaves them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.harness.namespaces import NamespaceLab
from tscm_migrate.demo.profile import new_profile, old_profile


def covered(spans: list[tuple[float, float]], until: float) -> float:
    """Seconds that at least one of the spans covers, up to `until`."""
    total, reached = 0.0, 0.0
    for begin, end in sorted(spans):
        begin, end = max(begin, reached), min(end, until)  # noqa: PLW2901
        if end > begin:
            total, reached = total + end - begin, end
    return total


def measured(events: list[dict[str, Any]], began: float) -> tuple[float, float]:
    """Seconds from `began` to the verified copy, and those of them that remote commands and the drain's pause took."""
    at = {id(event): datetime.fromisoformat(event["time"]).timestamp() - began for event in events}
    done = next(e for e in events if e["event"] == "step_finished" and e["step"] == "verify")
    spans = [
        (at[id(e)] - e["seconds"], at[id(e)])
        for e in events
        if e["event"] == "command_run" and at[id(e)] <= at[id(done)]
    ]
    draining = next(e for e in events if e["event"] == "action_finished" and "wait until no" in e["describes"])
    spans.append((at[id(draining)] - draining["seconds"], at[id(draining)]))
    return at[id(done)], covered(spans, at[id(done)])


def round_trip() -> dict[str, float]:
    """One migration; figures in seconds, and connections by host."""
    with (
        tempfile.TemporaryDirectory(prefix="staging") as folder,
        NamespaceLab(Path(folder), old_profile(), new_profile()) as lab,
    ):
        began = time.time()
        done = lab.run_tool(
            "migrate", "--from", "tscm-old", "--to", "tscm-new", "--yes", "--json", env={"TSCM_PASSPHRASE": "benchmark"},
            timeout=300,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{done.stdout}\n{done.stderr}")
        events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        whole, remote = measured(events, began)
        accepted = (lab.root_of("old") / "var/log/syslog").read_text().count("Accepted publickey")
        return {"staging": whole, "remote": remote, "added": whole - remote, "connections to the old one": accepted}


def main() -> None:
    """Print a line a round, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = [round_trip() for _ in range(parser.parse_args().rounds)]
    for name in rounds[0]:
        values = [one[name] for one in rounds]
        print(f"{name:28} median {statistics.median(values):6.2f}   all {' '.join(f'{v:.2f}' for v in values)}")


if __name__ == "__main__":
    main()
