"""What a rehearsal took, kept for the plan of the real migration."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tscm_migrate.util import private
from tscm_migrate.util.folders import private_folder, state_folder

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Estimate:
    """Seconds: of the whole run, without a TSCM, and of each step; `at` is aware UTC in ISO form."""

    at: str
    seconds: float
    downtime: float | None
    steps: dict[str, float] = field(default_factory=dict)

    def line(self) -> str:
        """For the plan."""
        without = (
            f"about {self.downtime:.0f} s without a TSCM" if self.downtime is not None else "no time without a TSCM"
        )
        return f"takes about {self.seconds:.0f} s, {without}, by the rehearsal of {self.at[:16]}Z"


def _file(old: str, new: str) -> Path:
    return state_folder() / "rehearsals" / f"{old}__{new}.json"


def from_events(lines: list[str], now: datetime) -> Estimate | None:
    """From a run's `--json` output; None where it did not come to its end."""
    steps: dict[str, float] = {}
    for line in lines:
        if not line.startswith("{"):
            continue
        event = json.loads(line)
        if event.get("event") == "step_finished" and event.get("state") == "done":
            steps[event["step"]] = event["seconds"]
        elif event.get("event") == "run_finished" and event.get("outcome") in ("done", "attention"):
            at = now.astimezone(UTC).isoformat(timespec="seconds")
            return Estimate(at, event["seconds"], event["downtime"], steps)
    return None


def keep(old: str, new: str, estimate: Estimate) -> None:
    """Write it down for this pair."""
    private_folder("rehearsals")
    private.write(_file(old, new), json.dumps(asdict(estimate)) + "\n")


def known(old: str, new: str) -> Estimate | None:
    """The last rehearsal of this pair; None where there was none, or its file makes no sense."""
    try:
        return Estimate(**json.loads(_file(old, new).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
