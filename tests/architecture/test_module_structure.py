"""The package has no import cycles, no late imports, no repeated class names, and no long or complex functions.

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
    package_cycles,
)

UI_MAY_IMPORT = {"", "archive", "errors", "events", "model", "ui", "util"}
LONGEST = 450  # lines of a module
IMPORT_SHARE = 9.2  # per cent of the lines of code; the aim is 8: lower it when the share has become smaller


def test_package_has_no_import_cycles() -> None:
    """Imports inside functions and those for type checking only count, too."""
    assert not package_cycles()


def test_imports_are_at_module_level() -> None:
    """The parts in MAY_IMPORT_LATE import inside functions, so that `--help` is fast."""
    assert not late_imports()


def test_ui_imports_only_events_and_plain_data() -> None:
    """Imports for type checking only are allowed from everywhere."""
    forbidden = {
        f"{name} imports {target}"
        for name, target, place, _ in graph.imports()
        if graph.part(name) == "ui" and place != graph.TYPING and graph.part(target) not in UI_MAY_IMPORT
    }
    assert not forbidden


def test_class_names_are_unique_in_the_package() -> None:
    assert not class_names()


def test_no_module_and_no_function_is_too_long() -> None:
    assert [name for name, path in modules().items() if lines(path) > LONGEST] == []
    assert [name for name, length in functions() if length > 60] == []


def test_few_functions_have_more_than_40_lines() -> None:
    assert figures()["functions over 40 lines, %"] < 2, [name for name, length in functions() if length > 40]


def test_no_function_has_a_complexity_over_12() -> None:
    """Boolean operators and comprehensions count, as in radon; ruff's C901 does not count them."""
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
def test_complexity_is_counted_as_radon_counts_it(body: str, number: int) -> None:
    tree = ast.parse("def f():\n" + "\n".join(f"  {line}" for line in body.split("\n")))
    assert isinstance(tree.body[0], ast.FunctionDef)
    assert graph.complexity(tree.body[0]) == number


def test_modules_have_a_moderate_size_and_few_imports() -> None:
    assert 150 <= figures()["mean lines of a module"] <= 220
    assert figures()["import lines, % of code"] <= IMPORT_SHARE


@pytest.mark.parametrize(
    ("edges", "cycles"),
    [
        ({"a": {"b"}, "b": {"c"}}, []),
        ({"a": {"b"}, "b": {"a"}}, [["a", "b"]]),
        ({"a": {"b"}, "b": {"c"}, "c": {"b"}}, [["b", "c"]]),
        ({"a": {"b"}, "b": {"a", "c"}, "c": {"d"}, "d": {"c"}}, [["a", "b"], ["c", "d"]]),
    ],
)
def test_import_cycle_is_detected(edges: dict[str, set[str]], cycles: list[list[str]]) -> None:
    assert graph.cycles(edges) == cycles


IMPORTS = """
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


def test_imports_of_every_form_and_place_are_detected() -> None:
    known = {
        name: Path(f"{name}.py") for name in ("model", "ssh.shell", "ssh.auth", "ssh.pinning", "errors", "secrets")
    }
    known["ssh.connect"] = Path("connect.py")
    imports = [
        (name, place)
        for node, place in graph.statements(ast.parse(IMPORTS))
        for name in graph.named("ssh.connect", node, known)
    ]
    assert imports == [
        ("model", graph.TOP),
        ("ssh.shell", graph.TOP),
        ("errors", graph.TOP),
        ("ssh.auth", graph.TOP),
        ("ssh.pinning", graph.TYPING),
        ("secrets", graph.LATE),
    ]
