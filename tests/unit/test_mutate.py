"""The mutations: which places they change, how they are sampled, and that only failing tests kill a mutant."""

from __future__ import annotations

import ast
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.harness import mutant, mutate

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = '''"""Docs."""
LIMIT = 5

class Box:
    def fits(self, size: int, name: str = "x") -> bool:
        """At most 5."""
        if size < 0:
            raise ValueError(name)
        print(size)
        return size <= LIMIT and not name.startswith("-")
'''


def mutated_sources() -> dict[str, str]:
    return {one.text: ast.unparse(one.apply(SOURCE)) for one in mutant.mutants(SOURCE)}


def test_each_kind_of_place_is_mutated_once() -> None:
    assert list(mutated_sources()) == [
        "module: 5 -> 6",
        "Box.fits: size < 0 -> size <= 0",
        "Box.fits: 0 -> 1",
        "Box.fits: raise ValueError(name) -> pass",
        "Box.fits: print(size) -> pass",
        "Box.fits: size <= LIMIT and (not name.startswith('-')) -> size <= LIMIT or not name.startswith('-')",
        "Box.fits: size <= LIMIT -> size < LIMIT",
        "Box.fits: not name.startswith('-') -> name.startswith('-')",
    ]


def test_mutant_differs_from_the_source_in_one_line() -> None:
    before = ast.unparse(ast.parse(SOURCE)).splitlines()
    mutants = mutated_sources()
    assert mutants
    for text, after in mutants.items():
        lines = after.splitlines()
        assert len(lines) == len(before)
        assert sum(one != other_seed for one, other_seed in zip(before, lines, strict=True)) == 1, text


def test_sample_is_the_same_for_the_same_seed() -> None:
    module = mutate.modules()[0]
    first, same_seed, other_seed = (mutate.sample(module, 8, seed) for seed in (1, 1, 2))
    assert first == same_seed
    assert first != other_seed
    assert len(first) == 8


def test_mutation_table_names_existing_files_and_mutants() -> None:
    listed = mutate.modules()
    assert listed
    for module in listed:
        assert all((mutate.ROOT / test).is_file() for test in module.tests), module
        texts = {one.text for one in mutant.mutants((mutate.ROOT / module.path).read_text(encoding="utf-8"))}
        assert set(module.explained) <= texts, f"{module.path}: {set(module.explained) - texts} does not exist any more"
        assert all(reason.endswith(".") for reason in module.explained.values())


MODULES = [mutate.Module(f"tscm_migrate/{name}.py", (f"tests/test_{name}.py",), {}) for name in ("one", "two", "three")]


def commit(folder: Path, *files: str) -> str:
    """Write the files, commit them, and return the id of the commit."""
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@localhost", "-c", "commit.gpgsign=false"]
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        with (folder / file).open("a", encoding="utf-8") as stream:
            stream.write("x\n")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "change"]):
        subprocess.run([*git, *words], cwd=folder, check=True, timeout=60)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, timeout=60, capture_output=True)
    return head.stdout.decode().strip()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="mutants run on POSIX systems only")
def test_share_for_a_change_is_never_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutate, "ROOT", tmp_path)

    def paths(since: str, seed: int = 1) -> list[str]:
        return sorted(module.path.split("/")[1] for module in mutate.changed(MODULES, since, seed))

    assert len(paths("HEAD")) == 1, "no repository"
    assert {tuple(paths("HEAD", seed)) for seed in range(50)} == {("one.py",), ("two.py",), ("three.py",)}
    commit(tmp_path, "README.md")
    assert len(paths("HEAD")) == 1, "no listed module was ever changed"
    begin = commit(tmp_path, "tscm_migrate/one.py", "tests/test_two.py")
    commit(tmp_path, "docs/index.md")
    assert paths("HEAD") == paths("HEAD~1") == paths("unknown") == paths("") == ["one.py", "two.py"]
    commit(tmp_path, "tscm_migrate/three.py")
    assert paths(begin) == ["three.py"]
    for _ in range(20):
        commit(tmp_path, "tests/test_other.py")
    assert paths(begin) == ["three.py"]
    assert len(paths("HEAD")) == 1


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="mutants run on POSIX systems only")
def test_mutant_survives_unless_a_test_checks_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "boxed.py").write_text(SOURCE)
    (tmp_path / "test_boxed.py").write_text(
        "from boxed import Box\n\n"
        "def test_it():\n"
        "    assert Box().fits(5)\n"
        "    assert not Box().fits(6)\n"
        "    assert not Box().fits(5, '-')\n"
    )
    monkeypatch.setattr(mutate, "ROOT", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = mutate.Module("boxed.py", ("test_boxed.py",), {"Box.fits: print(size) -> pass": "Its output is not read."})
    result = mutate.examine(module, mutate.sample(module, 0, 1), 2, deadline=float("inf"))
    assert (result.killed, result.explained) == (4, 1)
    assert [text.split(": ", 2)[2] for text in result.survived] == [
        "size < 0 -> size <= 0",
        "0 -> 1",
        "raise ValueError(name) -> pass",
    ]


@pytest.mark.parametrize(
    ("killed", "survived", "every", "few"),
    [(9, 3, 100, False), (6, 6, 100, True), (75, 25, 100, True), (90, 10, 100, False), (0, 0, 100, False)],
)
def test_too_few_killed_only_when_chance_does_not_explain_it(
    killed: int, survived: int, every: int, *, few: bool
) -> None:
    result = mutate.ModuleResult(mutate.Module("x.py", (), {}), killed, survived=("line 1: x",) * survived)
    assert result.too_few(every) == few
