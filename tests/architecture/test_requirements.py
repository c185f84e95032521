"""The lock files contain the dependencies of pyproject.toml with exact versions and hashes, and name no package index."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import subprocess
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCKS = ("dev", "runtime", "test")
RENEW = "renew it: invoke lock"


def project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def group_requirements(group: str, table: dict[str, Any]) -> list[str]:
    """Return the requirements of a dependency group, with those of the groups that it includes."""
    requirements: list[str] = []
    for line in table[group]:
        requirements += [line] if isinstance(line, str) else group_requirements(line["include-group"], table)
    return requirements


def pins(name: str) -> dict[str, list[tuple[Version, str, int]]]:
    """Return the content of a lock file: name → (version, marker, number of hashes), once for each platform."""
    text = (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    locked: dict[str, list[tuple[Version, str, int]]] = {}
    for line in text.splitlines():
        text, *hashes = re.split(r"\s+--hash=", line)
        one = Requirement(text)
        (pin,) = one.specifier
        assert pin.operator == "=="
        locked.setdefault(canonicalize_name(one.name), []).append((Version(pin.version), str(one.marker), len(hashes)))
    return locked


@pytest.mark.parametrize("name", LOCKS)
def test_dependency_of_the_project_is_locked(name: str) -> None:
    table = project()
    lines = list(table["project"]["dependencies"])
    if name != "runtime":
        lines += group_requirements(name, table["dependency-groups"])
    locked = pins(name)
    for one in map(Requirement, lines):
        pinned = locked.get(canonicalize_name(one.name), [])
        assert pinned, f"{one} is not in requirements/{name}.txt; {RENEW}"
        assert all(version in one.specifier for version, _, _ in pinned), f"{one}: {pinned}; {RENEW}"


@pytest.mark.parametrize("name", LOCKS)
def test_lock_file_has_hashes_and_names_no_package_index(name: str) -> None:
    assert all(hashes for pinned in pins(name).values() for *_, hashes in pinned)
    text = (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8")
    assert not re.search(r"://|--index|--extra-index|--find-links|--trusted| @ ", text)


def test_locks_have_the_same_versions() -> None:
    dev = {name: {version for version, _, _ in pinned} for name, pinned in pins("dev").items()}
    for name in ("runtime", "test"):
        for package, pinned in pins(name).items():
            assert {version for version, _, _ in pinned} <= dev[package], f"{package} in {name}; {RENEW}"


def test_test_lock_contains_the_packages_for_windows() -> None:
    assert {"tzdata", "pywin32-ctypes"} <= pins("test").keys()


def wheel(folder: Path, name: str, version: str, *needs: str) -> str:
    """Write a wheel that contains only metadata with its dependencies; return its line for a lock file."""
    info, path = f"{name}-{version}.dist-info", folder / f"{name}-{version}-py3-none-any.whl"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nProvides-Extra: more"]
    metadata += [f"Requires-Dist: {one}" for one in needs]
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{info}/METADATA", "\n".join(metadata) + "\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.mark.slow
def test_lock_is_installed_unchanged_when_a_newer_version_exists(tmp_path: Path) -> None:
    """Pip before 24 selects the newest version of a package required with an extra, and then fails: it has no hash."""
    spec = importlib.util.spec_from_file_location("tried", ROOT / "try.py")
    assert spec is not None
    assert spec.loader is not None
    try_script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(try_script)
    lock = wheel(tmp_path, "below", "1.0") + wheel(tmp_path, "above", "1.0", "below[more]>=1.0")
    wheel(tmp_path, "below", "1.1")
    (tmp_path / "lock.txt").write_text(lock, encoding="utf-8")
    venv.create(tmp_path / "venv", with_pip=True, symlinks=os.name != "nt")
    python = tmp_path / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [str(python), "-m", "pip"]
    offline = ["--no-index", "--find-links", str(tmp_path)]
    try_script.install_locked([*pip, "install", *offline], tmp_path / "lock.txt")
    pinned = subprocess.run([*pip, "freeze"], capture_output=True, text=True, timeout=60, check=True).stdout
    assert {"above==1.0", "below==1.0"} <= set(pinned.split())
