"""The tool on Windows' own Python against rehearsal appliances on Linux: browse, pull, push, migrate.

`tests/windows/wine.py` starts both and names the appliances' folder, which is to be seen from either side.
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
    """A user with nothing but an inventory; his output is a pipe in the code page of `PYTHONIOENCODING`."""
    ours = {"TSCM_INVENTORY": str(folder / "hosts.toml"), "TSCM_STATE": str(folder / "state")}
    env = {**os.environ, "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring", **ours, **more}
    return subprocess.run(
        [sys.executable, "-m", "tscm_migrate", *words],
        cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=240, check=False,
    )  # fmt: skip


def well(done: subprocess.CompletedProcess[bytes]) -> str:
    said = done.stdout.decode("ascii", "replace") + done.stderr.decode("ascii", "replace")
    assert done.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's folder: the lab's inventory, the private key, and no key of a host yet."""
    folder = tmp_path_factory.mktemp("desk")
    text = (LAB / "hosts.toml").read_text(encoding="utf-8")
    text = re.sub(r"^identity_file = .*$", 'identity_file = "client_key"', text, flags=re.MULTILINE)
    (folder / "hosts.toml").write_text(text, encoding="utf-8")
    (folder / "client_key").write_bytes((LAB / "client_key").read_bytes())
    pin(folder, "old")
    pin(folder, "new")
    return folder


def pin(folder: Path, name: str) -> None:
    """As the page says: the fingerprint from the appliance's console."""
    blob = (LAB / name / "root/etc/ssh/ssh_host_ed25519_key.pub").read_text(encoding="utf-8").split()[1]
    import base64

    digest = base64.b64encode(hashlib.sha256(base64.b64decode(blob)).digest()).decode().rstrip("=")
    well(tool(folder, "host", "pin", f"tscm-{name}", "--fingerprint", f"SHA256:{digest}"))


def newest(name: str) -> Path:
    """The newest archive in an appliance's backup folder."""
    return max((LAB / name / "root" / BACKUPS).glob("threatstop_backup_*.tsbak*"))


@pytest.mark.parametrize("codepage", ["cp437", "cp1252"])
def test_browsing_and_planning_print_in_the_console_s_code_page(desk: Path, codepage: str) -> None:
    env = {"PYTHONIOENCODING": codepage, "PYTHONUTF8": "0"}
    assert newest("old").name in well(tool(desk, "archive", "list", "tscm-old", **env))
    planned = tool(desk, "plan", "--from", "tscm-old", "--to", "tscm-new", TSCM_PASSPHRASE=PHRASE, **env)
    assert "Estimated: " in well(planned)
    planned.stdout.decode(codepage)


@pytest.mark.parametrize("way", [(), ("--sftp",)])
def test_what_is_pulled_into_a_long_path_is_what_the_appliance_has(
    desk: Path, tmp_path: Path, way: tuple[str, ...]
) -> None:
    place = tmp_path / ("a folder with a long name " + "x" * 60) / ("and one more " + "y" * 80) / ("z" * 90)
    assert len(str(place)) > 260
    well(tool(desk, "archive", "pull", "tscm-old", "--to", str(place), *way))
    (pulled,) = (path for path in place.iterdir() if ".tsbak" in path.name)
    assert pulled.name == newest("old").name
    assert pulled.read_bytes() == newest("old").read_bytes()


def test_what_is_pushed_is_what_the_workstation_has(desk: Path, tmp_path: Path) -> None:
    mine = tmp_path / "threatstop_backup_2020-02-02_02_02_02.tsbak"
    mine.write_bytes(newest("old").read_bytes())
    well(tool(desk, "push", str(mine), "--host", "tscm-new"))
    assert (LAB / "new/root" / BACKUPS / mine.name).read_bytes() == mine.read_bytes()


def test_a_whole_migration_is_made_and_reported(desk: Path) -> None:
    words = ("migrate", "--from", "tscm-old", "--to", "tscm-new", "--yes")
    said = well(tool(desk, *words, TSCM_PASSPHRASE=PHRASE, PYTHONIOENCODING="cp437", PYTHONUTF8="0"))
    assert "done: tscm-new serves at " in said
    reports = list((desk / "state").rglob("report.html"))
    assert len(reports) == 1
    assert PHRASE not in said + reports[0].read_text(encoding="utf-8")
