"""What the last rehearsal of a pair of appliances took, kept for the estimate of its migration."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from tscm_migrate.util import private
from tscm_migrate.util.folders import private_folder, state_folder

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Rehearsal:
    """Seconds that each rehearsed step took; `at` is aware UTC in ISO form, `run` the run that rehearsed."""

    at: str
    run: str
    steps: dict[str, float] = field(default_factory=dict)


def _file(old: str, new: str) -> Path:
    return state_folder() / "rehearsals" / (re.sub(r"[^\w.@-]", "_", f"{old}__{new}") + ".json")


def keep(old: str, new: str, rehearsal: Rehearsal) -> None:
    """Write down what the rehearsal of a pair took, in place of an earlier one."""
    private_folder("rehearsals")
    private.write(_file(old, new), json.dumps(asdict(rehearsal)) + "\n")


def known(old: str, new: str) -> Rehearsal | None:
    """Return the last rehearsal of a pair; None where there was none or its file cannot be read."""
    try:
        found = Rehearsal(**json.loads(_file(old, new).read_text(encoding="utf-8")))
        return Rehearsal(str(found.at), str(found.run), {str(k): float(v) for k, v in found.steps.items()})
    except (OSError, ValueError, TypeError, AttributeError):
        return None
