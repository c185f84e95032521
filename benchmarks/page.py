"""All benchmarks on one page: each ratio, what it is against, what is wanted, and what was measured.

    python -m benchmarks.page [--only startup,transfers,…] [--ansible PATH/ansible-playbook]
    python -m benchmarks.page --write

The first form runs the benchmarks on this machine, which should do nothing else, prints the page, and keeps the figures
in benchmarks/results.json. With `--only`, the figures of the other benchmarks stay as they are there. Both forms write
the page into docs/explanation/benchmarks.md, between two marks; `--write` does only this.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.downtime import added
from benchmarks.estimate import WANTED as ESTIMATE_WANTED
from benchmarks.figures import Row, at_least, at_most, only_shown
from benchmarks.staging import ANSIBLE, PIPELINED, TOOL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RESULTS = Path(__file__).with_name("results.json")
PAGE = Path(__file__).parent.parent / "docs" / "explanation" / "benchmarks.md"
BEGIN, END = "<!-- figures: begin (python -m benchmarks.page --write) -->", "<!-- figures: end -->"
LIMIT = 3600.0  # seconds that one benchmark may take


@dataclass(frozen=True)
class Benchmark:
    """One section of the page: its heading, its command, and a function from the command's figures to the rows."""

    heading: str
    command: str  # the module and its arguments
    rows: Callable[[Any], Iterator[Row]]

    def run(self, ansible: str) -> Any:
        """Run it in a process of its own; return what it wrote with --json."""
        with tempfile.TemporaryDirectory(prefix="tscm-bench-page-") as folder:
            file = Path(folder) / "figures.json"
            words = [sys.executable, "-m", *self.command.split(), "--json", str(file)]
            words += ["--ansible", ansible] if ansible and "staging" in self.command else []
            subprocess.run(words, check=True, timeout=LIMIT, stdout=subprocess.DEVNULL)
            return json.loads(file.read_text(encoding="utf-8"))


def transfers(found: list[dict[str, Any]]) -> Iterator[Row]:
    for one in found:
        for ratio in one["ratios"]:
            what = f"{ratio['what']}, {one['where']}"
            detail = f" ({ratio['speed']:.3g} and {ratio['theirs']:.3g} MB/s)"
            yield at_least(what, ratio["against"], ratio["ratio"], ratio["least"], detail=detail)
        peak = max(row.get("peak MB", 0) for row in one["rows"].values())
        yield at_most(f"memory of the workstation's process, {one['where']}", "", peak, 120, "MB")


def startup(times: dict[str, list[float]]) -> Iterator[Row]:
    middle = {name: statistics.median(taken) for name, taken in times.items()}
    yield at_most("`tscm-migrate --help`", "", middle["--help"], 0.25, "s")
    for name in ("--version", "run list", "a wrong option", "host list"):
        yield only_shown(f"`tscm-migrate {name}`" if name[0] != "a" else name, "", middle[name], "s")
    for name in ("python -c pass", "import invoke", "import fabric"):
        yield only_shown("`tscm-migrate --help`", f"`{name}`", middle["--help"] / middle[name])


def staging(rounds: list[dict[str, float]]) -> Iterator[Row]:
    for name, wanted in ((ANSIBLE, 4.0), (PIPELINED, None)):
        ratio = statistics.median(one[name] / one[TOOL] for one in rounds)
        theirs, ours = (statistics.median(one[which] for one in rounds) for which in (name, TOOL))
        what, against = "staging: times faster", "an Ansible playbook" + name.removeprefix(ANSIBLE)
        detail = f" ({ours:.1f} and {theirs:.1f} s)"
        yield at_least(what, against, ratio, wanted, detail=detail)


def downtime(rounds: list[dict[str, dict[str, float]]]) -> Iterator[Row]:
    for figure, wanted in (("total", 1.1), ("downtime", 0.75)):
        ratio = statistics.median(one["tool"][figure] / one["script"][figure] for one in rounds)
        ours, theirs = (statistics.median(one[who][figure] for one in rounds) for who in ("tool", "script"))
        yield at_most(figure, "a shell script", ratio, wanted, "×", detail=f" ({ours:.1f} and {theirs:.1f} s)")
    yield at_most("staging: more than", "a shell script and the drain's wait", added(rounds), 1.5, "s")


def estimate(rounds: list[dict[str, Any]]) -> Iterator[Row]:
    close = sum(one["error"] <= ESTIMATE_WANTED for one in rounds)
    yield at_least(f"migrations within 30 % of the rehearsal's estimate, of {len(rounds)}", "", close, 9, "")


def fleet(rows: list[Row]) -> Iterator[Row]:
    yield from rows


def farm(found: dict[str, Any]) -> Iterator[Row]:
    detail = f" ({found['ours']['seconds']:.1f} and {found['scp_seconds']:.1f} s)"
    yield at_most(
        "`offsite pull` of 200 × 5 MB, 16 at once", "16 parallel `scp`", found["ratio"], 1.3, "×", detail=detail
    )


def s3(found: dict[str, Any]) -> Iterator[Row]:
    for name, wanted in (("rclone rcat", 0.8), ("rclone copyto", None)):
        ours, theirs = (found["mb_per_s"][who] for who in ("ours", name))
        what, detail = "upload of 1 GiB to an S3 server", f" ({ours:.0f} and {theirs:.0f} MB/s)"
        yield at_least(what, f"`{name}`", ours / theirs, wanted, detail=detail)
    yield only_shown("memory of it", "", found["peak_mb"], "MB")


BENCHMARKS = {
    "transfers": Benchmark("Transfers of 1 GiB at loopback", "benchmarks.transfers --rtt 0", transfers),
    "links": Benchmark("Transfers on slower links", "benchmarks.transfers --rounds 3 --rtt 50 --link all", transfers),
    "downtime": Benchmark("A complete migration with five devices", "benchmarks.downtime --rounds 5", downtime),
    "prepared": Benchmark(
        "The same with prepared network settings", "benchmarks.downtime --rounds 5 --network prepared", downtime
    ),
    "staging": Benchmark("Staging", "benchmarks.staging --rounds 5", staging),
    "estimate": Benchmark("The rehearsal's estimate", "benchmarks.estimate --rounds 10", estimate),
    "farm": Benchmark("Off-site copies of a fleet", "benchmarks.farm --hosts 200 --jobs 16", farm),
    "fleet": Benchmark("Off-site copies of larger fleets", "benchmarks.farm --table 200,500,1000", fleet),
    "s3": Benchmark("Off-site copies in S3", "benchmarks.s3", s3),
    "scale": Benchmark("Large numbers", "benchmarks.scale", fleet),
    "startup": Benchmark("Start", "benchmarks.startup", startup),
}


def machine() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown processor")
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, Linux {platform.release()}"


def table(rows: list[Row]) -> list[str]:
    cells = [
        (r["what"], r["against"], r["wanted"], r["measured"] + ("" if r["met"] else " **(missed)**")) for r in rows
    ]
    lines = ["| " + " | ".join(row) + " |" for row in [("what", "against", "wanted", "measured"), *cells]]
    lines.insert(1, "| --- " * 4 + "|")
    return lines


def shown(results: dict[str, Any]) -> str:
    """Return the page: a section for each benchmark, with its command, date and machine."""
    lines: list[str] = []
    for name, one in results.items():
        lines += [f"### {BENCHMARKS[name].heading}", "", *table(one["rows"]), ""]
        lines += [f"`python -m {one['command']}`, {one['date']}; {one['machine']}.", ""]
    return "\n".join(lines).rstrip() + "\n"


def page(text: str, results: dict[str, Any]) -> str:
    """Return the documentation's page with these results between its marks."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{shown(results)}\n{END}{rest.partition(END)[2]}"


def measured(one: Benchmark, ansible: str) -> dict[str, Any]:
    try:
        rows = [*one.rows(one.run(ansible))]
    except (subprocess.SubprocessError, OSError) as error:
        rows = [{"what": one.heading, "against": "", "wanted": "", "measured": f"failed: {error}", "met": False}]
    return {"command": one.command, "date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": machine(), "rows": rows}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help=f"names, with commas: {', '.join(BENCHMARKS)}")
    parser.add_argument(
        "--ansible", default=shutil.which("ansible-playbook") or "", help="the program ansible-playbook"
    )
    parser.add_argument("--write", action="store_true", help="only write the page again")
    asked = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    names = [] if asked.write else asked.only.split(",") if asked.only else [*BENCHMARKS]
    for name in names:
        results[name] = measured(BENCHMARKS[name], asked.ansible)
        results = {known: results[known] for known in BENCHMARKS if known in results}
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    print(shown({name: results[name] for name in names or results}))
    return 0 if all(row["met"] for name in names for row in results[name]["rows"]) else 1


if __name__ == "__main__":
    sys.exit(main())
