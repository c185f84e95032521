"""Change critical modules in small ways, and check that their tests fail: `invoke mutate`.

A mutant is one change in one place: another comparison, condition or number, a call or a raise that is left out. The
module's tests run with it in a separate process; if they pass, the mutant survives. tests/mutation.toml lists the
modules with their tests, and explains known survivors. docs/explanation/decisions/0027-own-mutations.md says why this
is not mutmut or cosmic-ray.
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
WANTED = 0.9  # share of the mutants without an explanation that the tests have to notice
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
_COMMITS = 20  # the last commits, whose changes count if the last landing is not known
_LIMIT = 15.0  # seconds that the tests may take with a mutant, in addition to ten times their usual duration


@dataclass(frozen=True)
class Module:
    """A critical module: its path, the tests that have to notice changes, and known survivors with the reason."""

    path: str
    tests: tuple[str, ...]
    explained: dict[str, str]
    least: float = WANTED  # share of its mutants that have to be noticed


@dataclass
class ModuleResult:
    """Result of one module."""

    module: Module
    killed: int = 0
    explained: int = 0
    survived: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Share of killed mutants among those without an explanation."""
        counted = self.killed + len(self.survived)
        return self.killed / counted if counted else 1.0

    def too_few(self, every: int) -> bool:
        """Return whether too few were killed; for a sample of all `every` mutants, by more than chance explains."""
        counted, least = self.killed + len(self.survived), self.module.least
        chance = 3 * math.sqrt(least * (1 - least) / counted) if 0 < counted + self.explained < every else 0.0
        return self.share < least - chance


def modules(names: Iterable[str] = ()) -> list[Module]:
    """Return the modules of the table whose path ends with one of the names; all without names."""
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    result = [
        Module(path, tuple(row["tests"]), row.get("survives", {}), row.get("least", WANTED))
        for path, row in table.items()
    ]
    wanted = tuple(names)
    return [module for module in result if not wanted or module.path.endswith(wanted)]


def _git(*words: str) -> set[str]:
    """Return the lines that git prints about the files of the package and its tests; none without a repository."""
    command = ["git", *words, "--", "tscm_migrate", "tests"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.CalledProcessError):
        return set()
    return set(done.stdout.splitlines())


def changed(listed: Sequence[Module], since: str, seed: int) -> list[Module]:
    """Return the listed modules that were changed, or their tests, in an order that the seed chooses; at least one.

    These are the modules that differ from the commit `since`. If no module differs, or if the commit is not known, these
    are the modules that the last commits changed, and if these changed none, a single module that the seed chooses.
    """
    mixed = random.Random(seed).sample(listed, len(listed))
    for files in (_git("diff", "--name-only", since), _git("log", f"-n{_COMMITS}", "--name-only", "--format=")):
        if chosen := [module for module in mixed if files & {module.path, *module.tests}]:
            return chosen
    return mixed[:1]


def sample(module: Module, count: int, seed: int) -> list[mutant.Mutant]:
    """Choose `count` of the module's mutants (0: all); the same seed gives the same choice."""
    every = mutant.mutants((ROOT / module.path).read_text(encoding="utf-8"))
    if not count or count >= len(every):
        return every
    mixed = int(hashlib.sha256(f"{seed}:{module.path}".encode()).hexdigest(), 16)
    return sorted(random.Random(mixed).sample(every, count), key=lambda one: one.number)


class Run:
    """A process that runs a module's tests with one mutant (None: with the unchanged module)."""

    def __init__(self, module: Module, change: mutant.Mutant | None, limit: float) -> None:
        self.change = change
        self.began = time.monotonic()
        self._end = self.began + limit
        self._pid = os.fork()
        if self._pid == 0:
            _in_child(module, change)

    def ended(self) -> int | None:
        """Return pytest's status, None while it runs, or -1 if it was killed after the timeout."""
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() < self._end:
            return None
        os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        return -1


def _in_child(module: Module, change: mutant.Mutant | None) -> None:
    """Run pytest in the child process, and exit with its status."""
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
    """Import third-party packages before the processes fork: that takes longer than most tests of a mutant."""
    for name in _FOREIGN:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def run_mutants(module: Module, chosen: Sequence[mutant.Mutant], jobs: int) -> Iterator[tuple[mutant.Mutant, bool]]:
    """Yield each mutant, with whether the tests noticed it, in the order in which the tests end.

    Raises:
        RuntimeError: the module's tests fail without any mutant.
    """
    first = Run(module, None, 600)
    while (status := first.ended()) is None:
        time.sleep(0.02)
    if status:
        raise RuntimeError(f"{module.path}: its tests fail without a mutant (exit status {status} of pytest)")
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


def examine(module: Module, chosen: Sequence[mutant.Mutant], jobs: int, deadline: float) -> ModuleResult:
    """Run the chosen mutants of a module until the deadline (of `time.monotonic`)."""
    result, survivors = ModuleResult(module), list[mutant.Mutant]()
    for change, noticed in run_mutants(module, chosen, jobs):
        if noticed:
            result.killed += 1
        elif change.text in module.explained:
            result.explained += 1
        else:
            survivors.append(change)
        if time.monotonic() > deadline:
            break
    survivors.sort(key=lambda one: one.number)
    result.survived = tuple(f"line {one.line}: {one.text}" for one in survivors)
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="invoke mutate", description=__doc__, allow_abbrev=False)
    parser.add_argument("names", nargs="*", help="endings of module paths; without names all modules of the table")
    parser.add_argument("--count", type=int, default=30, help="mutants of each module, 0 for all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--since", default="", help="only modules that differ from this commit; at least one")
    parser.add_argument(
        "--minutes", type=float, default=600.0, help="stop after this time, and print the results so far"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Print the result of each module; return 1 if the tests of one noticed too few mutants."""
    options = _parser().parse_args(argv)
    if not hasattr(os, "fork"):
        sys.stderr.write("mutants run on POSIX systems only\n")
        return 2
    chosen = modules(options.names)
    if options.since:
        chosen = changed(chosen, options.since, options.seed)
    warm_up()
    deadline = time.monotonic() + 60 * options.minutes
    total, bad = ModuleResult(Module("all", (), {})), 0
    for module in chosen:
        if time.monotonic() > deadline:
            sys.stdout.write(f"{module.path}: not tested: the time is over\n")
            continue
        try:
            result = examine(module, sample(module, options.count, options.seed), options.jobs, deadline)
        except RuntimeError as error:
            sys.stdout.write(f"{error}\n")
            bad += 1
            continue
        bad += result.too_few(len(sample(module, 0, 1)))
        total.killed += result.killed
        total.explained += result.explained
        total.survived += result.survived
        sys.stdout.write(
            f"{module.path}: {result.killed} killed, {result.explained} explained, {100 * result.share:.0f} %"
        )
        sys.stdout.write("".join(f"\n  survived: {text}" for text in result.survived) + "\n")
        sys.stdout.flush()
    sys.stdout.write(f"all: {total.killed} killed, {total.explained} explained, {len(total.survived)} survived: ")
    sys.stdout.write(f"{100 * total.share:.0f} %\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
