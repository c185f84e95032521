"""A pool of worker processes, each with its own lab: a migration mostly waits, so several can share two cores."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
import traceback
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.harness.rig import Rig

    Make = Callable[[Path], Rig]

Item = TypeVar("Item")
Result = TypeVar("Result")

_mine: list[Rig] = []  # in a worker process: its rig, once it is made


class LabFailed(RuntimeError):
    """Result of a work item where the lab failed, not the migration in it."""


class LabPool:
    """Worker processes; each makes its rig when it gets its first work item.

    Args:
        jobs: number of workers; on two cores five or six: with more, runs exceed their timeouts.
        make: returns a rig in an empty folder; a function of a module, because it is pickled.
    """

    def __init__(self, jobs: int, make: Make) -> None:
        self._jobs, self._make = jobs, make
        self._folder = tempfile.TemporaryDirectory(prefix="tscm-labs-")
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(jobs, mp_context=context)

    def each(
        self, work: Callable[[Rig, Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result | LabFailed]]:
        """Call `work` for every item on a free worker; yield results as they complete. May be closed at any time."""
        left = iter(items)
        going: dict[Future[Result], Item] = {}

        def more(count: int) -> None:
            for item in islice(left, count):
                going[self._pool.submit(_do, self._make, self._folder.name, work, item)] = item

        more(self._jobs)
        while going:
            ended, _ = wait(going, return_when=FIRST_COMPLETED)
            for future in ended:
                item = going.pop(future)
                more(1)
                error = future.exception()
                yield item, future.result() if error is None else LabFailed("".join(traceback.format_exception(error)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._folder.cleanup()


def _end_with_parent() -> None:
    """End this worker, and so its lab, when its parent process is killed; it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(make: Make, folder: str, work: Callable[[Rig, Item], Result], item: Item) -> Result:
    """Run one work item in a worker; after an exception its rig is closed, and the next item gets another rig."""
    if not _mine:
        threading.Thread(target=_end_with_parent, daemon=True, name="parent").start()
        _mine.append(make(Path(tempfile.mkdtemp(prefix="lab-", dir=folder))))
        Finalize(None, _mine[0].lab.close, exitpriority=10)
    try:
        return work(_mine[0], item)
    except Exception:
        _mine.pop().lab.close()
        raise
