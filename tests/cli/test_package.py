"""A release: wheel, sdist, bill of materials and checksums are built; both packages install and run."""

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
def release(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Build the release once for all pytest workers; return its folder."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "release"
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            run(sys.executable, str(ROOT / "release.py"), str(folder))
    return folder


def test_packages_contain_all_runtime_files_and_the_wheel_no_tests(release: Path) -> None:
    wheel = zipfile.ZipFile(next(release.glob("*.whl"))).namelist()
    for name in ("tscm_migrate/ui/page/report.html.j2", "tscm_migrate/py.typed"):
        assert name in wheel
    assert {name.split("/")[0].split("-")[0] for name in wheel} == {"tscm_migrate"}
    assert any(name.endswith("licenses/LICENSE") for name in wheel)
    with tarfile.open(next(release.glob("*.tar.gz"))) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("tasks.py", "try.py", "release.py", "README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md"):
        assert name in inside
    assert {"CONTRIBUTING.md", "tests/cli/test_package.py", "requirements/dev.txt"} <= inside


def test_bill_of_materials_lists_only_runtime_dependencies(release: Path) -> None:
    text = next(release.glob("*.cdx.json")).read_text(encoding="utf-8")
    bill = json.loads(text)
    (wheel,) = release.glob("*.whl")
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "tscm-migrate")
    assert wheel.name.startswith(f"tscm_migrate-{bill['metadata']['component']['version']}-")
    listed = {canonicalize_name(part["name"]): part["version"] for part in bill["components"]}
    with (ROOT / "pyproject.toml").open("rb") as file:
        requirements = [Requirement(line) for line in tomllib.load(file)["project"]["dependencies"]]
    for one in requirements:
        if one.marker is None or one.marker.evaluate():
            assert listed[canonicalize_name(one.name)] in one.specifier
    assert {"cryptography", "pydantic-core"} <= set(listed)  # indirect dependencies
    assert not {"pytest", "pip", "mypy", "tscm-migrate"} & set(listed)
    reached = {ref for edge in bill["dependencies"] for ref in edge.get("dependsOn", [])}
    assert {part["bom-ref"] for part in bill["components"]} <= reached
    assert str(ROOT) not in text


def test_checksum_file_lists_every_file(release: Path) -> None:
    lines = (release / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in release.iterdir() if p.name != "SHA256SUMS"}
    assert listed == files
    assert {Path(name).suffix for name in files} == {".whl", ".gz", ".json"}


@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"])
def test_package_installs_into_an_empty_environment_and_runs(release: Path, tmp_path: Path, kind: str) -> None:
    import tscm_migrate

    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    python = str(environment / "bin/python")
    run(python, "-m", "pip", "install", "-q", str(next(release.glob(kind))))
    tool = str(environment / "bin/tscm-migrate")
    assert run(tool, "--version", cwd=tmp_path) == f"tscm-migrate {tscm_migrate.__version__}\n"
    assert "migrate" in run(tool, "--help", cwd=tmp_path)
    assert "python" in run(tool, "doctor", "--local", cwd=tmp_path)
    assert run(python, "-m", "pip", "check").strip() == "No broken requirements found."
