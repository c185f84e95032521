"""Each command in the documentation is one that the tool takes, and each inventory is one that it reads."""

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
from tscm_migrate.offsite.settings import Keep, Settings, settings
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


def complaint(words: list[str]) -> str:
    """Why the tool would not take this command by its present name; "" if it would."""
    for length in (1, 2):
        if " ".join(words[1 : 1 + length]) in RENAMED:
            return f"{' '.join(words)} has an old name"
    made = program()
    try:
        made.create_config()
        made.parse_core(words)
        made.parse_collection()
        made.parse_tasks()
    except SystemExit as end:
        return str(end) if end.code else ""
    except (ParseError, UsageError) as error:
        return str(error)
    except InvokeExit as end:  # --help, --version
        return str(end.message or end.code) if end.code else ""
    return ""


def ours(block: Block) -> list[list[str]]:
    """The commands of a block that are the tool's, not the repository's."""
    return [words for words in block.commands() if not (words[1:2] and words[1] in REPOSITORY)]


def test_the_pages_have_commands_of_the_tool() -> None:
    assert sum(len(ours(block)) for block in BLOCKS) > 100


@pytest.mark.parametrize("block", [b for b in BLOCKS if ours(b)], ids=lambda b: b.id)
def test_every_command_of_the_pages_is_one_of_the_tool(block: Block) -> None:
    for words in ours(block):
        dotted = [words[0], *words[1].split(".", 1), *words[2:]] if "." in words[1] else words
        assert complaint(dotted) == "", " ".join(words)


def examples(name: str) -> list[list[str]]:
    """The examples that a task's --help ends with, as words."""
    text = inspect.getdoc(tool().namespace[name]) or ""
    lines = [re.split(" >>? ", line)[0] for line in text.partition("Examples:\n")[2].splitlines()]
    return [shlex.split(line) for line in lines if line.strip()]


@pytest.mark.parametrize("name", sorted(program().namespace.task_names))
def test_every_task_ends_its_help_with_examples_that_the_tool_takes(name: str) -> None:
    found = examples(name)
    assert found
    for words in found:
        start = words.index("tscm-migrate")  # before it there may be a pipe
        assert words[start + 1 :][: len(name.split("."))] == name.split(".")
        assert complaint(words[start:]) == ""


def test_every_argument_and_option_is_explained() -> None:
    code = (  # in a process of its own: invoke forgets a task's help once it was asked for
        "from tscm_migrate.tasks.tree import namespace\n"
        "for c in namespace().to_contexts():\n"
        "    for flag, about in c.help_tuples(): print(c.name, flag, '' if about else 'UNEXPLAINED')\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    silent = [line for line in told.splitlines() if line.endswith("UNEXPLAINED")]
    assert "migrate --from" in told
    assert silent == []


def test_a_wrong_command_would_be_seen() -> None:
    assert "--form" in complaint(["tscm-migrate", "migrate", "--form", "a", "--to", "b"])
    assert "migrat" in complaint(["tscm-migrate", "migrat"])
    assert "pim" in complaint(["tscm-migrate", "host", "pim", "x"])
    assert "old name" in complaint(["tscm-migrate", "runs"])
    assert "old name" in complaint(["tscm-migrate", "report", "show"])


NO_MESSAGES = {"cli/completion.py", "util/operator_command.py"}  # scripts of shells, and what rewrites commands
COMMAND = re.compile(r"(?<!newer )\btscm-migrate ((?:[a-z]|-i |--inventory )[^;,()\n`…]*)")


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts of a module, with X for each value that is put in."""
    inside: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "X" for part in node.values]
            inside |= {id(part) for part in node.values}
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.lineno, node.value


def wrong(text: str) -> list[str]:
    """Return the commands in a message that the tool would not take; words may follow a command."""
    found = []
    for rest in COMMAND.findall(text.partition("Examples:\n")[0]):  # the examples of a command have a test above
        words = ["tscm-migrate", *re.sub(r"[.:'\"]+( |$)", " ", rest).split()]
        taken = next((n for n in range(len(words), 1, -1) if complaint(words[:n]) == ""), 0)
        options = [word for word in words[max(taken, 1) :] if word.startswith("--")]
        if not taken or options:
            found.append(" ".join(words))
    return found


def test_every_command_in_a_message_is_one_of_the_tool() -> None:
    modules = [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).as_posix() not in NO_MESSAGES]
    assert [
        f"{path}:{line}: {command}" for path in modules for line, text in texts(path) for command in wrong(text)
    ] == []


def test_every_command_in_the_change_log_is_one_of_the_tool() -> None:
    fragments = sorted((ROOT / "changelog.d").glob("*.md"))
    assert [(path.name, command) for path in fragments for command in wrong(path.read_text(encoding="utf-8"))] == []


def test_a_wrong_command_in_a_message_would_be_seen() -> None:
    assert wrong("then: tscm-migrate rollback X; see tscm-migrate run show X for what it did") == []
    assert wrong("list them: tscm-migrate runs") == ["tscm-migrate runs"]
    assert wrong("use tscm-migrate host pin X --figerprint Y")
    assert wrong("use tscm-migrate hosts pin X")


INLINE = re.compile(r"`tscm-migrate ([a-z][^`]*)`")


def test_every_task_named_in_a_sentence_exists() -> None:
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
def test_every_dialect_of_the_pages_is_read(block: Block) -> None:
    assert dialect.parse(block.text, block.page, "page").questions


@pytest.mark.parametrize("block", [b for b in TOML if "[[question]]" not in b.text], ids=lambda b: b.id)
def test_every_inventory_of_the_pages_is_read(block: Block, tmp_path: Path) -> None:
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
    if "[offsite" in text:
        settings(site, None if "store =" in text else "/srv/backups")


def test_every_check_of_the_preflight_is_explained() -> None:
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
def test_a_picture_loads_nothing_and_is_shown_in_a_page(picture: Path) -> None:
    text = picture.read_text(encoding="utf-8")
    assert "downtime" in text
    assert not re.search(r"@font-face|@import|<script|<image|href=|url\((?!#)", text)
    assert any(f"pictures/{picture.name}" in page.read_text(encoding="utf-8") for page in pages())


def test_every_block_says_what_it_is() -> None:
    kinds = {"text", "toml", "json", "ini", "yaml", "python", "xml", *SHELLS}
    assert not [b.id for b in BLOCKS if b.kind not in kinds]
    assert not [b.id for b in BLOCKS if b.kind in SHELLS and b.mark != "example" and not b.text.strip()]


def test_every_offsite_setting_is_explained() -> None:
    page = (ROOT / "docs/reference/offsite.md").read_text(encoding="utf-8")
    names = [*Settings.model_fields, *Keep.model_fields]
    assert len(names) > 15
    assert not [name for name in names if f"| `{name}` |" not in page]
