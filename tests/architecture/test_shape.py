"""The shape of the package: no circles of imports, no imports inside functions, each class name once, and its figures.

`python -m tests.architecture.graph` prints everything counted here.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.architecture import graph
from tests.architecture.graph import (
    class_names,
    complex_functions,
    figures,
    functions,
    late_imports,
    lines,
    modules,
    package_circles,
)

UI_MAY_IMPORT = {"", "archive", "errors", "events", "model", "ui", "util"}
LONGEST = 450  # lines of a module
IMPORT_SHARE = 10.6  # per cent of the lines of code; wanted: 8; lower it when the share has shrunk


def test_no_modules_import_one_another() -> None:
    """Wherever the import stands: also inside functions, and for type checking only."""
    assert not package_circles()


def test_imports_stand_at_the_top_of_a_module() -> None:
    """Rooms in MAY_IMPORT_LATE import inside functions, so that `--help` is fast."""
    assert not late_imports()


@pytest.mark.parametrize("name", [name for name in modules() if graph.room(name) == "ui"])
def test_ui_shows_events_and_plain_data_and_reads_no_journal(name: str) -> None:
    """The types of what is shown may come from anywhere; they are for the type checker only."""
    found = {
        target
        for node, place in graph.statements(graph.parsed(modules()[name]))
        if place != graph.TYPING
        for target in graph.named(name, node, modules())
        if graph.room(target) not in UI_MAY_IMPORT
    }
    assert not found


def test_each_class_name_is_there_once() -> None:
    assert not class_names()


@pytest.mark.parametrize("name", modules())
def test_no_module_or_function_is_too_long_to_be_read(name: str) -> None:
    assert lines(modules()[name]) <= LONGEST
    for node in ast.walk(graph.parsed(modules()[name])):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{name}:{node.lineno}: {node.name}"


def test_most_functions_are_short() -> None:
    assert figures()["functions over 40 lines, %"] < 2, [name for name, length in functions() if length > 40]


def test_no_function_has_many_branches() -> None:
    """ruff's C901 counts neither boolean operators nor comprehensions; this does, as radon."""
    assert not complex_functions(12)


@pytest.mark.parametrize(
    ("body", "number"),
    [
        ("pass", 1),
        ("if a and b or c: pass\nelif d: pass\nelse: pass", 5),
        ("return [x for x in y if x for z in x] if y else ()", 5),
        ("for x in y:\n  while x: pass\n  else: pass", 4),
        ("try: pass\nexcept A: pass\nexcept B: pass\nelse: pass", 4),
        ("def inner():\n  if a: pass\nreturn inner", 1),
        ("match x:\n  case 1: pass\n  case [2, _]: pass\n  case _: pass", 3),
    ],
)
def test_the_branches_of_a_function_are_counted_as_radon_counts_them(body: str, number: int) -> None:
    tree = ast.parse("def f():\n" + "\n".join(f"  {line}" for line in body.split("\n")))
    assert isinstance(tree.body[0], ast.FunctionDef)
    assert graph.complexity(tree.body[0]) == number


def test_the_package_is_cut_into_subjects_and_not_into_shards() -> None:
    assert 150 <= figures()["mean lines of a module"] <= 220
    assert figures()["import lines, % of code"] <= IMPORT_SHARE


@pytest.mark.parametrize(
    ("edges", "found"),
    [
        ({"a": {"b"}, "b": {"c"}}, []),
        ({"a": {"b"}, "b": {"a"}}, [["a", "b"]]),
        ({"a": {"b"}, "b": {"c"}, "c": {"b"}}, [["b", "c"]]),
        ({"a": {"b"}, "b": {"a", "c"}, "c": {"d"}, "d": {"c"}}, [["a", "b"], ["c", "d"]]),
    ],
)
def test_a_circle_would_be_seen(edges: dict[str, set[str]], found: list[list[str]]) -> None:
    assert graph.circles(edges) == found


SEEN = """
from __future__ import annotations
from .. import model
from .shell import Shell
from tscm_migrate.errors import SshError as E
import tscm_migrate.ssh.auth
if TYPE_CHECKING:
    from . import pinning
def f():
    if x:
        from tscm_migrate import secrets
"""


def test_every_spelling_and_place_of_an_import_would_be_seen() -> None:
    known = {
        name: Path(f"{name}.py") for name in ("model", "ssh.shell", "ssh.auth", "ssh.pinning", "errors", "secrets")
    }
    known["ssh.connect"] = Path("connect.py")
    found = [
        (name, place)
        for node, place in graph.statements(ast.parse(SEEN))
        for name in graph.named("ssh.connect", node, known)
    ]
    assert found == [
        ("model", graph.TOP),
        ("ssh.shell", graph.TOP),
        ("errors", graph.TOP),
        ("ssh.auth", graph.TOP),
        ("ssh.pinning", graph.TYPING),
        ("secrets", graph.LATE),
    ]
