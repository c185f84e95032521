"""The tool accepts each command in the documentation and in its own messages, and reads each inventory there."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from typing import TYPE_CHECKING

import pytest
from invoke.exceptions import Exit as InvokeExit
from invoke.exceptions import ParseError

from tests.support.pages import ROOT, SHELLS, Block, blocks, pages
from tscm_migrate.cli.program import TscmProgram, program
from tscm_migrate.errors import UsageError
from tscm_migrate.inventory.read import load
from tscm_migrate.offsite.context import Keep, Settings, settings
from tscm_migrate.tasks.base import RENAMED
from tscm_migrate.tsadmin import dialect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGE = ROOT / "tscm_migrate"
BLOCKS = [block for page in pages() for block in blocks(page)]
REPOSITORY = {"test", "lint", "docs", "bench", "picture", "chaos", "matrix", "lock", "release"}
HOSTS = """
[hosts.tscm-old]
address = "10.1.1.43"
[hosts.tscm-new]
address = "10.1.1.50"
"""


@cache
def tool() -> TscmProgram:
    return program()


def why_refused(words: list[str]) -> str:
    """Return why the tool refuses this command, also for an old name; "" if it accepts the command."""
    for length in (1, 2):
        if " ".join(words[1 : 1 + length]) in RENAMED:
            return f"{' '.join(words)} has an old name"
    parser = program()
    try:
        parser.create_config()
        parser.parse_core(words)
        parser.parse_collection()
        parser.parse_tasks()
    except SystemExit as end:
        return str(end) if end.code else ""
    except (ParseError, UsageError) as error:
        return str(error)
    except InvokeExit as end:  # --help, --version
        return str(end.message or end.code) if end.code else ""
    return ""


def tool_commands(block: Block) -> list[list[str]]:
    """Return the commands of a block that belong to the tool, without those of the repository."""
    return [words for words in block.commands() if not (words[1:2] and words[1] in REPOSITORY)]


def test_documentation_has_commands_of_the_tool() -> None:
    assert sum(len(tool_commands(block)) for block in BLOCKS) > 100


@pytest.mark.parametrize("block", [b for b in BLOCKS if tool_commands(b)], ids=lambda b: b.id)
def test_commands_in_block_are_accepted(block: Block) -> None:
    commands = tool_commands(block)
    assert commands
    for words in commands:
        dotted = [words[0], *words[1].split(".", 1), *words[2:]] if "." in words[1] else words
        assert why_refused(dotted) == "", " ".join(words)


def examples(name: str) -> list[list[str]]:
    """Return the words of each example at the end of the help of a task."""
    text = inspect.getdoc(tool().namespace[name]) or ""
    lines = [re.split(" >>? ", line)[0] for line in text.partition("Examples:\n")[2].splitlines()]
    return [shlex.split(line) for line in lines if line.strip()]


@pytest.mark.parametrize("name", sorted(program().namespace.task_names))
def test_examples_in_help_of_task_are_accepted(name: str) -> None:
    commands = examples(name)
    assert commands
    for words in commands:
        start = words.index("tscm-migrate")  # a pipe may precede it
        assert words[start + 1 :][: len(name.split("."))] == name.split(".")
        assert why_refused(words[start:]) == ""


def test_every_argument_and_option_has_help_text() -> None:
    code = (  # in a separate process: invoke forgets the help of a task after the first request
        "from tscm_migrate.tasks.tree import namespace\n"
        "for c in namespace().to_contexts():\n"
        "    for flag, about in c.help_tuples(): print(c.name, flag, '' if about else 'UNEXPLAINED')\n"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    unexplained = [line for line in output.splitlines() if line.endswith("UNEXPLAINED")]
    assert "migrate --from" in output
    assert unexplained == []


def test_invalid_command_is_detected() -> None:
    assert "--form" in why_refused(["tscm-migrate", "migrate", "--form", "a", "--to", "b"])
    assert "migrat" in why_refused(["tscm-migrate", "migrat"])
    assert "pim" in why_refused(["tscm-migrate", "host", "pim", "x"])
    assert "old name" in why_refused(["tscm-migrate", "runs"])
    assert "old name" in why_refused(["tscm-migrate", "report", "show"])


NO_MESSAGES = {"cli/completion.py", "util/operator_command.py"}  # shell scripts, and the code that rewrites commands
COMMAND = re.compile(r"(?<!newer )\btscm-migrate ((?:[a-z]|-i |--inventory )[^;,()\n`…]*)")


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and value of each string of a module, with X for each inserted value."""
    inside: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "X" for part in node.values]
            inside |= {id(part) for part in node.values}
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.lineno, node.value


def refused_commands(text: str) -> list[str]:
    """Return the commands in a message that the tool refuses; other words may follow a command."""
    refused = []
    for rest in COMMAND.findall(text.partition("Examples:\n")[0]):  # the examples are tested above
        words = ["tscm-migrate", *re.sub(r"[.:'\"]+( |$)", " ", rest).split()]
        accepted = next((n for n in range(len(words), 1, -1) if why_refused(words[:n]) == ""), 0)
        options = [word for word in words[max(accepted, 1) :] if word.startswith("--")]
        if not accepted or options:
            refused.append(" ".join(words))
    return refused


def test_commands_in_messages_of_module_are_accepted() -> None:
    modules = [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).as_posix() not in NO_MESSAGES]
    assert [
        f"{path}:{line}: {command}"
        for path in modules
        for line, text in texts(path)
        for command in refused_commands(text)
    ] == []


def test_commands_in_changelog_fragment_are_accepted() -> None:
    fragments = sorted((ROOT / "changelog.d").glob("*.md"))
    assert [
        (path.name, command) for path in fragments for command in refused_commands(path.read_text(encoding="utf-8"))
    ] == []


def test_invalid_command_in_a_message_is_detected() -> None:
    assert refused_commands("then: tscm-migrate rollback X; see tscm-migrate run show X for what it did") == []
    assert refused_commands("list them: tscm-migrate runs") == ["tscm-migrate runs"]
    assert refused_commands("use tscm-migrate host pin X --figerprint Y")
    assert refused_commands("use tscm-migrate hosts pin X")


INLINE = re.compile(r"`tscm-migrate ([a-z][^`]*)`")


def test_tasks_named_in_sentences_of_page_exist() -> None:
    names = {name.replace(".", " ") for name in tool().namespace.task_names} | {*tool().namespace.collections, "TASK"}
    commands = [
        (page.name, one)
        for page in pages()
        for one in INLINE.findall(re.sub(r"\s+", " ", page.read_text(encoding="utf-8")))
    ]
    assert len(commands) > 20
    assert [(page, one) for page, one in commands if not names & {one.split()[0], " ".join(one.split()[:2])}] == []


TOML = [block for block in BLOCKS if block.kind == "toml" and block.mark != "example"]


@pytest.mark.parametrize("block", [b for b in BLOCKS if "[[question]]" in b.text], ids=lambda b: b.id)
def test_dialect_in_block_is_valid(block: Block) -> None:
    assert dialect.parse(block.text, block.page, "page").questions


@pytest.mark.parametrize("block", [b for b in TOML if "[[question]]" not in b.text], ids=lambda b: b.id)
def test_inventory_in_block_is_valid(block: Block, tmp_path: Path) -> None:
    text = block.text if "[hosts." in block.text else block.text + HOSTS
    for name in re.findall(r'identity_file = "([^"]+)"', text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        text = text.replace(name, str(tmp_path / "key"))
        (tmp_path / "key").write_text("")
    file = tmp_path / "hosts.toml"
    missing = {name for _, names in tomllib.loads(text).get("groups", {}).items() for name in names}
    missing -= set(tomllib.loads(text)["hosts"])
    file.write_text(text + "".join(f'\n[hosts.{name}]\naddress = "10.1.2.3"\n' for name in sorted(missing)))
    site = load(file)
    assert set(tomllib.loads(text)["hosts"]) <= set(site.hosts)
    if "[offsite" in text:
        settings(site, None if "store =" in text else "/srv/backups")


def test_every_check_is_explained() -> None:
    sources = [
        ROOT / "tscm_migrate/migration" / name
        for name in ("checks.py", "gather_facts.py", "history.py", "steps/rehearse.py")
    ]
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    names = set(re.findall(r'Finding\(\s*"([a-z-]+)"', text)) | set(re.findall(r': "([a-z][a-z-]+)"[,}]', text))
    assert len(names) > 15
    pages = [(ROOT / "docs/how-to" / name).read_text(encoding="utf-8") for name in ("check.md", "disaster.md")]
    explained = [line.split("|")[1] for page in pages for line in page.splitlines() if line.startswith("| `")]
    assert not [name for name in sorted(names) if not any(f"`{name}`" in first for first in explained)]


@pytest.mark.parametrize("picture", sorted((ROOT / "docs/pictures").glob("*.svg")), ids=lambda p: p.name)
def test_picture_loads_nothing_and_is_used_in_a_page(picture: Path) -> None:
    text = picture.read_text(encoding="utf-8")
    assert "downtime" in text
    assert not re.search(r"@font-face|@import|<script|<image|href=|url\((?!#)", text)
    assert any(f"pictures/{picture.name}" in page.read_text(encoding="utf-8") for page in pages())


def test_every_block_has_a_language() -> None:
    kinds = {"text", "toml", "json", "ini", "yaml", "python", "xml", *SHELLS}
    assert not [b.id for b in BLOCKS if b.kind not in kinds]
    assert not [b.id for b in BLOCKS if b.kind in SHELLS and b.mark != "example" and not b.text.strip()]


def test_every_offsite_setting_is_explained() -> None:
    page = (ROOT / "docs/reference/offsite.md").read_text(encoding="utf-8")
    names = [*Settings.model_fields, *Keep.model_fields]
    assert len(names) > 15
    assert not [name for name in names if f"| `{name}` |" not in page]
