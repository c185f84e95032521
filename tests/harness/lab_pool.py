"""Labs side by side, each in a process of its own: a run mostly waits, so several share two cores well."""

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
Found = TypeVar("Found")

_mine: list[Rig] = []  # of a worker: its rig, once it has one


class Broken(RuntimeError):
    """What a piece of work came to when the lab itself, not what is rehearsed in it, went wrong."""


class Abreast:
    """Some workers, each with a rig that it makes when it gets its first piece of work.

    Args:
        jobs: how many at once; on two cores five or six, for more makes runs miss their time-outs.
        make: a rig in an empty folder; a function of a module, since it travels to the workers.
    """

    def __init__(self, jobs: int, make: Make) -> None:
        self._jobs, self._make = jobs, make
        self._folder = tempfile.TemporaryDirectory(prefix="tscm-abreast-")
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(jobs, mp_context=context)

    def each(self, work: Callable[[Rig, Item], Found], items: Iterable[Item]) -> Iterator[tuple[Item, Found | Broken]]:
        """Do it for every item, whoever is free takes the next; yields as they end, and may be left at any time."""
        left = iter(items)
        going: dict[Future[Found], Item] = {}

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
                yield item, future.result() if error is None else Broken("".join(traceback.format_exception(error)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._folder.cleanup()


def _end_with_parent() -> None:
    """A worker whose parent was killed waits for work for ever; with it goes its lab."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(make: Make, folder: str, work: Callable[[Rig, Item], Found], item: Item) -> Found:
    """In a worker: a rig that failed is thrown away, so that the next piece gets a whole one."""
    if not _mine:
        threading.Thread(target=_end_with_parent, daemon=True, name="parent").start()
        _mine.append(make(Path(tempfile.mkdtemp(prefix="lab-", dir=folder))))
        Finalize(None, _mine[0].lab.close, exitpriority=10)
    try:
        return work(_mine[0], item)
    except Exception:
        _mine.pop().lab.close()
        raise
