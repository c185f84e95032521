"""One transfer of this tool in a process of its own: reads its task as JSON from stdin, prints seconds and peak memory.

`copied`: from before the connection is made until the last byte has been transferred. `verified`: with all that scp
does not do, the SHA-256 of the source before and of what is on the target's disk afterwards.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.hosts import NAME, Station
from tscm_migrate.events import Event, Progress
from tscm_migrate.model import Archive
from tscm_migrate.transfer.base import TransferJob
from tscm_migrate.transfer.endpoints.folder import FolderEnd
from tscm_migrate.transfer.endpoints.sftp import SftpEnd
from tscm_migrate.transfer.endpoints.shell import ShellEnd
from tscm_migrate.transfer.methods import METHODS


def job(task: dict[str, Any], last: list[float]) -> tuple[str, TransferJob]:
    old, new = Station(**task["old"]), Station(**task["new"])
    direct = task["how"] == "direct"
    here = FolderEnd(Path(task["folder"]))
    there, target = old.appliance(), new.appliance()
    ends = {
        "pull": lambda: ("pull", ShellEnd(there), here),
        "pull-sftp": lambda: ("pull", SftpEnd(there), here),
        "push": lambda: ("push", FolderEnd(old.file.parent), ShellEnd(target)),
        "relay": lambda: ("tar", ShellEnd(there), ShellEnd(target)),
        "relay-sftp": lambda: ("sftp", ShellEnd(there, sftp=True), ShellEnd(target, sftp=True)),
        "direct": lambda: ("rsync", ShellEnd(there), ShellEnd(target)),
        "tunnel": lambda: ("rsync", ShellEnd(there), ShellEnd(target)),
    }
    method, source, sink = ends[task["how"]]()

    def hear(event: Event) -> None:
        if isinstance(event, Progress):
            last[0] = time.monotonic()

    archive = Archive(NAME, str(old.file.parent), old.file.stat().st_size, task["sha256"])
    return method, TransferJob(source, sink, (archive,), "direct" if direct else "relay", emit=hear)


def main() -> None:
    task = json.load(sys.stdin)
    last = [time.monotonic()]
    method, made = job(task, last)
    import paramiko  # noqa: F401 - what is measured is the transfer, not the import

    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        for end in (made.source, made.target):
            if not isinstance(end, FolderEnd):
                stack.enter_context(contextlib.closing(end.appliance))
        METHODS[method].send(made)
        copied, sent = last[0] - began, time.monotonic() - began
        again = time.monotonic()
        assert made.source.identify(made.archives[0]).sha256 == task["sha256"]
        hashing = time.monotonic() - again
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"copied": copied, "verified": sent + hashing, "peak": peak}))


if __name__ == "__main__":
    main()
