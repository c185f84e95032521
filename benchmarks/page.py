"""All benchmarks on one page: each ratio, what it is against, what is wanted, what was measured, on which machine.

    python -m benchmarks.page [--only scale,startup,…] [--markdown] [--json FILE]

Each benchmark runs as a process of its own and gives its figures as JSON, or as lines that are shown as they are. Run it
on a machine that does nothing else. The table goes into docs/explanation/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.downtime import added
from benchmarks.estimate import WANTED as ESTIMATE_WANTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Row = dict[str, Any]
LIMIT = 3600.0  # seconds that one benchmark may take


def run(module: str, *words: str) -> Any:
    """Run a benchmark and return what it wrote with --json."""
    with tempfile.TemporaryDirectory(prefix="tscm-bench-page-") as folder:
        file = Path(folder) / "figures.json"
        argv = [sys.executable, "-m", f"benchmarks.{module}", *words, "--json", str(file)]
        subprocess.run(argv, check=True, timeout=LIMIT, stdout=subprocess.DEVNULL)
        return json.loads(file.read_text(encoding="utf-8"))


def at_least(what: str, against: str, value: float, wanted: float, unit: str = "×") -> Row:
    measured = f"{value:.2f} {unit}" if unit else f"{value:g}"
    return {"what": what, "against": against, "wanted": f"at least {wanted:g} {unit}".strip(), "measured": measured, "met": value >= wanted}  # fmt: skip


def at_most(what: str, against: str, value: float, wanted: float, unit: str) -> Row:
    return {"what": what, "against": against, "wanted": f"at most {wanted:g} {unit}", "measured": f"{value:.2f} {unit}", "met": value <= wanted}  # fmt: skip


def transfers() -> Iterator[Row]:
    """Speed of the transfers, on loopback and with a round trip of 50 ms."""
    for one in run("transfers")["runs"]:
        for ratio in one["ratios"]:
            what, _, against = ratio["what"].partition(" against ")
            yield at_least(f"{what}, {one['rtt_ms']:.0f} ms round trip", against, ratio["copied"], ratio["at least"])


def scale() -> Iterator[Row]:
    """Very many copies and events."""
    yield from run("scale")


def fleet() -> Iterator[Row]:
    """A pull from 200, 500 and 1,000 hosts."""
    yield from run("farm", "--table", "200,500,1000")


def startup() -> Iterator[Row]:
    """How fast the tool starts."""
    times = run("startup")
    yield at_most("`tscm-migrate --help`", "", statistics.median(times["--help"]), 0.25, "s")


def downtime() -> Iterator[Row]:
    """A complete migration against a shell script of the same steps, with both ways of restoring the network settings."""
    for network in ("restore", "prepared"):
        rounds = run("downtime", "--rounds", "5", "--network", network)
        what = "of a migration, 5 devices" + (", --network prepared" if network == "prepared" else "")
        for figure, wanted in (("total", 1.1), ("downtime", 0.75)):
            ratio = statistics.median(one["tool"][figure] / one["script"][figure] for one in rounds)
            yield at_most(f"{figure} {what}", "a shell script", ratio, wanted, "×")
        yield at_most(
            f"staging {what}: more than the script", "a shell script and the drain's wait", added(rounds), 1.5, "s"
        )


def estimate() -> Iterator[Row]:
    """The estimate of a rehearsal against the downtime of the migration after it."""
    rounds = run("estimate", "--rounds", "10")
    close = sum(one["error"] <= ESTIMATE_WANTED for one in rounds)
    yield at_least("migrations within 30 % of the rehearsal's estimate, of 10", "", close, 9, "")


BENCHMARKS: dict[str, Callable[[], Iterator[Row]]] = {
    "startup": startup, "scale": scale, "fleet": fleet, "downtime": downtime, "estimate": estimate,
    "transfers": transfers,
}  # fmt: skip


def machine() -> str:
    model = next(
        (line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), "unknown processor"
    )
    return f"{model}, {os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}"


def _cpuinfo() -> list[str]:
    file = Path("/proc/cpuinfo")
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def shown(rows: list[Row], *, markdown: bool) -> str:
    """The page: a table, with the machine below it."""
    cells = [("what", "against", "wanted", "measured", "met")]
    cells += [(r["what"], r["against"], r["wanted"], r["measured"], "yes" if r["met"] else "**no**") for r in rows]
    if markdown:
        lines = ["| " + " | ".join(row) + " |" for row in cells]
        lines.insert(1, "| --- " * 5 + "|")
    else:
        widths = [max(len(row[n]) for row in cells) for n in range(5)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
    return "\n".join([*lines, "", f"{machine()}; {datetime.now(UTC):%Y-%m-%d}"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(BENCHMARKS), help="names with commas")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--json", default="")
    asked = parser.parse_args()
    rows: list[Row] = []
    for name in asked.only.split(","):
        try:
            rows += BENCHMARKS[name]()
        except (subprocess.SubprocessError, OSError) as error:
            rows.append({"what": name, "against": "", "wanted": "", "measured": f"failed: {error}", "met": False})
    print(shown(rows, markdown=asked.markdown))
    if asked.json:
        Path(asked.json).write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1), encoding="utf-8")
    return 0 if all(row["met"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
