"""The locked environments: what pyproject.toml asks for, exact, with hashes, and from no particular place."""

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


def asked(group: str, table: dict[str, Any]) -> list[str]:
    """A dependency group's own lines and those of the groups that it includes."""
    found: list[str] = []
    for line in table[group]:
        found += [line] if isinstance(line, str) else asked(line["include-group"], table)
    return found


def pins(name: str) -> dict[str, list[tuple[Version, str, int]]]:
    """What a lock holds: name → (version, marker, number of hashes), once for each kind of machine."""
    text = (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    found: dict[str, list[tuple[Version, str, int]]] = {}
    for line in text.splitlines():
        what, *hashes = re.split(r"\s+--hash=", line)
        one = Requirement(what)
        (pin,) = one.specifier
        assert pin.operator == "=="
        found.setdefault(canonicalize_name(one.name), []).append((Version(pin.version), str(one.marker), len(hashes)))
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_what_the_project_asks_for_is_locked(name: str) -> None:
    table = project()
    lines = list(table["project"]["dependencies"])
    if name != "runtime":
        lines += asked(name, table["dependency-groups"])
    locked = pins(name)
    for one in map(Requirement, lines):
        held = locked.get(canonicalize_name(one.name), [])
        assert held, f"{one} is not in requirements/{name}.txt; {RENEW}"
        assert all(version in one.specifier for version, _, _ in held), f"{one}: {held}; {RENEW}"


@pytest.mark.parametrize("name", LOCKS)
def test_each_has_hashes_and_comes_from_wherever_pip_is_told_to_look(name: str) -> None:
    assert all(hashes for held in pins(name).values() for *_, hashes in held)
    text = (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8")
    assert not re.search(r"://|--index|--extra-index|--find-links|--trusted| @ ", text)


def test_all_locks_agree() -> None:
    dev = {name: {version for version, _, _ in held} for name, held in pins("dev").items()}
    for name in ("runtime", "test"):
        for package, held in pins(name).items():
            assert {version for version, _, _ in held} <= dev[package], f"{package} in {name}; {RENEW}"


def test_the_tool_and_its_tests_are_locked_for_windows_too() -> None:
    assert {"tzdata", "pywin32-ctypes"} <= pins("test").keys()


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


@pytest.mark.slow
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
    python = tmp_path / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [str(python), "-m", "pip"]
    offline = ["--no-index", "--find-links", str(tmp_path)]
    tried.install_locked([*pip, "install", *offline], tmp_path / "lock.txt")
    held = subprocess.run([*pip, "freeze"], capture_output=True, text=True, timeout=60, check=True).stdout
    assert {"above==1.0", "below==1.0"} <= set(held.split())
