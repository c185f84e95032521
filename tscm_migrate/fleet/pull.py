"""`offsite pull` for many hosts: jobs, an executor, a table of outcomes, an exit code."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import Exit, MigrateError
from tscm_migrate.fleet.turns import Door, Outcome, run
from tscm_migrate.offsite.jobs import PullJob, Tools, do_pull
from tscm_migrate.offsite.pull import Pulled, stopping

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Executor

    from tscm_migrate.fleet.executors import Cluster

PullOutcome = Outcome[PullJob, Pulled]


@dataclass(frozen=True)
class Crew:
    """Who pulls: `jobs` at once, in threads, or in `processes` of this machine, or on a `cluster`."""

    jobs: int = 4
    processes: int = 0
    cluster: Cluster | None = None


def pulls(jobs: Sequence[PullJob], crew: Crew, tools: Tools) -> Iterator[PullOutcome]:
    """Pull from every host; yields each outcome as it is there.

    In threads, `tools` serve all of them; elsewhere each worker makes its own, and secrets never travel.
    """
    door = Door[PullJob](lambda job: job.host) if len(jobs) > crew.jobs else None
    with ExitStack() as stack:
        executor: Executor | None = None
        work: Any = do_pull
        if crew.cluster is not None:
            from tscm_migrate.fleet.executors import cluster

            executor, door = stack.enter_context(cluster(crew.cluster)), None  # the workers' network is not ours
        elif crew.processes:
            from tscm_migrate.fleet.executors import processes

            executor = stack.enter_context(processes(crew.processes))
        else:
            work = partial(do_pull, tools=tools)
        yield from run(jobs, work, jobs=crew.jobs, executor=executor, door=door, on_stop=stopping.set)


def exit_code(outcomes: Sequence[PullOutcome]) -> Exit:
    """0: all well; one host: its error's own code; several: 4 where some failed, 1 where all did."""
    failed = [outcome.error for outcome in outcomes if outcome.error is not None]
    if not failed:
        return Exit.DONE
    if len(outcomes) == 1:
        return failed[0].exit_code if isinstance(failed[0], MigrateError) else Exit.FAILED
    return Exit.FAILED if len(failed) == len(outcomes) else Exit.ATTENTION


def as_dict(outcome: PullOutcome) -> dict[str, Any]:
    """One line of `--json`."""
    told: dict[str, Any] = {"v": 1, "host": outcome.item.host.name, "seconds": round(outcome.seconds, 3)}
    if outcome.value is not None:
        told |= {"outcome": outcome.value.outcome, "size": outcome.value.size}
        told["copies"] = [{"outcome": copied.outcome, **copied.manifest.as_dict()} for copied in outcome.value.copies]
        return told
    error = outcome.error
    if isinstance(error, MigrateError):
        retry = error.retry.value
        return told | {"outcome": "failed", "code": error.code, "message": error.message(), "remedy": error.remedy(),
                       "retry": retry}  # fmt: skip
    return told | {"outcome": "failed", "code": "defect", "message": f"{type(error).__name__}: {error}"}
