"""Tasks of the repository, see `invoke --list`: the tool's own commands, and those for its development."""

from __future__ import annotations

import importlib
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tscm_migrate.tasks import tree
from tscm_migrate.tasks.base import command

if TYPE_CHECKING:
    from invoke.context import Context

ROOT = Path(__file__).parent
PYTHON = f'"{sys.executable}"'
# requirements/NAME.txt, each made with these options of uv; the later ones take their versions from dev.txt
LOCKS = {"dev": "--group dev", "runtime": "-c requirements/dev.txt", "test": "--group test -c requirements/dev.txt"}
OLDEST = "--isolated --no-default-groups --group test --extra lab --extra notify --resolution lowest-direct"
OLDEST_TESTS = "tests/unit tests/ssh tests/contract tests/cli/test_demo.py"
CASES = 6  # of each parametrised test that `invoke test --fast` runs, others each day
JOBS = str(importlib.import_module("try").workers())
LOCKING = "--universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q"


def _run(context: Context, line: str) -> int:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each process would compile all tests again
    with context.cd(str(ROOT)):
        done = context.run(line, pty=False, warn=True, in_stream=False)
    return done.exited if done is not None else 1


@command(
    help={
        "fast": f"Run no slow tests, none in namespaces, and {CASES} cases of each parametrised test, others each day.",
        "cover": "Measure coverage, and list the lines that no test reaches.",
        "jobs": "Number of parallel test processes.",
        "windows": "Run the tests for Windows on its Python, under wine.",
        "oldest": "Run a part of the tests with the oldest dependencies that pyproject.toml permits.",
        "more": "Further arguments for pytest.",
    }
)
def test(  # noqa: PLR0917 - the options of the command line
    context: Context, fast: bool = False, cover: bool = False, jobs: str = JOBS, windows: bool = False,
    oldest: bool = False, more: str = "",
) -> int:  # fmt: skip
    """Run the tests."""
    if oldest:
        return _run(context, f"{PYTHON} -m uv run {OLDEST} python -m pytest {more or OLDEST_TESTS}")
    if windows:
        return _run(context, f"{PYTHON} tests/windows/wine.py {more}")
    if fast:  # these tests rarely wait, and each worker has to import all tests first
        jobs = str((os.cpu_count() or 1) + 1) if jobs == JOBS else jobs
        more = f'-m "not slow and not namespaces" --cases={CASES} --cases-seed={datetime.now(UTC):%y%j} {more}'
    words = [f"{PYTHON} -m pytest -n {jobs} --dist worksteal"]
    words += ["--cov --cov-report=term-missing:skip-covered"] if cover else []
    return _run(context, " ".join([*words, more]))


@command(help={"fix": "Fix what can be fixed automatically."})
def lint(context: Context, fix: bool = False) -> int:
    """Check style and types, for Linux and for Windows."""
    lines = (
        f"{PYTHON} -m ruff check {'--fix' if fix else ''} .",
        f"{PYTHON} -m ruff format {'' if fix else '--check'} .",
        f"{PYTHON} -m vulture",
        f"{PYTHON} -m mypy",
        f"{PYTHON} -m mypy --platform win32 --exclude '(tscm_migrate/demo|tests/harness)/'",
    )
    return max([_run(context, line) for line in lines])


@command()
def docs(context: Context) -> int:
    """Build the documentation; a warning is an error."""
    return _run(context, f"{PYTHON} -m sphinx -W --keep-going -q -b html docs docs/_build/html")


@command(
    help={
        "seed": "The first schedule's seed.",
        "count": "Number of schedules.",
        "jobs": "Number of labs that run at the same time.",
    }
)
def chaos(context: Context, seed: int = 1, count: int = 10, jobs: int = 1) -> int:
    """Migrate under random faults in the namespace lab (needs root); print each failing seed, with fewer faults."""
    return _run(context, f"{PYTHON} -m tests.harness.chaos --seed {seed} --count {count} --jobs {jobs}")


@command(
    help={
        "method": "Transfer methods: tar, sftp, rsync (separated by commas), or all.",
        "how": "Fault: kill, off-old or off-new (power of that appliance), separated by commas, or all.",
        "verb": "Command that is run afterwards: resume, rollback, or all.",
        "jobs": "Number of labs that run at the same time; on two cores at most six.",
        "more": "Further arguments for tests.harness.matrix.",
    }
)
def matrix(  # noqa: PLR0917
    context: Context, method: str = "all", how: str = "all", verb: str = "all", jobs: int = 1, more: str = ""
) -> int:
    """Stop a migration before and after each event, then resume it or roll it back (needs root; takes hours)."""
    words = f"--method {method} --how {how} --verb {verb} --jobs {jobs}"
    return _run(context, f"{PYTHON} -m tests.harness.matrix {words} {more}")


@command(
    help={
        "count": "Number of mutants of each module; 0 for all.",
        "seed": "Seed of the random choice of mutants.",
        "jobs": "Number of mutants that are tested at the same time.",
        "more": "Endings of module paths, and further options: --since COMMIT, --minutes N.",
    }
)
def mutate(context: Context, count: int = 30, seed: int = 1, jobs: int = 2, more: str = "") -> int:
    """Change critical modules in small ways, and check that their tests fail (not on Windows)."""
    return _run(context, f"{PYTHON} -m tests.harness.mutate --count {count} --seed {seed} --jobs {jobs} {more}")


@command(
    help={
        "rounds": "Number of measurements of each contender.",
        "size": "Size of the archive in MiB; default: 1024 on loopback, less on a slow link.",
        "rtt": "Round-trip times in milliseconds, separated by commas; 0: loopback.",
        "link": "Links of benchmarks/links.py, separated by commas, or all (needs root).",
        "only": "Names of contenders (with --all: of benchmarks), separated by commas.",
        "json": "File that the figures are written to.",
        "all": "Run all benchmarks, print one page with their ratios, and write it into the docs (needs root).",
        "ansible": "With --all: path of ansible-playbook, for the comparison with a playbook.",
    }
)
def bench(  # noqa: PLR0917
    context: Context, rounds: str = "5", size: str = "0", rtt: str = "0", link: str = "", only: str = "",
    json: str = "", all: bool = False, ansible: str = "",  # noqa: A002 - the option's name
) -> int:  # fmt: skip
    """Compare the transfers with scp, rsync and paramiko, on loopback and over slow links, or run all benchmarks."""
    given = {"only": only, "ansible": ansible} if all else {"rtt": rtt, "link": link, "only": only, "json": json}
    words = [
        f"{PYTHON} -m benchmarks.page" if all else f"{PYTHON} -m benchmarks.transfers --rounds {rounds} --size {size}"
    ]
    return _run(context, " ".join([*words, *(f'--{name} "{value}"' for name, value in given.items() if value)]))


@command(help={"upgrade": "Take the newest versions of all packages, also of those that are locked already."})
def lock(context: Context, upgrade: bool = False) -> int:
    """Write requirements/*.txt from pyproject.toml: exact versions with hashes, for every platform."""
    for name, chosen in LOCKS.items():
        more = "--upgrade" if upgrade and name == "dev" else ""
        line = f"{PYTHON} -m uv pip compile {LOCKING} {more} {chosen} pyproject.toml -o requirements/{name}.txt"
        if status := _run(context, line):
            return status
    return 0


@command(help={"out": "Folder for the files."})
def release(context: Context, out: str = "dist") -> int:
    """Build the wheel, the sdist, their bill of materials and their checksums."""
    return _run(context, f'{PYTHON} release.py "{out}"')


@command()
def picture(context: Context) -> int:
    """Make the documentation's pictures of a run from the terminal of a demo (not on Windows)."""
    return _run(context, f"{PYTHON} -m docs._picture")


namespace = tree.namespace()
for _task in (test, lint, docs, lock, release, bench, chaos, matrix, mutate, picture):
    namespace.add_task(_task)
