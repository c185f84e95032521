"""The wheel and the sdist: built, installed into an empty environment, and run from there."""

from __future__ import annotations

import subprocess
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run(*argv: str, cwd: Path | None = None, timeout: float = 500) -> str:
    done = subprocess.run(
        argv, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    room = folder / "build"
    venv.create(room, with_pip=True)
    python = str(room / "bin/python")
    run(python, "-m", "pip", "install", "-q", "build", "hatchling")
    run(python, "-m", "build", "-q", "--no-isolation", "--outdir", str(folder / "out"), str(ROOT))
    return folder / "out"


def test_both_hold_what_the_tool_reads_at_run_time_and_no_tests_are_installed(built: Path) -> None:
    wheel = zipfile.ZipFile(next(built.glob("*.whl"))).namelist()
    for name in ("tscm_migrate/ui/report/report.html.j2", "tscm_migrate/py.typed"):
        assert name in wheel
    assert {name.split("/")[0].split("-")[0] for name in wheel} == {"tscm_migrate"}
    assert any(name.endswith("licenses/LICENSE") for name in wheel)
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("tasks.py", "try.py", "README.md", "LICENSE", "CHANGELOG.md", "tests/cli/test_package.py"):
        assert name in inside


@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"])
def test_it_installs_into_an_empty_environment_and_runs(built: Path, tmp_path: Path, kind: str) -> None:
    import tscm_migrate

    room = tmp_path / "room"
    venv.create(room, with_pip=True)
    python = str(room / "bin/python")
    run(python, "-m", "pip", "install", "-q", str(next(built.glob(kind))))
    tool = str(room / "bin/tscm-migrate")
    assert run(tool, "--version", cwd=tmp_path) == f"tscm-migrate {tscm_migrate.__version__}\n"
    assert "migrate" in run(tool, "--help", cwd=tmp_path)
    assert "python" in run(tool, "doctor", "--offline", cwd=tmp_path)
    assert run(python, "-m", "pip", "check").strip() == "No broken requirements found."
