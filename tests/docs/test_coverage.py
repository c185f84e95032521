"""A test runs each command of the documentation: together with its page, or the test named in a comment."""

from __future__ import annotations

import ast

import pytest

from tests.support.pages import ROOT, SHELLS, Block, blocks, pages

BLOCKS = [block for page in pages() for block in blocks(page) if block.kind in SHELLS]
RUN = {tuple(words[1:3]) for block in BLOCKS if block.mark in {"run", "elsewhere"} for words in block.commands()}


def why_untested(block: Block) -> str:
    """Return why no test runs this block; "" if a test does."""
    commands = list(block.commands())
    if block.mark == "run" or (block.mark in {"example", "command"} and not commands):
        return ""
    if block.mark == "elsewhere":
        file, _, name = block.how.partition("::")
        path = ROOT / file
        tests = ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if path.is_file() else ()
        exists = any(isinstance(one, ast.FunctionDef) and one.name == name for one in tests)
        return "" if exists and name.startswith("test_") else f"there is no test {block.how}"
    if block.mark == "indented":
        missing = [words for words in commands if not any(words[1] == run[0] for run in RUN)]
        return f"no page runs {missing}" if missing else ""
    return "say how it is run: <!-- run -->, or <!-- elsewhere: tests/…::test_… --> (see tests/support/pages.py)"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda b: b.id)
def test_commands_in_block_are_run_by_a_test(block: Block) -> None:
    assert why_untested(block) == ""


def test_block_without_a_test_is_detected() -> None:
    text = "tscm-migrate offsite prune\n"
    assert "say how it is run" in why_untested(Block("new.md", 1, "sh", text))
    assert "say how it is run" in why_untested(Block("new.md", 1, "sh", text, "example"))
    assert "there is no test" in why_untested(
        Block("new.md", 1, "sh", text, "elsewhere", "tests/docs/test_page_commands.py::test_x")
    )
    assert "no page runs" in why_untested(Block("README.md", 1, "sh", "tscm-migrate dance\n", "indented"))
