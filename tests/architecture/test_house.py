"""The shape of the code: arrows point down, nothing POSIX-only where Windows has to run, nothing too long."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.architecture.graph import code_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tscm_migrate"
# A room may import from its own row and from those above it in this table, which is the house from the ground up.
FLOORS = [
    {"errors", "events", "model", "util", ""},
    {"inventory", "secrets", "options", "notify"},
    {"ssh"},
    {"archive", "appliance"},
    {"tsadmin"},
    {"transfer"},
    {"offsite"},
    {"migration"},
    {"fleet", "campaign", "ui"},
    {"tasks", "cli", "__main__"},
    {"demo"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
MAY_IMPORT_DEMO = {"tscm_migrate/tasks/demo.py"}
POSIX_ONLY = {"fcntl", "termios", "tty", "pty", "pwd", "grp", "resource", "syslog", "posix", "crypt", "spwd"}
POSIX_CALLS = {
    "os": {"fork", "geteuid", "getuid", "getgid", "chown", "fchown", "fchmod", "setsid", "killpg", "getpgid", "mkfifo"},
    "signal": {"SIGKILL", "SIGALRM", "alarm", "setitimer", "pause", "sigwait"},
    "socket": {"AF_UNIX", "socketpair"},
}
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py"))


@cache
def tree(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


def room_of(module: str) -> str:
    first = Path(module).relative_to("tscm_migrate").parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imported(module: str) -> Iterator[tuple[str, int]]:
    """Absolute names of what a module imports, wherever it does, with the line."""
    package = [*Path(module).parent.parts]
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            if name == "tscm_migrate":
                yield from ((f"{name}.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield name, node.lineno


def is_demo(module: str) -> bool:
    return room_of(module) == "demo"


def test_each_room_has_its_floor() -> None:
    rooms = {room_of(module) for module in MODULES}
    assert rooms <= set(FLOOR), f"place {rooms - set(FLOOR)} in FLOORS, and in docs/explanation/architecture.md"


def test_the_documentation_names_the_rooms_in_the_order_of_their_imports() -> None:
    page = (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
    table = page.partition("## Rooms")[2].split("```")[1].removeprefix("text\n")
    rows = [set(re.split(r" {2,}", line)[0].split(", ")) for line in table.splitlines()]
    assert rows[::-1] == [floor - {"", "__main__"} for floor in FLOORS]


def test_contributing_names_functions_that_exist() -> None:
    named = re.findall(r"`([a-z_/]+\.py)`: `([A-Za-z_.]+)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert len(named) == 5
    for module, name in named:
        body: list[ast.stmt] = tree(f"tscm_migrate/{module}").body
        for part in name.split("."):
            inside = [node for node in body if getattr(node, "name", "") == part]
            assert inside, f"{module} has no {name}"
            body = getattr(inside[0], "body", [])


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    here = room_of(module)
    for name, line in imported(module):
        parts = name.split(".")
        if parts[0] != "tscm_migrate":
            continue
        room = parts[1] if len(parts) > 1 and parts[1] in FLOOR else ""
        if room == "demo":
            assert here == "demo" or module in MAY_IMPORT_DEMO, (
                f"{module}:{line}: only the task `demo` and tests import the demo"
            )
        else:
            assert FLOOR[room] <= FLOOR[here], f"{module}:{line}: {here or 'the package'} must not import {room}"


def posix_only(parsed: ast.AST) -> Iterator[str]:
    """What a piece of code uses that Windows' Python lacks, with the line."""
    for node in ast.walk(parsed):
        used: list[str] = []
        if isinstance(node, ast.Import):
            used = [alias.name for alias in node.names if alias.name.split(".")[0] in POSIX_ONLY]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            gone = POSIX_CALLS.get(node.module, set())
            used = [f"{node.module}.{alias.name}" for alias in node.names if alias.name in gone]
            used += [node.module] if node.module.split(".")[0] in POSIX_ONLY else []
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            gone = POSIX_CALLS.get(node.value.id, set())
            used = [f"{node.value.id}.{node.attr}"] if node.attr in gone else []
        yield from (f"line {getattr(node, 'lineno', 0)}: {name} does not exist on Windows" for name in used)


@pytest.mark.parametrize("module", [m for m in MODULES if not is_demo(m)])
def test_nothing_outside_the_demo_needs_posix(module: str) -> None:
    assert list(posix_only(tree(module))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import fcntl", "from pty import openpty", "def f():\n    import termios.x", "import os\nos.geteuid()",
        "from os import fork as split", "import signal\nsignal.alarm(1)", "import socket\nsocket.AF_UNIX",
    ],
)  # fmt: skip
def test_what_needs_posix_would_be_seen(code: str) -> None:
    assert list(posix_only(ast.parse(code)))


def test_the_demo_is_where_posix_is() -> None:
    assert any(list(posix_only(tree(module))) for module in MODULES if is_demo(module))


def test_nothing_is_left_for_later_in_a_comment() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "XX" + "X ")
    folders = ("tscm_migrate", "tests", "docs", "inventory", "changelog.d", ".ci")
    files = [ROOT / "tasks.py", ROOT / "try.py", ROOT / "README.md", ROOT / "pyproject.toml"]
    files += [p for f in folders for p in (ROOT / f).rglob("*") if p.suffix in {".py", ".md", ".toml"}]
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in files
        if "_build" not in path.parts
        for word in words
        if word in path.read_text(encoding="utf-8")
    ]
    assert not found


def test_a_mutation_of_the_rules_would_be_seen() -> None:
    """The parser of imports sees relative, lazy and absolute ones."""
    names = {name for name, _ in imported("tscm_migrate/tasks/migrate.py")}
    assert "tscm_migrate.errors" in names  # absolute
    assert "tscm_migrate.tasks.base" in names  # relative
    assert "tscm_migrate.secrets" in names  # inside a function


def test_the_fast_transport_stays_small_enough_to_be_reviewed() -> None:
    package = [module for module in MODULES if module.startswith("tscm_migrate/ssh/accelerated/")]
    assert sum(code_lines(ROOT / module) for module in package) <= 350, "see tscm_migrate/ssh/accelerated/README.md"


def test_only_the_fast_transports_front_door_is_imported() -> None:
    for module in MODULES:
        if not module.startswith("tscm_migrate/ssh/accelerated/"):
            assert not [name for name, _ in imported(module) if name.startswith("tscm_migrate.ssh.accelerated.")]


MAY_PRINT = {
    "tscm_migrate/ui/console.py", "tscm_migrate/ui/operator.py", "tscm_migrate/ui/live.py", "tscm_migrate/cli/failures.py", "tscm_migrate/cli/arguments.py",
    "tscm_migrate/cli/program.py", "tscm_migrate/tasks/tree.py", "tscm_migrate/cli/setup.py", "tscm_migrate/tasks/offsite.py",
}  # fmt: skip


@pytest.mark.parametrize("module", [m for m in MODULES if not is_demo(m) and m not in MAY_PRINT])
def test_nothing_is_printed_but_by_the_functions_that_clean_it(module: str) -> None:
    for node in ast.walk(tree(module)):
        name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        assert name not in {"print", "sys.stdout.write", "sys.stderr.write"}, f"{module}:{node.lineno}: use ui.say"


MAY_WRITE = {"tscm_migrate/util/private.py", "tscm_migrate/cli/main.py"}  # and what writes on another host
MAY_WRITE |= {"tscm_migrate/transfer/endpoints/sftp.py", "tscm_migrate/offsite/stores/sftp.py"}


def makes_a_file(node: ast.Call) -> bool:
    """Whether a call may make a local file or folder with the mode that the umask happens to leave."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
    if name in {"write_text", "write_bytes", "touch", "makedirs", "copyfile", "copy", "copy2"}:
        return name != "copy" or ast.unparse(node.func).startswith("shutil.")
    if name == "mkdir":
        return not any(word.arg == "mode" for word in node.keywords) and "sftp" not in ast.unparse(node.func)
    modes = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return name == "open" and any(mode[:1] in {"w", "a", "x"} and len(mode) <= 3 for mode in modes)


@pytest.mark.parametrize("module", [m for m in MODULES if not is_demo(m) and m not in MAY_WRITE])
def test_files_are_made_by_what_gives_them_a_mode(module: str) -> None:
    calls = [node for node in ast.walk(tree(module)) if isinstance(node, ast.Call) and makes_a_file(node)]
    assert not [f"{module}:{node.lineno}: use util.private" for node in calls]


def test_what_leaves_the_mode_to_the_umask_would_be_seen() -> None:
    for code in ("p.write_text('x')", "p.open('ab')", "open('f', 'w')", "p.mkdir(parents=True)", "shutil.copy2(a, b)"):
        assert makes_a_file(ast.parse(code, mode="eval").body)  # type: ignore[arg-type]
    for code in ("p.open('rb')", "p.mkdir(mode=0o700)", "data.copy()", "os.open(p, flags, 0o600)"):
        assert not makes_a_file(ast.parse(code, mode="eval").body)  # type: ignore[arg-type]


def test_allow_knows_every_check_by_its_name() -> None:
    from tscm_migrate.options import check_names

    found = {"no-sudo", "login", "unreachable"}  # identify's, chosen by the error
    for module in MODULES:
        if room_of(module) == "migration":
            calls = [node for node in ast.walk(tree(module)) if isinstance(node, ast.Call) and node.args]
            names = [node.args[0] for node in calls if ast.unparse(node.func).rpartition(".")[2] == "Finding"]
            found |= {name.value for name in names if isinstance(name, ast.Constant)}
    assert found == check_names()
