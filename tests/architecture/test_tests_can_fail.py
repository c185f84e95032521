"""Each test has an assertion that is reached whatever its data is."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

TESTS = Path(__file__).parents[1]
KEEPING_ELEMENTS = {"enumerate", "zip", "product", "items", "values", "pairwise", "sorted"}
Function = ast.FunctionDef | ast.AsyncFunctionDef
# Tests whose assertions are all inside a loop over generated data, and why it has elements.
GENERATED = {
    "test_received_messages_equal_paramikos": "most generated lists have steps, and each step is one message",
    "test_future_protected_and_last_copies_are_kept": "another test finds a generated case for each of its assertions",
    "test_the_newest_verified_copy_of_each_host_stays": "another test finds a generated case for each of its assertions",
    "test_the_quick_search_finds_the_copies_that_another_may_not_displace": "another test finds both answers",
}


@dataclass(frozen=True)
class Scope:
    """What the names in one function of the tests refer to."""

    module: str
    owner: str = ""  # the class of a method
    names: Mapping[str, str] = field(default_factory=dict, hash=False, compare=False)  # name → qualified name
    types: Mapping[str, str] = field(
        default_factory=dict, hash=False, compare=False
    )  # parameter or variable → qualified class

    def qualified(self, function: ast.expr) -> str:
        """Return the qualified name of a called function, or an empty string where its object is unknown."""
        match function:
            case ast.Name(id=name):
                return self.names.get(name, "")
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name):
                return f"{self.module}.{self.owner}.{name}"
            case ast.Attribute(value=ast.Name(id=owner), attr=name):
                known = self.types.get(owner) or self.names.get(owner)
                return f"{known}.{name}" if known else ""
            case ast.Attribute(value=ast.Call(func=inner), attr=name):
                known = self.qualified(inner)
                return f"{known}.{name}" if known else ""
        return ""


def module_names(module: str, tree: ast.Module) -> dict[str, str]:
    """Return what each name that a module defines or imports refers to."""
    names = {}
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=source, names=imported, level=0):
                names |= {each.asname or each.name: f"{source}.{each.name}" for each in imported}
            case ast.Import(names=imported):
                names |= {each.asname or each.name: each.name for each in imported}
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names[name] = f"{module}.{name}"
    return names


def scope(node: Function, module: str, owner: str, names: Mapping[str, str]) -> Scope:
    """Return the scope of a function: its module's names, and the classes of its parameters and local objects."""
    classes = {
        each.arg: names[each.annotation.id]
        for each in (*node.args.args, *node.args.kwonlyargs)
        if isinstance(each.annotation, ast.Name) and each.annotation.id in names
    }
    for each in ast.walk(node):
        match each:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id=made))) if made in names:
                classes[name] = names[made]
            case ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Name(id=made)) if made in names:
                classes[name] = names[made]
    return Scope(module, owner, names, classes)


@cache
def functions() -> dict[str, tuple[Function, Scope]]:
    """Return all functions of the tests and of their helpers by qualified name."""
    found = {}
    for path in sorted(TESTS.rglob("*.py")):
        module = ".".join(path.relative_to(TESTS.parent).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = module_names(module, tree)
        owners = {each: node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for each in node.body}
        for node in ast.walk(tree):
            if isinstance(node, Function):
                owner = owners.get(node, "")
                name = ".".join(filter(None, (module, owner, node.name)))
                found.setdefault(name, (node, scope(node, module, owner, names)))
    return found


def called(node: ast.AST, where: Scope) -> set[str]:
    """Return the qualified name of each function that is called."""
    return {where.qualified(call.func) for call in ast.walk(node) if isinstance(call, ast.Call)} - {""}


def fails_by_itself(node: ast.AST, where: Scope) -> bool:
    return any(isinstance(each, ast.Assert | ast.Raise) for each in ast.walk(node)) or bool(
        called(node, where) & {"pytest.raises", "pytest.warns", "pytest.fail"}
    )


@cache
def checking() -> frozenset[str]:
    """Return the qualified names of the functions that assert something, themselves or through others."""
    names = {name for name, (node, where) in functions().items() if fails_by_itself(node, where)}
    rest = {name: called(node, where) for name, (node, where) in functions().items() if name not in names}
    while more := {name for name, calls in rest.items() if name not in names and calls & names}:
        names |= more
    return frozenset(names)


def checks(node: ast.AST, where: Scope) -> bool:
    return fails_by_itself(node, where) or bool(called(node, where) & checking())


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
        function = iterable.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        owner = [function.value] if isinstance(function, ast.Attribute) else []
        return name == "range" or (name in KEEPING_ELEMENTS and all(map(has_elements, [*owner, *iterable.args])))
    return False


def always_checks(statements: list[ast.stmt], where: Scope) -> bool:
    """Return whether one of the statements asserts something on each path."""
    return any(_always(statement, where) for statement in statements)


def _always(statement: ast.stmt, where: Scope) -> bool:
    match statement:
        case ast.For():
            return checks(statement.iter, where) or (
                has_elements(statement.iter) and always_checks(statement.body, where)
            )
        case ast.While():
            return checks(statement.test, where)
        case ast.If():
            return always_checks(statement.body, where) and always_checks(statement.orelse, where)
        case ast.With() | ast.AsyncWith():
            return any(checks(item.context_expr, where) for item in statement.items) or always_checks(
                statement.body, where
            )
        case ast.Try():
            return always_checks(statement.body, where) or always_checks(statement.finalbody, where)
    return not isinstance(statement, Function | ast.ClassDef) and checks(statement, where)


def only_of_types(node: Function, where: Scope) -> bool:
    """Return whether the only assertions are that something is an instance of a type."""
    tests = [each.test for each in ast.walk(node) if isinstance(each, ast.Assert)]
    types = [each for each in tests if isinstance(each, ast.Call) and ast.unparse(each.func) == "isinstance"]
    if len({ast.unparse(each.args[1]) for each in types}) > 1:
        return False  # the type of the result depends on the input
    return bool(tests) and len(types) == len(tests) and not called(node, where) & (checking() | {"pytest.raises"})


def all_tests() -> list[tuple[Function, Scope]]:
    """Return all test functions."""
    return [(node, where) for node, where in functions().values() if node.name.startswith("test_")]


def test_each_test_asserts_something_whatever_its_data_is() -> None:
    assert len(all_tests()) > 1000
    weak = {node.name for node, where in all_tests() if not always_checks(node.body, where)}
    assert weak == set(GENERATED)


def test_no_test_only_asserts_the_type_of_a_result() -> None:
    assert [node.name for node, where in all_tests() if only_of_types(node, where)] == []


def test_the_check_finds_tests_that_cannot_fail() -> None:
    where = Scope("tests.example", names={"pytest": "pytest"})
    bodies = [
        "pass",
        "for x in found():\n assert x",
        "if x:\n assert x",
        "def inner():\n assert x",
        "for x in []:\n assert x",
    ]
    assert [always_checks(ast.parse(body).body, where) for body in bodies] == [False] * len(bodies)
    assert not always_checks(ast.parse("lab.check()").body, where), "the helper of another class may assert nothing"
    good = [
        "assert x",
        "for x in (1, 2):\n assert x",
        "with pytest.raises(KeyError):\n f()",
        "if x:\n assert x\nelse:\n assert y",
    ]
    assert [always_checks(ast.parse(body).body, where) for body in good] == [True] * len(good)
