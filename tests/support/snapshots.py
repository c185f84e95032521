"""Whole outputs compared with what is stored; TSCM_SNAPSHOTS=renew stores them anew, to be read before they are kept."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOLDER = Path(__file__).parents[1] / "cli" / "snapshots"
# what differs from one run to the next, and the word that stands for it
_CHANGING = (
    (r"(?m)^  draining: .*\n", ""),  # as many as the machine is slow, and as cron starts updates
    (r"\d{8}-\d{6}-[0-9a-f]{4}\b", "RUN"),
    (r"SHA256:[A-Za-z0-9+/]{43}", "SHA256:KEY"),
    (r"threatstop_backup_[0-9_-]+\.tsbak", "threatstop_backup_TIME.tsbak"),
    (r"(estimated (?:total|downtime)): .*", r"\1: N"),
    (r"\b\d+(\.\d+)? (s|min)\b", r"N \2"),
    (r"\bpid \d+", "pid N"),
    (r"looked up: [^)]*", "looked up: WHY"),  # the resolver's own words
    (r"\b\d+(\.\d+)? (MB|GB)\b", r"N \2"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|\+00:00| UTC)?", "TIME"),
)


def stable(text: str, names: Mapping[str, str]) -> str:
    """The text with words for what changes; `names`: a text of this run → its word, longest first."""
    for found, word in sorted(names.items(), key=lambda pair: -len(pair[0])):
        text = text.replace(found, word)
    for pattern, word in _CHANGING:
        text = re.sub(pattern, word, text)
    return text


def page(words: Sequence[str], said: str, status: int, names: Mapping[str, str]) -> str:
    """What the operator sees of one command: its line, all that is printed, its exit code."""
    return stable(f"$ tscm-migrate {' '.join(words)}\n{said}(exit {status})\n", names)


def complaint(shown: str) -> list[str]:
    """The lines that tell a mistake: from the first that says what is wrong, or how the run ended, to the last."""
    lines = shown.splitlines()[1:-1]
    begin = r"error:|  \[error\]|  Error |failed after|interrupted after"
    return lines[next(number for number, line in enumerate(lines) if re.match(begin, line)) :]


def compare(name: str, shown: str) -> None:
    """Fail unless this is what is stored under the name, and short; or store it, where that is asked for."""
    told = complaint(shown)
    assert len(told) <= 6, shown
    assert any("what to do:" in line for line in told), shown
    path = FOLDER / f"{name.replace(' ', '-')}.txt"
    if os.environ.get("TSCM_SNAPSHOTS") == "renew":
        path.parent.mkdir(exist_ok=True)
        path.write_text(shown, encoding="utf-8")
    assert path.is_file(), f"there is no {path}; store it: TSCM_SNAPSHOTS=renew"
    assert shown == path.read_text(encoding="utf-8")
