"""The tool on Windows' own Python against rehearsal appliances on Linux: browse, pull, push, migrate.

`tests/windows/wine.py` starts both, and passes the path of the appliances' folder, which both systems can read.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

LAB = Path(os.environ.get("TSCM_TEST_LAB", ""))
BACKUPS = "opt/threatstop/backup"
PHRASE = "Grüße & 100% 'wörtlich'"
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(not (os.name == "nt" and LAB.name), reason="run by `invoke test --windows`"),
]


def tool(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    """Run the tool with an inventory and no other settings; its output is a pipe, encoded as PYTHONIOENCODING says."""
    ours = {"TSCM_INVENTORY": str(folder / "hosts.toml"), "TSCM_STATE": str(folder / "state")}
    env = {**os.environ, "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring", **ours, **more}
    return subprocess.run(
        [sys.executable, "-m", "tscm_migrate", *words],
        cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=240, check=False,
    )  # fmt: skip


def output_of(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return the output of a command that must have succeeded."""
    text = done.stdout.decode("ascii", "replace") + done.stderr.decode("ascii", "replace")
    assert done.returncode == 0, text
    return text


@pytest.fixture(scope="module")
def user_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a user's folder: the lab's inventory, the private key, and the pinned host keys."""
    folder = tmp_path_factory.mktemp("user")
    text = (LAB / "hosts.toml").read_text(encoding="utf-8")
    text = re.sub(r"^identity_file = .*$", 'identity_file = "client_key"', text, flags=re.MULTILINE)
    (folder / "hosts.toml").write_text(text, encoding="utf-8")
    (folder / "client_key").write_bytes((LAB / "client_key").read_bytes())
    pin(folder, "old")
    pin(folder, "new")
    return folder


def pin(folder: Path, name: str) -> None:
    """Pin a host key as the documentation says: with the fingerprint from the appliance's console."""
    blob = (LAB / name / "root/etc/ssh/ssh_host_ed25519_key.pub").read_text(encoding="utf-8").split()[1]
    import base64

    digest = base64.b64encode(hashlib.sha256(base64.b64decode(blob)).digest()).decode().rstrip("=")
    output_of(tool(folder, "host", "pin", f"tscm-{name}", "--fingerprint", f"SHA256:{digest}"))


def newest(name: str) -> Path:
    """Return the newest archive in an appliance's backup folder."""
    return max((LAB / name / "root" / BACKUPS).glob("threatstop_backup_*.tsbak*"))


@pytest.mark.parametrize("codepage", ["cp437", "cp1252"])
def test_archive_list_and_plan_print_in_the_code_page_of_the_console(user_folder: Path, codepage: str) -> None:
    env = {"PYTHONIOENCODING": codepage, "PYTHONUTF8": "0"}
    assert newest("old").name in output_of(tool(user_folder, "archive", "list", "tscm-old", **env))
    planned = tool(user_folder, "plan", "--from", "tscm-old", "--to", "tscm-new", TSCM_PASSPHRASE=PHRASE, **env)
    assert "Estimated: " in output_of(planned)
    planned.stdout.decode(codepage)


@pytest.mark.parametrize("options", [(), ("--sftp",)])
def test_an_archive_pulled_into_a_long_path_equals_the_original(
    user_folder: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    place = tmp_path / ("a folder with a long name " + "x" * 60) / ("and one more " + "y" * 80) / ("z" * 90)
    assert len(str(place)) > 260
    output_of(tool(user_folder, "archive", "pull", "tscm-old", "--to", str(place), *options))
    (pulled,) = (path for path in place.iterdir() if ".tsbak" in path.name)
    assert pulled.name == newest("old").name
    assert pulled.read_bytes() == newest("old").read_bytes()


def test_a_pushed_archive_equals_the_original(user_folder: Path, tmp_path: Path) -> None:
    mine = tmp_path / "threatstop_backup_2020-02-02_02_02_02.tsbak"
    mine.write_bytes(newest("old").read_bytes())
    output_of(tool(user_folder, "push", str(mine), "--host", "tscm-new"))
    assert (LAB / "new/root" / BACKUPS / mine.name).read_bytes() == mine.read_bytes()


def test_a_migration_completes_and_is_reported(user_folder: Path) -> None:
    words = ("migrate", "--from", "tscm-old", "--to", "tscm-new", "--yes")
    output = output_of(tool(user_folder, *words, TSCM_PASSPHRASE=PHRASE, PYTHONIOENCODING="cp437", PYTHONUTF8="0"))
    assert "done: tscm-new serves at " in output
    reports = list((user_folder / "state").rglob("report.html"))
    assert len(reports) == 1
    assert PHRASE not in output + reports[0].read_text(encoding="utf-8")
