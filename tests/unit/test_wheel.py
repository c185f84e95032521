"""The list of files that the wheel contains: the package and nothing of the tests; of the demo only what it needs."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path, PurePosixPath

import pytest

from tests.architecture import graph

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the wheel is built on POSIX")
ROOT = Path(__file__).parents[2]
# What is started as a program, so that no module imports it.
STARTED = ("tasks.demo", "demo.guest.inside.main", "demo.embedded.shims.main")
TEST_TOOLS = {"tests", "pytest", "hypothesis", "xdist", "unittest"}


@pytest.fixture(scope="module")
def included() -> list[PurePosixPath]:
    """What the build backend puts into the wheel, beside the metadata."""
    wheel = pytest.importorskip("hatchling.builders.wheel")
    files = wheel.WheelBuilder(str(ROOT)).recurse_included_files()
    return [PurePosixPath(Path(file.distribution_path).as_posix()) for file in files]


def test_the_wheel_contains_the_package_and_nothing_else(included: list[PurePosixPath]) -> None:
    kept = {".py", ".pyi", ".typed", ".toml", ".j2", ".css", ".js", ".sh", ".md", ".html", ".svg"}
    package = {
        PurePosixPath(path.relative_to(ROOT).as_posix())
        for path in (ROOT / "tscm_migrate").rglob("*")
        if path.is_file() and path.suffix in kept
    }
    assert set(included) == package
    assert {path.parts[0] for path in included} == {"tscm_migrate"}


def test_no_test_and_no_test_harness_is_in_it(included: list[PurePosixPath]) -> None:
    words = re.compile(r"(?:^|_)(?:test|tests|harness|chaos|matrix|faults?|rig|conftest|fixtures?|stand_in)(?:_|$)")
    assert not [str(path) for path in included if any(words.search(PurePosixPath(part).stem) for part in path.parts)]
    for path in included:
        if path.suffix == ".py":
            assert not imported(path) & TEST_TOOLS, path


@pytest.mark.slow
def test_of_the_demo_it_contains_only_what_the_demo_uses(included: list[PurePosixPath]) -> None:
    from tscm_migrate.demo.embedded.shims.main import SHIMS  # cannot be imported on Windows

    edges: dict[str, set[str]] = {}
    for name, other, _place, _line in graph.imports():
        edges.setdefault(name, set()).add(other)
    for function in SHIMS.values():  # imported by the name of the program that they replace
        edges.setdefault("demo.embedded.shims.main", set()).add(f"demo.embedded.shims.{function.partition('.')[0]}")
    reached, todo = set[str](), list(STARTED)
    while todo:
        name = todo.pop()
        if name not in reached:
            assert name in graph.modules()
            reached.add(name)
            todo += edges.get(name, ())
    modules = {".".join(path.with_suffix("").parts[1:]).removesuffix(".__init__") for path in included}
    demo = {name for name in modules if name.partition(".")[0] == "demo"}
    assert not {name for name in demo - reached if not any(other.startswith(f"{name}.") for other in reached)}


def imported(path: PurePosixPath) -> set[str]:
    """First names of all modules that a file imports."""
    found = set[str]()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found
