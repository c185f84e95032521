"""Rules for the code of the package: import layers, no POSIX-only calls outside the demo, output, and file modes."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.architecture.graph import code_lines, parsed

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tscm_migrate"
# A part (folder or module) of the package may import from its own layer and from the layers before it in this list.
LAYERS = [
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
LAYER_NUMBER = {part: number for number, parts in enumerate(LAYERS) for part in parts}
MAY_IMPORT_DEMO = {"tscm_migrate/tasks/demo.py"}
POSIX_ONLY = {"fcntl", "termios", "tty", "pty", "pwd", "grp", "resource", "syslog", "posix", "crypt", "spwd"}
POSIX_CALLS = {
    "os": {"fork", "geteuid", "getuid", "getgid", "chown", "fchown", "fchmod", "setsid", "killpg", "getpgid", "mkfifo"},
    "signal": {"SIGKILL", "SIGALRM", "alarm", "setitimer", "pause", "sigwait"},
    "socket": {"AF_UNIX", "socketpair"},
}
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py"))


def tree(module: str) -> ast.Module:
    return parsed(ROOT / module)


def part_of(module: str) -> str:
    first = Path(module).relative_to("tscm_migrate").parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imported(module: str) -> Iterator[tuple[str, int]]:
    """Yield the absolute name and the line of each import of a module, also of those inside functions."""
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
    return part_of(module) == "demo"


def test_each_part_of_the_package_has_a_layer() -> None:
    parts = {part_of(module) for module in MODULES}
    assert parts <= set(LAYER_NUMBER), (
        f"place {parts - set(LAYER_NUMBER)} in LAYERS, and in docs/explanation/architecture.md"
    )


def test_architecture_page_lists_the_layers_in_import_order() -> None:
    page = (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
    table = page.partition("## Layers")[2].split("```")[1].removeprefix("text\n")
    rows = [set(re.split(r" {2,}", line)[0].split(", ")) for line in table.splitlines()]
    assert rows[::-1] == [layer - {"", "__main__"} for layer in LAYERS]


def test_functions_named_in_contributing_exist() -> None:
    named = re.findall(r"`([a-z_/]+\.py)`: `([A-Za-z_.]+)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert len(named) == 5
    for module, name in named:
        body: list[ast.stmt] = tree(f"tscm_migrate/{module}").body
        for part in name.split("."):
            definitions = [node for node in body if getattr(node, "name", "") == part]
            assert definitions, f"{module} has no {name}"
            body = getattr(definitions[0], "body", [])


def test_modules_named_in_pages_exist() -> None:
    pages = [ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    named = {
        (page.relative_to(ROOT).as_posix(), name)
        for page in pages
        for name in re.findall(r"`([a-z0-9_/.]+\.py)`", page.read_text(encoding="utf-8"))
    }
    assert len(named) > 10
    assert [pair for pair in sorted(named) if not any((base / pair[1]).is_file() for base in (ROOT, PACKAGE))] == []


def upward_imports(module: str) -> Iterator[str]:
    """Yield a message for each import of a module from a higher layer."""
    here = part_of(module)
    for name, line in imported(module):
        names = name.split(".")
        if names[0] != "tscm_migrate":
            continue
        part = names[1] if len(names) > 1 and names[1] in LAYER_NUMBER else ""
        if part == "demo":
            if here != "demo" and module not in MAY_IMPORT_DEMO:
                yield f"{module}:{line}: only the task `demo` and tests import the demo"
        elif LAYER_NUMBER[part] > LAYER_NUMBER[here]:
            yield f"{module}:{line}: {here or 'the package'} must not import {part}"


def test_each_module_imports_only_its_own_or_lower_layers() -> None:
    assert [message for module in MODULES for message in upward_imports(module)] == []


def posix_only(code: ast.AST) -> Iterator[str]:
    """Yield a message for each use of a module or function that Python on Windows does not have."""
    for node in ast.walk(code):
        used: list[str] = []
        if isinstance(node, ast.Import):
            used = [alias.name for alias in node.names if alias.name.split(".")[0] in POSIX_ONLY]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            missing = POSIX_CALLS.get(node.module, set())
            used = [f"{node.module}.{alias.name}" for alias in node.names if alias.name in missing]
            used += [node.module] if node.module.split(".")[0] in POSIX_ONLY else []
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            missing = POSIX_CALLS.get(node.value.id, set())
            used = [f"{node.value.id}.{node.attr}"] if node.attr in missing else []
        yield from (f"line {getattr(node, 'lineno', 0)}: {name} does not exist on Windows" for name in used)


def test_no_module_outside_the_demo_uses_a_posix_only_function() -> None:
    outside = [module for module in MODULES if not is_demo(module)]
    assert [f"{module}: {message}" for module in outside for message in posix_only(tree(module))] == []


@pytest.mark.parametrize(
    "code",
    [
        "import fcntl", "from pty import openpty", "def f():\n    import termios.x", "import os\nos.geteuid()",
        "from os import fork as split", "import signal\nsignal.alarm(1)", "import socket\nsocket.AF_UNIX",
    ],
)  # fmt: skip
def test_posix_only_code_is_detected(code: str) -> None:
    assert list(posix_only(ast.parse(code)))


def test_demo_uses_posix_only_functions() -> None:
    assert any(list(posix_only(tree(module))) for module in MODULES if is_demo(module))


def test_no_file_has_a_marker_of_unfinished_work() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "XX" + "X ")
    folders = ("tscm_migrate", "tests", "docs", "inventory", "changelog.d", ".ci")
    files = [ROOT / "tasks.py", ROOT / "try.py", ROOT / "README.md", ROOT / "pyproject.toml"]
    files += [p for f in folders for p in (ROOT / f).rglob("*") if p.suffix in {".py", ".md", ".toml"}]
    markers = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in files
        if "_build" not in path.parts
        for word in words
        if word in path.read_text(encoding="utf-8")
    ]
    assert not markers


def test_relative_absolute_and_late_imports_are_detected() -> None:
    names = {name for name, _ in imported("tscm_migrate/tasks/migrate.py")}
    assert "tscm_migrate.errors" in names  # absolute
    assert "tscm_migrate.tasks.base" in names  # relative
    assert "tscm_migrate.secrets" in names  # inside a function


def test_accelerated_transport_has_at_most_350_lines_of_code() -> None:
    package = [module for module in MODULES if module.startswith("tscm_migrate/ssh/accelerated/")]
    assert sum(code_lines(ROOT / module) for module in package) <= 350, "see tscm_migrate/ssh/accelerated/README.md"


def test_other_modules_import_only_the_accelerated_package_itself() -> None:
    others = [module for module in MODULES if not module.startswith("tscm_migrate/ssh/accelerated/")]
    names = {name for module in others for name, _ in imported(module) if name.startswith("tscm_migrate.ssh.accel")}
    assert names == {"tscm_migrate.ssh.accelerated"}


MAY_PRINT = {
    "tscm_migrate/ui/console.py", "tscm_migrate/ui/operator.py", "tscm_migrate/ui/live.py", "tscm_migrate/cli/failures.py", "tscm_migrate/cli/arguments.py",
    "tscm_migrate/cli/program.py", "tscm_migrate/tasks/tree.py", "tscm_migrate/cli/setup.py", "tscm_migrate/tasks/offsite.py",
}  # fmt: skip


def calls(module: str) -> Iterator[ast.Call]:
    """Yield each call in a module."""
    return (node for node in ast.walk(tree(module)) if isinstance(node, ast.Call))


def test_each_module_prints_only_with_the_functions_of_ui() -> None:
    printing = {"print", "sys.stdout.write", "sys.stderr.write"}
    checked = [module for module in MODULES if not is_demo(module) and module not in MAY_PRINT]
    direct = [
        f"{module}:{call.lineno}" for module in checked for call in calls(module) if ast.unparse(call.func) in printing
    ]
    assert direct == [], "use the functions of ui/console.py"


MAY_WRITE = {"tscm_migrate/util/private.py", "tscm_migrate/cli/main.py"}
# These two write on another host.
MAY_WRITE |= {"tscm_migrate/transfer/endpoints/sftp.py", "tscm_migrate/offsite/stores/sftp.py"}


def ignores_file_mode(node: ast.Call) -> bool:
    """Return whether a call creates a local file or folder with the mode that the umask gives."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
    if name in {"write_text", "write_bytes", "touch", "makedirs", "copyfile", "copy", "copy2"}:
        return name != "copy" or ast.unparse(node.func).startswith("shutil.")
    if name == "mkdir":
        return not any(word.arg == "mode" for word in node.keywords) and "sftp" not in ast.unparse(node.func)
    modes = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return name == "open" and any(mode[:1] in {"w", "a", "x"} and len(mode) <= 3 for mode in modes)


def test_each_module_creates_files_only_with_an_explicit_mode() -> None:
    checked = [module for module in MODULES if not is_demo(module) and module not in MAY_WRITE]
    direct = [f"{module}:{call.lineno}" for module in checked for call in calls(module) if ignores_file_mode(call)]
    assert direct == [], "use util.private"


def test_call_that_leaves_the_file_mode_to_the_umask_is_detected() -> None:
    for code in ("p.write_text('x')", "p.open('ab')", "open('f', 'w')", "p.mkdir(parents=True)", "shutil.copy2(a, b)"):
        assert ignores_file_mode(ast.parse(code, mode="eval").body)  # type: ignore[arg-type]
    for code in ("p.open('rb')", "p.mkdir(mode=0o700)", "data.copy()", "os.open(p, flags, 0o600)"):
        assert not ignores_file_mode(ast.parse(code, mode="eval").body)  # type: ignore[arg-type]


def test_option_allow_accepts_the_name_of_every_check() -> None:
    from tscm_migrate.options import check_names

    names_in_code = {"no-sudo", "login", "unreachable"}  # of gather_facts, which chooses by the error
    for module in MODULES:
        if part_of(module) == "migration":
            findings = [call for call in calls(module) if ast.unparse(call.func).rpartition(".")[2] == "Finding"]
            names = [call.args[0] for call in findings if call.args]
            names_in_code |= {name.value for name in names if isinstance(name, ast.Constant)}
    assert names_in_code == check_names()
