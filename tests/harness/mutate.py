"""Small mutations of critical modules, and whether the tests notice them: `invoke mutate`.

Each mutant is one change of one place: a comparison, a condition, a number, a call or a refusal left out. The tests of
its module run against it in a process of its own; a mutant that no test notices survives. tests/mutation.toml names the
modules with their tests, and explains the survivors that are known. docs/explanation/decisions/0027-own-mutations.md
tells why this is not mutmut or cosmic-ray.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import math
import os
import random
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness import mutant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tests" / "mutation.toml"
WANTED = 0.9  # of the mutants that are not explained
_FOREIGN = (
    "pytest",
    "hypothesis",
    "hypothesis.strategies",
    "paramiko",
    "pydantic",
    "rich.console",
    "invoke",
    "gnupg",
    "jinja2",
)
_LIMIT = 15.0  # seconds that a mutant's tests may take beside ten times what they take without it


@dataclass(frozen=True)
class Module:
    """A critical module: its path, the tests that have to notice a change of it, and its survivors with the reason."""

    path: str
    tests: tuple[str, ...]
    known: dict[str, str]
    least: float = WANTED  # of its mutants that are noticed; lower where its tests have not come that far


@dataclass
class Found:
    """What came of one module."""

    module: Module
    killed: int = 0
    known: int = 0
    survived: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Killed mutants of all that no reason is written for."""
        counted = self.killed + len(self.survived)
        return self.killed / counted if counted else 1.0

    def too_few(self, every: int) -> bool:
        """Whether fewer than the table wants were killed; of a part of all `every` mutants, beyond what chance explains."""
        counted, least = self.killed + len(self.survived), self.module.least
        chance = 2 * math.sqrt(least * (1 - least) / counted) if 0 < counted + self.known < every else 0.0
        return self.share < least - chance


def modules(names: Iterable[str] = ()) -> list[Module]:
    """Return the modules of the table, or those of them whose path ends with one of the names."""
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    found = [
        Module(path, tuple(row["tests"]), row.get("survives", {}), row.get("least", WANTED))
        for path, row in table.items()
    ]
    wanted = tuple(names)
    return [module for module in found if not wanted or module.path.endswith(wanted)]


def changed(since: str) -> list[str]:
    """Return the files that differ from a commit."""
    command = ["git", "diff", "--name-only", since, "--", "tscm_migrate", "tests"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout.split()


def sample(module: Module, count: int, seed: int) -> list[mutant.Mutant]:
    """Choose `count` of the module's mutants (0: all); the same for the same seed."""
    every = mutant.mutants((ROOT / module.path).read_text(encoding="utf-8"))
    if not count or count >= len(every):
        return every
    mixed = int(hashlib.sha256(f"{seed}:{module.path}".encode()).hexdigest(), 16)
    return sorted(random.Random(mixed).sample(every, count), key=lambda one: one.number)


class Run:
    """The tests of one module against one mutant (None: against the module as it is), in a process of its own."""

    def __init__(self, module: Module, change: mutant.Mutant | None, limit: float) -> None:
        self.change = change
        self.began = time.monotonic()
        self._end = self.began + limit
        self._pid = os.fork()
        if self._pid == 0:
            _in_child(module, change)

    def ended(self) -> int | None:
        """Pytest's status, or None while it runs; -1 for tests that took too long and were ended."""
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() < self._end:
            return None
        os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        return -1


def _in_child(module: Module, change: mutant.Mutant | None) -> None:
    """Never returns."""
    status = 70
    try:
        os.setsid()
        quiet = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(quiet, number)
        if change is not None:
            source = (ROOT / module.path).read_text(encoding="utf-8")
            name = module.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            mutant.install(name, ROOT / module.path, change.apply(source))
        import pytest

        words = [
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:randomly",
            "--timeout=60",
            "-m",
            "not namespaces and not slow",
        ]
        status = int(pytest.main([*words, *(str(ROOT / test) for test in module.tests)]))
    finally:
        os._exit(status)


def warm_up() -> None:
    """Import what is not ours before a process is made for each mutant: it takes longer than most of their tests."""
    for name in _FOREIGN:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def judged(module: Module, chosen: Sequence[mutant.Mutant], jobs: int) -> Iterator[tuple[mutant.Mutant, bool]]:
    """Yield each mutant with whether the tests noticed it, as they end.

    Raises:
        RuntimeError: the module's tests fail without any mutant.
    """
    first = Run(module, None, 600)
    while (status := first.ended()) is None:
        time.sleep(0.02)
    if status:
        raise RuntimeError(f"{module.path}: its tests fail without a mutant (pytest ends with {status})")
    limit = 10 * (time.monotonic() - first.began) + _LIMIT
    left, running = list(chosen), list[Run]()
    while left or running:
        while left and len(running) < jobs:
            running.append(Run(module, left.pop(0), limit))
        for run in list(running):
            status = run.ended()
            if status is not None and run.change is not None:
                running.remove(run)
                yield run.change, status != 0
        time.sleep(0.02)


def examined(module: Module, chosen: Sequence[mutant.Mutant], jobs: int, deadline: float) -> Found:
    """Run the chosen mutants of a module until the deadline (of `time.monotonic`)."""
    found, survivors = Found(module), list[mutant.Mutant]()
    for change, noticed in judged(module, chosen, jobs):
        if noticed:
            found.killed += 1
        elif change.text in module.known:
            found.known += 1
        else:
            survivors.append(change)
        if time.monotonic() > deadline:
            break
    survivors.sort(key=lambda one: one.number)
    found.survived = tuple(f"line {one.line}: {one.text}" for one in survivors)
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="invoke mutate", description=__doc__, allow_abbrev=False)
    parser.add_argument("names", nargs="*", help="ends of the modules' paths; all of the table without one")
    parser.add_argument("--count", type=int, default=30, help="mutants of each module, 0 for all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--since", default="", help="only modules that differ from this commit")
    parser.add_argument("--minutes", type=float, default=600.0, help="end after so many, with what is known by then")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Print what came of each module; 1 where fewer of one's mutants were noticed than its table says."""
    asked = _parser().parse_args(argv)
    if not hasattr(os, "fork"):
        sys.stderr.write("mutants run on POSIX systems only\n")
        return 2
    chosen = modules(asked.names)
    if asked.since:
        touched = set(changed(asked.since))
        chosen = [module for module in chosen if touched & {module.path, *module.tests}]
    warm_up()
    deadline = time.monotonic() + 60 * asked.minutes
    total, bad = Found(Module("all", (), {})), 0
    for module in chosen:
        if time.monotonic() > deadline:
            sys.stdout.write(f"{module.path}: not looked at, the time is over\n")
            continue
        try:
            found = examined(module, sample(module, asked.count, asked.seed), asked.jobs, deadline)
        except RuntimeError as error:
            sys.stdout.write(f"{error}\n")
            bad += 1
            continue
        bad += found.too_few(len(sample(module, 0, 1)))
        total.killed += found.killed
        total.known += found.known
        total.survived += found.survived
        sys.stdout.write(f"{module.path}: {found.killed} killed, {found.known} explained, {100 * found.share:.0f} %")
        sys.stdout.write("".join(f"\n  survived: {text}" for text in found.survived) + "\n")
        sys.stdout.flush()
    sys.stdout.write(f"all: {total.killed} killed, {total.known} explained, {len(total.survived)} survived: ")
    sys.stdout.write(f"{100 * total.share:.0f} %\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
