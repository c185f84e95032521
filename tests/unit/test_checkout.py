"""The scripts in the checkout: the commands of the README, and the checks that .ci/run calls."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REPORT = '<testsuite><testcase name="a">{0}</testcase><testcase name="b"/></testsuite>'
MARKED = '<properties><property name="marker" value="namespaces"/></properties>'


def check(*argv: str) -> subprocess.CompletedProcess[str]:
    argv = (sys.executable, str(ROOT / ".ci/check.py"), *argv)
    return subprocess.run(argv, capture_output=True, text=True, timeout=100, check=False)


def test_readme_has_two_commands_and_ci_runs_the_test_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"<!-- command: (\w+) -->", readme) == ["demo", "test"]
    assert check("readme-command").stdout == "python3 try.py test\n"


@pytest.mark.parametrize(
    ("inner", "code"), [(MARKED, 0), (f"{MARKED}<skipped message='no root'/>", 1), ("<skipped/>", 1)]
)
def test_ci_check_fails_when_namespace_tests_did_not_run(tmp_path: Path, inner: str, code: int) -> None:
    report = tmp_path / "junit.xml"
    report.write_text(REPORT.format(inner))
    done = check("no-namespace-test-skipped", str(report))
    assert done.returncode == code, done.stderr


@pytest.mark.parametrize(("argv", "code"), [((), 0), (("--help",), 0), (("tset",), 2)])
def test_try_script_prints_help_and_installs_nothing(argv: tuple[str, ...], code: int) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "try.py"), *argv], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == code
    assert "try.py demo" in done.stdout
    assert "installing" not in done.stdout


@pytest.mark.slow
def test_junit_report_contains_the_markers_of_tests(tmp_path: Path) -> None:
    test = tmp_path / "test_it.py"
    test.write_text("import pytest\n\n@pytest.mark.namespaces\ndef test_it(): pass\n")
    (tmp_path / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml")]
    argv += ["--rootdir", str(tmp_path), "--junit-xml", str(tmp_path / "junit.xml"), str(test)]
    subprocess.run(argv, cwd=tmp_path, capture_output=True, timeout=60, check=True)
    assert check("no-namespace-test-skipped", str(tmp_path / "junit.xml")).returncode == 0


def test_ci_waits_for_a_line_that_the_try_script_prints() -> None:
    awaited = re.search(r"grep -q '\^try\.py: ([\w ]+)'", (ROOT / ".ci/run").read_text(encoding="utf-8"))
    assert awaited is not None
    assert f'say("{awaited[1]}")' in (ROOT / "try.py").read_text(encoding="utf-8")
