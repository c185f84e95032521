"""The mutations themselves: what they change, and that a mutant is noticed by a test that looks and by no other."""

from __future__ import annotations

import ast
import os
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


def changed() -> dict[str, str]:
    return {one.text: ast.unparse(one.apply(SOURCE)) for one in mutant.mutants(SOURCE)}


def test_each_kind_of_place_is_changed_once() -> None:
    assert list(changed()) == [
        "module: 5 -> 6",
        "Box.fits: size < 0 -> size <= 0",
        "Box.fits: 0 -> 1",
        "Box.fits: raise ValueError(name) -> pass",
        "Box.fits: print(size) -> pass",
        "Box.fits: size <= LIMIT and (not name.startswith('-')) -> size <= LIMIT or not name.startswith('-')",
        "Box.fits: size <= LIMIT -> size < LIMIT",
        "Box.fits: not name.startswith('-') -> name.startswith('-')",
    ]


def test_each_mutant_differs_from_the_source_in_one_line() -> None:
    before = ast.unparse(ast.parse(SOURCE)).splitlines()
    for text, after in changed().items():
        lines = after.splitlines()
        assert len(lines) == len(before)
        assert sum(one != other for one, other in zip(before, lines, strict=True)) == 1, text


def test_the_sample_is_the_same_for_the_same_seed() -> None:
    module = mutate.modules()[0]
    first, again, other = (mutate.sample(module, 8, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len(first) == 8


def test_the_table_names_files_that_exist_and_mutants_that_exist() -> None:
    for module in mutate.modules():
        assert all((mutate.ROOT / test).is_file() for test in module.tests), module
        texts = {one.text for one in mutant.mutants((mutate.ROOT / module.path).read_text(encoding="utf-8"))}
        assert set(module.known) <= texts, f"{module.path}: {set(module.known) - texts} is not there any more"
        assert all(reason.endswith(".") for reason in module.known.values())


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="mutants run on POSIX systems only")
def test_a_mutant_is_noticed_by_a_test_that_looks_and_by_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    found = mutate.examined(module, mutate.sample(module, 0, 1), 2, deadline=float("inf"))
    assert (found.killed, found.known) == (4, 1)
    assert [text.split(": ", 2)[2] for text in found.survived] == [
        "size < 0 -> size <= 0",
        "0 -> 1",
        "raise ValueError(name) -> pass",
    ]


@pytest.mark.parametrize(
    ("killed", "survived", "every", "few"),
    [(9, 3, 100, False), (6, 6, 100, True), (75, 25, 100, True), (90, 10, 100, False), (0, 0, 100, False)],
)
def test_of_a_sample_only_a_share_that_chance_does_not_explain_is_too_few(
    killed: int, survived: int, every: int, *, few: bool
) -> None:
    found = mutate.Found(mutate.Module("x.py", (), {}), killed, survived=("line 1: x",) * survived)
    assert found.too_few(every) == few
