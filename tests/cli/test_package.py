"""A release: the wheel and the sdist with their papers, built, installed into an empty environment, and run from there."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from filelock import FileLock
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run(*argv: str, cwd: Path | None = None, timeout: float = 500) -> str:
    done = subprocess.run(
        argv, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The release, built once for all of pytest's workers."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "release"
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            run(sys.executable, str(ROOT / "release.py"), str(folder))
    return folder


def test_both_hold_what_the_tool_reads_at_run_time_and_no_tests_are_installed(built: Path) -> None:
    wheel = zipfile.ZipFile(next(built.glob("*.whl"))).namelist()
    for name in ("tscm_migrate/ui/page/report.html.j2", "tscm_migrate/py.typed"):
        assert name in wheel
    assert {name.split("/")[0].split("-")[0] for name in wheel} == {"tscm_migrate"}
    assert any(name.endswith("licenses/LICENSE") for name in wheel)
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("tasks.py", "try.py", "release.py", "README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md"):
        assert name in inside
    assert {"CONTRIBUTING.md", "tests/cli/test_package.py", "requirements/dev.txt"} <= inside


def test_the_bill_of_materials_names_what_the_tool_needs_and_nothing_of_the_workshop(built: Path) -> None:
    text = next(built.glob("*.cdx.json")).read_text(encoding="utf-8")
    told = json.loads(text)
    (wheel,) = built.glob("*.whl")
    assert (told["bomFormat"], told["metadata"]["component"]["name"]) == ("CycloneDX", "tscm-migrate")
    assert wheel.name.startswith(f"tscm_migrate-{told['metadata']['component']['version']}-")
    listed = {canonicalize_name(part["name"]): part["version"] for part in told["components"]}
    with (ROOT / "pyproject.toml").open("rb") as file:
        wanted = [Requirement(line) for line in tomllib.load(file)["project"]["dependencies"]]
    for one in wanted:
        if one.marker is None or one.marker.evaluate():
            assert listed[canonicalize_name(one.name)] in one.specifier
    assert {"cryptography", "pydantic-core"} <= set(listed)  # what those need in their turn
    assert not {"pytest", "pip", "mypy", "tscm-migrate"} & set(listed)
    reached = {ref for edge in told["dependencies"] for ref in edge.get("dependsOn", [])}
    assert {part["bom-ref"] for part in told["components"]} <= reached
    assert str(ROOT) not in text


def test_the_checksums_are_those_of_all_the_files(built: Path) -> None:
    lines = (built / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    told = {name: digest for digest, name in (line.split("  ") for line in lines)}
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in built.iterdir() if p.name != "SHA256SUMS"}
    assert told == files
    assert {Path(name).suffix for name in files} == {".whl", ".gz", ".json"}


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
    assert "python" in run(tool, "doctor", "--local", cwd=tmp_path)
    assert run(python, "-m", "pip", "check").strip() == "No broken requirements found."
