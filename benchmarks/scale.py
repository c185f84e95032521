"""How long the tool takes with very many copies in a store, and very many events in a journal.

    python -m benchmarks.scale [--copies 100000] [--events 10000] [--json FILE]

A store with so many copies (100 of each host, every tenth of them verified again since) is listed, and a prune of it is
planned: once without the workstation's cache, and once with it. A journal with so many events is opened as `resume` does.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.figures import Row, at_most
from tscm_migrate.migration.journal import Journal
from tscm_migrate.offsite import catalog, keys, prune
from tscm_migrate.offsite.manifest import Manifest, Record
from tscm_migrate.offsite.retention import RetentionPolicy
from tscm_migrate.offsite.stores.local import LocalStore
from tscm_migrate.ui import offsite_views

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EACH = 100  # copies of a host


def fill(root: Path, copies: int) -> None:
    """Write a store's files directly: only reading them is measured."""
    for number in range(copies):
        host, at = f"branch-{number // EACH:04d}", NOW - timedelta(days=1 + number % EACH)
        name = f"threatstop_backup_{at:%Y-%m-%d_%H_%M_%S}.tsbak.gpg"
        body = f"{number:010d}".encode()
        sha = hashlib.sha256(body).hexdigest()
        one = Manifest(
            id=keys.copy_id(name, sha), host=host, archive=name, data=keys.new_data(host, name), size=len(body), sha256=sha,
            source_size=len(body), source_sha256=sha, encrypted="passphrase", taken_at=at, pulled_at=at, verified_at=at,
        )  # fmt: skip
        put(root, one.data, body)
        put(root, keys.manifest(host, one.id), one.dump())
        if number % 10:
            continue
        record = Record(copy=one.id, host=host, kind="verify", at=NOW - timedelta(hours=2), data=one.data, sha256=sha)
        put(root, keys.new_record(host, one.id, "verify", record.at), record.dump())


def put(root: Path, key: str, body: bytes) -> None:
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)


def listed(folder: str) -> None:
    """Print seconds and peak memory of a list and of a prune; runs in a separate process, whose memory is measured."""
    began = time.perf_counter()
    found = catalog.load(LocalStore(Path(folder) / "store"), cache=Path(folder) / "cache")
    loaded = time.perf_counter()
    text = offsite_views.copies(found, NOW)
    shown = time.perf_counter()
    plan = prune.plan(found, RetentionPolicy(), NOW)
    planned = time.perf_counter()
    print(
        json.dumps({
            "copies": len(found.copies),
            "lines": text.count("\n"),
            "list": shown - began,
            "prune": loaded - began + planned - shown,
            "going": len(plan.going),
            "MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        })
    )  # fmt: skip


def in_process(folder: str) -> dict[str, float]:
    words = [sys.executable, "-m", "benchmarks.scale", "--listed", folder]
    done = subprocess.run(words, capture_output=True, text=True, timeout=1200, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def resumed(root: Path, events: int) -> float:
    """Return the seconds to open a journal with `events` entries, ready to append."""
    journal = Journal.create("20260301-120000-0000", root)
    for number in range(events):
        journal.write("noted", key=f"fact {number % 500}", value={"number": number, "text": "x" * 200})
    began = time.perf_counter()
    assert Journal.open("20260301-120000-0000", root).record is not None
    return time.perf_counter() - began


def measured(copies: int, events: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="tscm-scale-") as folder:
        fill(Path(folder) / "store", copies)
        first, again = in_process(folder), in_process(folder)
    with tempfile.TemporaryDirectory(prefix="tscm-scale-") as folder:
        seconds = resumed(Path(folder), events)
    rows: list[Row] = []
    for when, found in (("without a cache", first), ("with a cache", again)):
        rows += [
            at_most(f"`offsite {what}` of {copies:,} copies, {when}", "", found[what], 10.0, "s")
            for what in ("list", "prune")
        ]
        rows.append(at_most(f"memory of both, {when}", "", found["MB"], 500.0, "MB"))
    rows.append(at_most(f"`run resume` reads a journal of {events:,} events", "", seconds, 2.0, "s"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--json", default="")
    parser.add_argument("--listed", default="", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.listed:
        listed(asked.listed)
        return
    rows = measured(asked.copies, asked.events)
    for one in rows:
        print(f"{one['what']:<56} {one['measured']:>12}   {one['wanted']}   {'yes' if one['met'] else 'NO'}")
    if asked.json:
        Path(asked.json).write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
