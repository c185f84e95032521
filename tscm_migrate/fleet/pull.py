"""Run `offsite pull` for many hosts: jobs, an executor, outcomes and the exit code."""

import contextlib
import ctypes
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from tscm_migrate.errors import Exit, MigrateError, UsageError, error_fields
from tscm_migrate.fleet.pool import Cluster, Outcome, Probe, cluster, processes, run
from tscm_migrate.model import Host
from tscm_migrate.offsite.context import OffsiteContext, PullJob, Tools, do_pull
from tscm_migrate.offsite.freshness import judge
from tscm_migrate.offsite.pull import Pulled, stopping
from tscm_migrate.util.text import count_option, duration_option

_ARENA_MAX = -8  # mallopt's M_ARENA_MAX, see malloc.h of glibc
_ARENAS = 2

PullOutcome = Outcome[PullJob, Pulled]


@dataclass(frozen=True)
class PullWorkers:
    """Where pulls run: `jobs` at once, in threads, or in `processes` of this machine, or on a `cluster`."""

    jobs: int = 4
    processes: int = 0
    cluster: Cluster | None = None


def crew(desk: OffsiteContext, jobs: str | None, processes: str | None, *, on_cluster: bool = False) -> PullWorkers:
    """Return where pulls run, from the options and the settings.

    Raises:
        UsageError: a value is not a number, or the inventory has no cluster.
    """
    several = count_option("--jobs", jobs) if jobs else desk.settings.jobs
    if not on_cluster:
        return PullWorkers(several, count_option("--processes", processes) if processes else 0)
    from pydantic import ValidationError

    if desk.settings.cluster is None:
        raise UsageError("there is no [offsite.cluster] in the inventory", "docs/how-to/fleet.md has an example")
    try:
        return PullWorkers(several, cluster=Cluster.model_validate(desk.settings.cluster))
    except ValidationError as error:
        first = error.errors()[0]
        raise desk.inventory.error(first["msg"], f"offsite.cluster.{first['loc'][0]}") from None


def due(desk: OffsiteContext, hosts: list[Host], older: str | None) -> list[Host]:
    """Return the hosts whose newest verified copy is older than that ("36h"); all of them for None."""
    if older is None:
        return hosts
    limit = duration_option("--if-older", older)
    judged = judge(desk.catalog([host.name for host in hosts]), [h.name for h in hosts], lambda _: limit, _now())
    late = {status.host for status in judged if status.state != "fresh"}
    return [host for host in hosts if host.name in late]


def _now() -> datetime:
    return datetime.now(UTC)


def pulls(jobs: Sequence[PullJob], crew: PullWorkers, tools: Tools) -> Iterator[PullOutcome]:
    """Pull from every host; yield each outcome as soon as it is known.

    Threads share `tools`; a worker in another process makes its own, and no secret is sent to it.
    """
    probe = Probe[PullJob](lambda job: job.host) if len(jobs) > crew.jobs else None
    with ExitStack() as stack:
        executor: Executor | None = None
        work: Any = do_pull
        if crew.cluster is not None:
            executor = stack.enter_context(cluster(crew.cluster))
            probe = None  # its workers may reach hosts that this workstation cannot reach
        elif crew.processes:
            executor = stack.enter_context(processes(crew.processes))
        else:
            _share_arenas()
            work = partial(do_pull, tools=tools)
        yield from run(jobs, work, jobs=crew.jobs, executor=executor, probe=probe, on_stop=stopping.set)


def _share_arenas() -> None:
    """Make all threads share two of glibc's arenas; call it before the threads are started. No effect without glibc.

    glibc gives each thread an arena of its own, which keeps the megabyte blocks of a finished stream: 16 streams then
    use 250 MB instead of 160.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)


def exit_code(outcomes: Sequence[PullOutcome]) -> Exit:
    """Return 0 without failures, 4 if some hosts or archives failed, 1 if all did; for one host, its error's code."""
    failed = [outcome.error for outcome in outcomes if outcome.error is not None]
    if not failed:
        return Exit.ATTENTION if any(o.value is not None and o.value.failed for o in outcomes) else Exit.DONE
    if len(outcomes) == 1:
        return failed[0].exit_code if isinstance(failed[0], MigrateError) else Exit.FAILED
    return Exit.FAILED if len(failed) == len(outcomes) else Exit.ATTENTION


def as_dict(outcome: PullOutcome) -> dict[str, Any]:
    """Return the object of `--json`."""
    row: dict[str, Any] = {"v": 1, "host": outcome.item.host.name, "seconds": round(outcome.seconds, 3)}
    pulled, error = outcome.value, outcome.error
    if pulled is None:
        row |= {"outcome": "failed", **error_fields(error or AssertionError())}
        return row | ({"retry": error.retry.value} if isinstance(error, MigrateError) else {})
    if pulled.seen:
        return row | {"outcome": "seen", "size": pulled.size, "archives": list(pulled.seen)}
    copies = [{"outcome": copied.outcome, **copied.manifest.as_dict()} for copied in pulled.copies]
    failed = [{"archive": name, **error_fields(why)} for name, why in pulled.failed]
    return row | {"outcome": pulled.outcome, "size": pulled.size, "copies": copies, "failed": failed}
