"""Each test has an assertion that is reached whatever its data is."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parents[1]
Function = ast.FunctionDef | ast.AsyncFunctionDef
# Tests whose assertions are all inside a loop over generated data, and why it has elements.
GENERATED = {
    "test_received_messages_equal_paramikos": "most generated lists have steps, and each step is one message",
    "test_future_protected_and_last_copies_are_kept": "another test finds a generated case for each of its assertions",
    "test_the_newest_verified_copy_of_each_host_stays": "another test finds a generated case for each of its assertions",
    "test_the_quick_search_finds_the_copies_that_another_may_not_displace": "another test finds both answers",
}


@cache
def functions() -> list[tuple[Path, Function]]:
    """Return all functions of the tests and of their helpers."""
    trees = ((path, ast.parse(path.read_text(encoding="utf-8"))) for path in sorted(TESTS.rglob("*.py")))
    return [(path, node) for path, tree in trees for node in ast.walk(tree) if isinstance(node, Function)]


def called(node: ast.AST) -> set[str]:
    """Return the last part of the name of each function that is called."""
    functions_ = [call.func for call in ast.walk(node) if isinstance(call, ast.Call)]
    named = (f.id if isinstance(f, ast.Name) else f.attr if isinstance(f, ast.Attribute) else "" for f in functions_)
    return set(named)


def fails_by_itself(node: ast.AST) -> bool:
    return any(isinstance(each, ast.Assert | ast.Raise) for each in ast.walk(node)) or bool(
        called(node) & {"raises", "warns", "fail"}
    )


@cache
def checking() -> frozenset[str]:
    """Return the names of the functions that assert something, themselves or through others."""
    names = {node.name for _, node in functions() if fails_by_itself(node)}
    while more := {node.name for _, node in functions() if node.name not in names and called(node) & names}:
        names |= more
    return frozenset(names)


def checks(node: ast.AST) -> bool:
    return fails_by_itself(node) or bool(called(node) & checking())


def has_elements(iterable: ast.expr) -> bool:
    """Return whether a loop over this expression runs at least once: a literal, a constant, or made of these."""
    if isinstance(iterable, ast.Tuple | ast.List | ast.Set):
        return bool(iterable.elts)
    if isinstance(iterable, ast.Dict):
        return bool(iterable.keys)
    if isinstance(iterable, ast.Name):
        return iterable.id.isupper()
    if isinstance(iterable, ast.IfExp):
        return has_elements(iterable.body) and has_elements(iterable.orelse)
    if isinstance(iterable, ast.Call):
        name = called(iterable) & {"range", "enumerate", "zip", "product", "items", "values", "pairwise", "sorted"}
        owner = [iterable.func.value] if isinstance(iterable.func, ast.Attribute) else []
        return bool(name) and (name == {"range"} or all(map(has_elements, [*owner, *iterable.args])))
    return False


def always_checks(statements: list[ast.stmt]) -> bool:
    """Return whether one of the statements asserts something on each path."""
    return any(_always(statement) for statement in statements)


def _always(statement: ast.stmt) -> bool:
    match statement:
        case ast.For():
            return checks(statement.iter) or (has_elements(statement.iter) and always_checks(statement.body))
        case ast.While():
            return checks(statement.test)
        case ast.If():
            return always_checks(statement.body) and always_checks(statement.orelse)
        case ast.With() | ast.AsyncWith():
            return any(checks(item.context_expr) for item in statement.items) or always_checks(statement.body)
        case ast.Try():
            return always_checks(statement.body) or always_checks(statement.finalbody)
    return not isinstance(statement, Function | ast.ClassDef) and checks(statement)


def only_of_types(node: Function) -> bool:
    """Return whether the only assertions are that something is an instance of a type."""
    tests = [each.test for each in ast.walk(node) if isinstance(each, ast.Assert)]
    types = [each for each in tests if isinstance(each, ast.Call) and called(each) == {"isinstance"}]
    return bool(tests) and len(types) == len(tests) and not called(node) & (checking() | {"raises"})


def test_each_test_asserts_something_whatever_its_data_is() -> None:
    tests = [(path, node) for path, node in functions() if node.name.startswith("test_")]
    assert len(tests) > 1000
    weak = {node.name for _, node in tests if not always_checks(node.body)}
    assert weak == set(GENERATED)


def test_no_test_only_asserts_the_type_of_a_result() -> None:
    assert [node.name for _, node in functions() if node.name.startswith("test_") and only_of_types(node)] == []


def test_the_check_finds_tests_that_cannot_fail() -> None:
    bodies = [
        "pass",
        "for x in found():\n assert x",
        "if x:\n assert x",
        "def inner():\n assert x",
        "for x in []:\n assert x",
    ]
    assert [always_checks(ast.parse(body).body) for body in bodies] == [False] * len(bodies)
    good = [
        "assert x",
        "for x in (1, 2):\n assert x",
        "with pytest.raises(KeyError):\n f()",
        "if x:\n assert x\nelse:\n assert y",
    ]
    assert [always_checks(ast.parse(body).body) for body in good] == [True] * len(good)
