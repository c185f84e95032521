"""Every command of the pages is run by a test: in its page, or by the test that a comment before its block names."""

from __future__ import annotations

import ast

import pytest

from tests.support.pages import ROOT, SHELLS, Block, blocks, pages

BLOCKS = [block for page in pages() for block in blocks(page) if block.kind in SHELLS]
RUN = {tuple(words[1:3]) for block in BLOCKS if block.mark in {"run", "elsewhere"} for words in block.commands()}


def untested(block: Block) -> str:
    """Why no test runs this block; "" where one does."""
    commands = list(block.commands())
    if block.mark == "run" or (block.mark in {"example", "command"} and not commands):
        return ""
    if block.mark == "elsewhere":
        file, _, name = block.how.partition("::")
        path = ROOT / file
        tests = ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if path.is_file() else ()
        found = any(isinstance(one, ast.FunctionDef) and one.name == name for one in tests)
        return "" if found and name.startswith("test_") else f"there is no test {block.how}"
    if block.mark == "indented":
        missing = [words for words in commands if not any(words[1] == run[0] for run in RUN)]
        return f"no page runs {missing}" if missing else ""
    return "say how it is run: <!-- run -->, or <!-- elsewhere: tests/…::test_… --> (see tests/support/pages.py)"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda b: b.id)
def test_every_block_of_commands_is_run_by_a_test(block: Block) -> None:
    assert untested(block) == ""


def test_a_new_block_that_nothing_runs_would_be_seen() -> None:
    text = "tscm-migrate offsite prune\n"
    assert "say how it is run" in untested(Block("new.md", 1, "sh", text))
    assert "say how it is run" in untested(Block("new.md", 1, "sh", text, "example"))
    assert "there is no test" in untested(
        Block("new.md", 1, "sh", text, "elsewhere", "tests/docs/test_runs.py::test_x")
    )
    assert "no page runs" in untested(Block("README.md", 1, "sh", "tscm-migrate dance\n", "indented"))
