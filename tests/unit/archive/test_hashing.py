"""The script that hashes on an appliance: with openssl, with coreutils, and if openssl does not work."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tscm_migrate.archive import hashing

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the script needs a POSIX sh")
BODY = bytes(range(256)) * 300


def tools(folder: Path, *names: str, **scripts: str) -> dict[str, str]:
    """Return an environment whose PATH has only these programs."""
    folder.mkdir()
    for name in ("sh", "cut", "head", *names):
        if (program := shutil.which(name)) is None:
            pytest.skip(f"{name} is not installed")
        (folder / name).symlink_to(program)
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return {"PATH": str(folder)}


def run(script: str, env: dict[str, str], shell: str = "sh") -> subprocess.CompletedProcess[str]:
    return subprocess.run([shell, "-c", script], env=env, capture_output=True, text=True, check=False, timeout=100)


@pytest.mark.parametrize(
    ("names", "scripts"),
    [
        (("openssl",), {}),
        (("sha256sum",), {}),
        (("sha256sum",), {"openssl": "cat >/dev/null; echo 'unknown option -r' >&2; exit 1"}),
        (("openssl",), {"sha256sum": "echo must not be used >&2; exit 9"}),
    ],
    ids=["openssl", "coreutils", "an openssl that cannot", "both"],
)
def test_file_and_its_prefix_are_hashed_with_the_available_program(
    tmp_path: Path, names: tuple[str, ...], scripts: dict[str, str]
) -> None:
    env, path = tools(tmp_path / "bin", *names, **scripts), tmp_path / "a file"
    path.write_bytes(BODY)
    quoted = shlex.quote(str(path))
    for script, body in (
        (hashing.of_file(quoted), BODY), (hashing.of_prefix(quoted, 1000), BODY[:1000]),
        (f"set -e; h=$({hashing.of_file(quoted)}); echo $h", BODY),
    ):  # fmt: skip
        done = run(script, env)
        assert (done.returncode, done.stdout.strip()) == (0, hashlib.sha256(body).hexdigest())
        assert hashing.digest_in(f"Welcome!\n{done.stdout}") == hashlib.sha256(body).hexdigest()


def test_missing_program_or_file_gives_no_digest_and_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(BODY)
    bare = run(hashing.of_file(shlex.quote(str(tmp_path / "x"))), tools(tmp_path / "none"))
    assert bare.returncode == 127
    assert hashing.digest_in(bare.stdout) == ""
    gone = run(hashing.of_file(shlex.quote(str(tmp_path / "gone"))), tools(tmp_path / "bin", "sha256sum"))
    assert gone.returncode
    assert hashing.digest_in(gone.stdout) == ""


def test_script_contains_no_character_that_cron_interprets() -> None:
    assert "%" not in hashing.SHA256
    assert "\n" not in hashing.SHA256
