"""Network settings that the tool writes are accepted by the system's own checkers, where these are installed."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tscm_migrate.appliance.prepared_network import CHECKERS, PreparedNetwork, check_script
from tscm_migrate.archive.network_config import WantedNetwork, kind_of, rewritten

if TYPE_CHECKING:
    from pathlib import Path

WANTED = WantedNetwork("10.1.1.43", 24, "10.1.1.1", ("10.1.1.2",))
FILES = {
    "/etc/netplan/50-a2.yaml": "network:\n  version: 2\n  ethernets:\n    eth0:\n      dhcp4: true\n      mtu: 1400\n",
    "/etc/network/interfaces": "auto eth0\niface eth0 inet dhcp\n    mtu 1400\n",
    "/etc/sysconfig/network-scripts/ifcfg-eth0": "DEVICE=eth0\nBOOTPROTO=dhcp\nONBOOT=yes\n",
    "/etc/NetworkManager/system-connections/eth0.nmconnection": (
        "[connection]\nid=eth0\nuuid=4d1b7a7c-5a49-4ad8-b9f2-0c65d1b5a001\ntype=ethernet\ninterface-name=eth0\n\n"
        "[ethernet]\nmtu=1400\n\n[ipv4]\nmethod=auto\n"
    ),
}
DAMAGE = {"netplan": ("10.1.1.43/", "10.1.1.430/"), "ifupdown": ("inet static", "inet statik"),
          "ifcfg": ("PREFIX=24", "PREFIX='24"), "keyfile": ("method=manual", "method=manuel")}  # fmt: skip


def check(path: str, text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    staged = folder / "staged"
    staged.write_text(text)
    staged.chmod(0o600)
    made = PreparedNetwork(path, str(staged), "", CHECKERS[kind_of(path)])
    return subprocess.run(
        ["sh", "-c", check_script(made, "eth0")], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("path", FILES, ids=kind_of)
def test_the_checker_accepts_written_settings_and_refuses_a_mistake(path: str, tmp_path: Path) -> None:
    kind = kind_of(path)
    program = CHECKERS[kind].split()[0]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed here")
    live, text = rewritten({path: FILES[path]}, "eth0", WANTED)
    good = check(live, text, tmp_path)
    assert good.returncode == 0, good.stderr
    right, wrong = DAMAGE[kind]
    assert right in text
    bad = check(live, text.replace(right, wrong), tmp_path)
    assert bad.returncode not in {0, 75}, bad.stdout


def test_a_missing_checker_has_its_own_exit_status(tmp_path: Path) -> None:
    checked = [path for path in FILES if kind_of(path) != "ifcfg"]
    assert checked
    for path in checked:
        made = PreparedNetwork(path, str(tmp_path / "staged"), "", CHECKERS[kind_of(path)])
        done = subprocess.run(["/bin/sh", "-c", check_script(made, "eth0")], env={"PATH": str(tmp_path)}, check=False)
        assert done.returncode == 75, path
