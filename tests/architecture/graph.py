"""Reads the imports between the modules of the package, by place: module level, inside a function, type checking only.

python -m tests.architecture.graph     prints import cycles, imports inside functions, repeated class names, and figures
"""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
PACKAGE = "tscm_migrate"
MAY_IMPORT_LATE = {"cli", "tasks", "__main__"}  # parts that import inside functions, so that `--help` is fast
TOP, LATE, TYPING = "module level", "inside a function", "type checking"


def path_name(path: Path) -> str:
    """Return the name that a file's module is imported by, without the package's own name; "" for the package."""
    parts = path.relative_to(ROOT / PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    """Return the modules of the package by name."""
    return {path_name(path): path for path in sorted((ROOT / PACKAGE).rglob("*.py"))}


@cache
def parsed(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def part(name: str) -> str:
    """Return the first part of a module's name: its folder, or the module itself at the package's root."""
    return name.partition(".")[0]


def named(name: str, node: ast.Import | ast.ImportFrom, known: Mapping[str, Path]) -> Iterator[str]:
    """Yield the modules of the package that one import statement of module `name` loads by name."""
    if isinstance(node, ast.Import):
        dotted = [alias.name.split(".") for alias in node.names]
        yield from (".".join(parts[1:]) for parts in dotted if parts[0] == PACKAGE)
        return
    package = [PACKAGE, *name.split(".")] if name else [PACKAGE]
    base = package[: len(package) - node.level + (known[name].name == "__init__.py")] if node.level else []
    parts = [*base, *(node.module.split(".") if node.module else [])]
    if parts[:1] == [PACKAGE]:
        inside = ".".join(parts[1:])
        for alias in node.names:
            below = f"{inside}.{alias.name}".lstrip(".")
            yield below if below in known else inside


def statements(tree: ast.AST, place: str = TOP) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    """Yield each import statement with its place."""
    for child in ast.iter_child_nodes(tree):
        here = place
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            here = LATE
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            here = TYPING
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, here
        yield from statements(child, here)


@cache
def imports() -> list[tuple[str, str, str, int]]:
    """Return every import of a module of the package by another: importer, imported module, place, line."""
    return [
        (name, other, place, node.lineno)
        for name, path in modules().items()
        for node, place in statements(parsed(path))
        for other in named(name, node, modules())
        if other != name
    ]


def cycles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of two or more modules each of which can be reached from every other one of its group."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        queue = list(edges.get(start, ()))
        while queue:
            if (name := queue.pop()) not in seen:
                seen.add(name)
                queue += edges.get(name, ())
        return seen

    reach = {name: reached(name) for name in edges}
    groups = {frozenset(o for o in reach[name] if name in reach.get(o, ())) for name in edges if name in reach[name]}
    return sorted(sorted(group) for group in groups)


def package_cycles() -> list[list[str]]:
    """Return the import cycles of the package, over imports of every place."""
    edges = defaultdict(set)
    for name, other, _, _ in imports():
        edges[name].add(other)
    return cycles(edges)


def late_imports() -> dict[str, list[str]]:
    """Return, by room, the imports inside functions of the package's own modules."""
    late = defaultdict(list)
    for name, other, place, line in imports():
        if place == LATE and part(name) not in MAY_IMPORT_LATE:
            late[part(name)].append(f"{modules()[name].relative_to(ROOT)}:{line}: {other}")
    return dict(late)


def class_names() -> dict[str, list[str]]:
    """Return the modules of each class name that more than one class of the package has."""
    modules_of = defaultdict(list)
    for name, path in modules().items():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                modules_of[node.name].append(name)
    return {name: places for name, places in sorted(modules_of.items()) if len(places) > 1}


def functions() -> Iterator[tuple[str, int]]:
    """Yield the name and length of each function of the package."""
    for name, path in modules().items():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{name}.{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def complexity(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the cyclomatic complexity of a function as radon counts it; inner functions count for themselves."""
    count, queue = 1, list[ast.AST](function.body)
    while queue:
        node = queue.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        match node:
            case ast.If() | ast.IfExp():
                count += 1
            case ast.Try():
                count += len(node.handlers) + bool(node.orelse)
            case ast.BoolOp():
                count += len(node.values) - 1
            case ast.For() | ast.While() | ast.AsyncFor():
                count += 1 + bool(node.orelse)
            case ast.comprehension():
                count += 1 + len(node.ifs)
            case ast.Match():
                count += sum(getattr(case.pattern, "pattern", False) is not None for case in node.cases)
        queue += ast.iter_child_nodes(node)
    return count


def complex_functions(most: int) -> dict[str, int]:
    """Return the functions of the package whose complexity is greater than `most`, with it."""
    complexities = {}
    for name, path in modules().items():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (number := complexity(node)) > most:
                complexities[f"{name}.{node.name}"] = number
    return complexities


def lines(path: Path) -> int:
    """Return how many lines a file has."""
    return path.read_text(encoding="utf-8").count("\n")


def code_lines(path: Path) -> int:
    """Return how many lines of a file are neither blank, nor a comment, nor part of a docstring."""
    docs: set[int] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and ast.get_docstring(node, clean=False) is not None:
                docs |= set(range(first.lineno, (first.end_lineno or 0) + 1))
    numbered = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    return sum(bool(line.strip()) and not line.strip().startswith("#") and n not in docs for n, line in numbered)


@cache
def figures() -> dict[str, float]:
    """Return the figures of the package's shape: import lines and long functions in per cent, mean lines of a module.

    A module is every file but an `__init__.py` that holds a docstring only.
    """
    paths = modules().values()
    taken = sum((n.end_lineno or 0) - n.lineno + 1 for path in paths for n, _ in statements(parsed(path)))
    sizes = [lines(path) for path in paths if len(parsed(path).body) > 1]
    lengths = [length for _, length in functions()]
    return {
        "import lines, % of code": round(100 * taken / sum(map(code_lines, paths)), 2),
        "mean lines of a module": round(sum(sizes) / len(sizes), 1),
        "functions over 40 lines, %": round(100 * sum(n > 40 for n in lengths) / len(lengths), 2),
        "functions of a complexity over 12": len(complex_functions(12)),
        "modules": len(sizes),
        "lines": sum(map(lines, paths)),
    }


def main() -> None:
    """Print what the tests of this folder count."""
    print("import cycles:", *(" ".join(group) for group in package_cycles()), sep="\n    ")  # noqa: T201
    for where, places in sorted(late_imports().items()):
        print(f"imports inside functions of {where}: {len(places)}", *places, sep="\n    ")  # noqa: T201
    for name, places in class_names().items():
        print(f"class {name}:", *places)  # noqa: T201
    for name, value in figures().items():
        print(f"{name}: {value}")  # noqa: T201


if __name__ == "__main__":
    main()
