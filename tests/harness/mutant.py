"""Mutants: find what can be changed in a module's source, and let Python import the changed module."""

from __future__ import annotations

import ast
import copy
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import CodeType, ModuleType

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_COUNTED: dict[type[ast.operator], type[ast.operator]] = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add}


@dataclass(frozen=True)
class Mutant:
    """One change of a module.

    Attributes:
        number: position among the module's possible changes; the same in each run.
        line: line number in the source.
        text: the function, the code before and after the change; unique in the module, without line numbers.
    """

    number: int
    line: int
    text: str

    def apply(self, source: str) -> ast.Module:
        """Return the module's syntax tree with this change."""
        tree = ast.parse(source)
        for number, place in enumerate(_places(tree)):
            if number == self.number:
                place.change()
                return ast.fix_missing_locations(tree)
        raise LookupError(self.text)


def mutants(source: str) -> list[Mutant]:
    """Return all possible changes of a module."""
    mutants_: list[Mutant] = []
    counts: dict[str, int] = {}
    for number, place in enumerate(_places(ast.parse(source))):
        text = f"{place.inside}: {place.text}"
        counts[text] = counts.get(text, 0) + 1
        mutants_.append(Mutant(number, place.line, text if counts[text] == 1 else f"{text} (#{counts[text]})"))
    return mutants_


@dataclass
class _Place:
    inside: str
    line: int
    text: str
    change: Callable[[], None]


def _places(tree: ast.Module) -> Iterator[_Place]:
    """Yield each place that can be changed, with the function that changes it."""
    yield from _below(tree, "module")


def _below(node: ast.AST, inside: str) -> Iterator[_Place]:
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_comment"):
            continue
        for number, child in enumerate(value) if isinstance(value, list) else ((-1, value),):
            if not isinstance(child, ast.AST) or _is_left_out(child):
                continue
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from _below(child, child.name if inside == "module" else f"{inside}.{child.name}")
                continue
            yield from _changes(node, name, number, child, inside)
            yield from _below(child, inside)


def _is_left_out(node: ast.AST) -> bool:
    """Return whether a node is never changed: imports, code for type checkers only, and assertions."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return isinstance(node, ast.Assert | ast.Import | ast.ImportFrom)


def _changes(parent: ast.AST, name: str, number: int, node: ast.AST, inside: str) -> Iterator[_Place]:
    def place(after: ast.AST) -> _Place:
        def change() -> None:
            if number >= 0:
                getattr(parent, name)[number] = after
            else:
                setattr(parent, name, after)

        return _Place(inside, getattr(node, "lineno", 0), f"{_short(node)} -> {_short(after)}", change)

    yield from map(place, _replacements(node))


def _replacements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the replacements of a node."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield ast.Compare(node.left, [_COMPARED[type(node.ops[0])]()], node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in _COUNTED and not _is_text(node):
        yield ast.BinOp(node.left, _COUNTED[type(node.op)](), node.right)
    elif isinstance(node, ast.Constant) and not isinstance(node.value, str | bytes | None.__class__ | type(...)):
        yield ast.Constant(_other_number(node.value))
    elif isinstance(node, ast.If | ast.While | ast.IfExp) and isinstance(
        node.test, ast.Name | ast.Attribute | ast.Call
    ):
        negated = copy.copy(node)
        negated.test = ast.UnaryOp(ast.Not(), node.test)
        yield negated
    elif (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)) or isinstance(node, ast.Raise):
        yield ast.Pass()
    elif isinstance(node, ast.Break | ast.Continue):
        yield ast.Continue() if isinstance(node, ast.Break) else ast.Break()


def _other_number(value: complex) -> complex:
    """Return value + 1, or the double of a value over 9: a test need not notice a large limit that is one higher."""
    if isinstance(value, bool):
        return not value
    return value * 2 if isinstance(value, int | float) and value > 9 else value + 1


def _is_text(node: ast.BinOp) -> bool:
    """Return whether one side is text or a list: "-" would raise TypeError, so such a mutant shows nothing."""
    kinds = (ast.JoinedStr, ast.List, ast.ListComp, ast.Tuple)
    return any(
        isinstance(side, kinds) or (isinstance(side, ast.Constant) and isinstance(side.value, str | bytes))
        for side in (node.left, node.right)
    )


def _short(node: ast.AST) -> str:
    """Return a node's code as one line; only the first line of a statement with a body."""
    if isinstance(node, ast.If | ast.While):
        return f"{type(node).__name__.lower()} {ast.unparse(ast.fix_missing_locations(node.test))}"
    text = " ".join(ast.unparse(ast.fix_missing_locations(node)).split())
    return text if len(text) <= 100 else text[:99] + "…"


class _Mutated(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Import hook that loads one module from the changed tree."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self._name, self._path, self._tree = name, path, tree

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return a spec for the changed module; None for all others."""
        if fullname != self._name:
            return None
        is_package = self._path.name == "__init__.py"
        return importlib.util.spec_from_file_location(
            fullname,
            self._path,
            loader=self,
            submodule_search_locations=[str(self._path.parent)] if is_package else None,
        )

    def get_code(self, fullname: str) -> CodeType:
        """Compile the changed module."""
        return compile(self._tree, str(self._path), "exec", dont_inherit=True)

    def get_source(self, fullname: str) -> str:
        """Return the source as it is on disk."""
        return self._path.read_text(encoding="utf-8")


def install(name: str, path: Path, tree: ast.Module) -> None:
    """Let `import name` in this process load the changed module.

    Raises:
        RuntimeError: the module is imported already.
    """
    if name in sys.modules:
        raise RuntimeError(f"{name} is imported already")
    sys.meta_path.insert(0, _Mutated(name, path, tree))
