"""The checkout's own scripts: what the README says runs, and what .ci/run asks."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REPORT = '<testsuite><testcase name="a">{0}</testcase><testcase name="b"/></testsuite>'
MARKED = '<properties><property name="marker" value="namespaces"/></properties>'


def check(*argv: str) -> subprocess.CompletedProcess[str]:
    argv = (sys.executable, str(ROOT / ".ci/check.py"), *argv)
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)


def test_the_readme_has_exactly_the_two_commands_and_ci_runs_the_one_for_tests() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"<!-- command: (\w+) -->", readme) == ["demo", "test"]
    assert check("readme-command").stdout == "python3 try.py test\n"


@pytest.mark.parametrize(
    ("inner", "code"), [(MARKED, 0), (f"{MARKED}<skipped message='no root'/>", 1), ("<skipped/>", 1)]
)
def test_ci_fails_where_namespace_tests_were_skipped_or_never_ran(tmp_path: Path, inner: str, code: int) -> None:
    report = tmp_path / "junit.xml"
    report.write_text(REPORT.format(inner))
    done = check("no-namespace-test-skipped", str(report))
    assert done.returncode == code, done.stderr


@pytest.mark.parametrize(("argv", "code"), [((), 0), (("--help",), 0), (("tset",), 2)])
def test_the_first_script_explains_itself_and_installs_nothing_unasked(argv: tuple[str, ...], code: int) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "try.py"), *argv], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == code
    assert "try.py demo" in done.stdout
    assert "installing" not in done.stdout


def test_tests_tell_their_markers_to_the_report(tmp_path: Path) -> None:
    test = tmp_path / "test_it.py"
    test.write_text("import pytest\n\n@pytest.mark.namespaces\ndef test_it(): pass\n")
    (tmp_path / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml")]
    argv += ["--rootdir", str(tmp_path), "--junit-xml", str(tmp_path / "junit.xml"), str(test)]
    subprocess.run(argv, cwd=tmp_path, capture_output=True, timeout=60, check=True)
    assert check("no-namespace-test-skipped", str(tmp_path / "junit.xml")).returncode == 0


def wheel(folder: Path, name: str, version: str, *needs: str) -> str:
    """A package with nothing in it but what it needs; its line in a lock."""
    info, path = f"{name}-{version}.dist-info", folder / f"{name}-{version}-py3-none-any.whl"
    told = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nProvides-Extra: more"]
    told += [f"Requires-Dist: {one}" for one in needs]
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{info}/METADATA", "\n".join(told) + "\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def test_a_lock_is_installed_as_it_stands_though_something_newer_was_published(tmp_path: Path) -> None:
    """Pip before 24 takes the newest of what is wanted with an extra, and then complains that it has no hash."""
    spec = importlib.util.spec_from_file_location("tried", ROOT / "try.py")
    assert spec is not None
    assert spec.loader is not None
    tried = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tried)
    lock = wheel(tmp_path, "below", "1.0") + wheel(tmp_path, "above", "1.0", "below[more]>=1.0")
    wheel(tmp_path, "below", "1.1")
    (tmp_path / "lock.txt").write_text(lock, encoding="utf-8")
    venv.create(tmp_path / "venv", with_pip=True, symlinks=os.name != "nt")
    pip = [tmp_path / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python"), "-m", "pip"]
    offline = ["--no-index", "--find-links", str(tmp_path)]
    tried.install_locked([*pip, "install", *offline], tmp_path / "lock.txt")
    held = subprocess.run([*pip, "freeze"], capture_output=True, text=True, timeout=60, check=True).stdout
    assert {"above==1.0", "below==1.0"} <= set(held.split())
