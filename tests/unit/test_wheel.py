"""The files in the wheel: the package without tests, and only those files of the demo that it uses."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path, PurePosixPath

import pytest

from tests.architecture import graph

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the wheel is built on POSIX")
ROOT = Path(__file__).parents[2]
# Modules that are started as programs; no other module imports them.
PROGRAMS = ("tasks.demo", "demo.guest.inside.main", "demo.embedded.shims.main")
TEST_TOOLS = {"tests", "pytest", "hypothesis", "xdist", "unittest"}


@pytest.fixture(scope="module")
def included() -> list[PurePosixPath]:
    """Return the files that the build backend puts into the wheel, without the metadata."""
    wheel = pytest.importorskip("hatchling.builders.wheel")
    files = wheel.WheelBuilder(str(ROOT)).recurse_included_files()
    return [PurePosixPath(Path(file.distribution_path).as_posix()) for file in files]


def test_wheel_contains_only_the_package(included: list[PurePosixPath]) -> None:
    suffixes = {".py", ".pyi", ".typed", ".toml", ".j2", ".css", ".js", ".sh", ".md", ".html", ".svg"}
    package = {
        PurePosixPath(path.relative_to(ROOT).as_posix())
        for path in (ROOT / "tscm_migrate").rglob("*")
        if path.is_file() and path.suffix in suffixes
    }
    assert set(included) == package
    assert {path.parts[0] for path in included} == {"tscm_migrate"}


def test_wheel_contains_no_test_and_no_harness(included: list[PurePosixPath]) -> None:
    words = re.compile(r"(?:^|_)(?:test|tests|harness|chaos|matrix|faults?|rig|conftest|fixtures?|stand_in)(?:_|$)")
    assert not [str(path) for path in included if any(words.search(PurePosixPath(part).stem) for part in path.parts)]
    for path in included:
        if path.suffix == ".py":
            assert not imported(path) & TEST_TOOLS, path


@pytest.mark.slow
def test_wheel_contains_only_the_demo_modules_in_use(included: list[PurePosixPath]) -> None:
    from tscm_migrate.demo.embedded.shims import SHIMS  # cannot be imported on Windows

    edges: dict[str, set[str]] = {}
    for name, other, _place, _line in graph.imports():
        edges.setdefault(name, set()).add(other)
    for function in SHIMS.values():  # imported by the name of the program that they replace
        edges.setdefault("demo.embedded.shims.main", set()).add(f"demo.embedded.shims.{function.partition('.')[0]}")
    reached, todo = set[str](), list(PROGRAMS)
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
    """Return the top-level names of all modules that a file imports."""
    names = set[str]()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names
