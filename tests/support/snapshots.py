"""Compare complete outputs with stored files; TSCM_SNAPSHOTS=renew replaces the files (read the changes)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOLDER = Path(__file__).parents[1] / "cli" / "snapshots"
# what differs from one run to the next, and its replacement
_CHANGING = (
    (r"(?m)^  draining: .*\n", ""),  # their number depends on the machine's speed and on cron
    (r"\d{8}-\d{6}-[0-9a-f]{4}\b", "RUN"),
    (r"SHA256:[A-Za-z0-9+/]{43}", "SHA256:KEY"),
    (r"threatstop_backup_[0-9_-]+\.tsbak", "threatstop_backup_TIME.tsbak"),
    (r"(estimated (?:total|downtime)): .*", r"\1: N"),
    (r"\b\d+(\.\d+)? (s|min)\b", r"N \2"),
    (r"\bpid \d+", "pid N"),
    (r"looked up: [^)]*", "looked up: WHY"),  # the resolver's text
    (r"\b\d+(\.\d+)? (MB|GB)\b", r"N \2"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|\+00:00| UTC)?", "TIME"),
)


def stable(text: str, names: Mapping[str, str]) -> str:
    """Replace what changes from run to run; `names` maps texts of this run to their replacements."""
    for text_of_run, word in sorted(names.items(), key=lambda pair: -len(pair[0])):
        text = text.replace(text_of_run, word)
    for pattern, word in _CHANGING:
        text = re.sub(pattern, word, text)
    return text


def page(words: Sequence[str], output: str, status: int, names: Mapping[str, str]) -> str:
    """Return what an operator sees of a command: command line, output, exit code."""
    return stable(f"$ tscm-migrate {' '.join(words)}\n{output}(exit {status})\n", names)


def error_lines(shown: str) -> list[str]:
    """Return the lines of the error message: from the first that reports an error or the end of the run, to the last."""
    lines = shown.splitlines()[1:-1]
    begin = r"error:|  \[error\]|  Error |failed after|interrupted after"
    return lines[next(number for number, line in enumerate(lines) if re.match(begin, line)) :]


def compare(name: str, shown: str) -> None:
    """Assert that the error message is short, and that the output equals the stored file; store it if asked to."""
    message = error_lines(shown)
    assert len(message) <= 6, shown
    assert any("what to do:" in line for line in message), shown
    path = FOLDER / f"{name.replace(' ', '-')}.txt"
    if os.environ.get("TSCM_SNAPSHOTS") == "renew":
        path.parent.mkdir(exist_ok=True)
        path.write_text(shown, encoding="utf-8")
    assert path.is_file(), f"there is no {path}; store it: TSCM_SNAPSHOTS=renew"
    assert shown == path.read_text(encoding="utf-8")
