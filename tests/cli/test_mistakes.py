"""The commonest mistakes that need no host: at most six lines each, that say what, why, how things stand, what to do.

The whole output is compared with what is stored under snapshots/; see CONTRIBUTING.md for how to store it anew.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import snapshots

TOOL = (sys.executable, "-m", "tscm_migrate")
MIGRATE = ("migrate", "--from", "tscm-old", "--to", "tscm-new", "--yes")
GOOD = '[hosts.tscm-old]\naddress = "127.0.0.1"\nport = 1\n[hosts.tscm-new]\naddress = "127.0.0.2"\nport = 1\n'

# name → inventory, command line
MISTAKES: dict[str, tuple[str, tuple[str, ...]]] = {
    "no task of this name": (GOOD, ("migrat",)),
    "no option of this name": (GOOD, (*MIGRATE, "--bypas-netconf")),
    "an option without its value": (GOOD, ("migrate", "--from")),
    "no target": (GOOD, ("migrate", "--from", "tscm-old")),
    "a host's name mistyped": (GOOD, ("migrate", "--from", "tscm-odl", "--to", "tscm-new", "--yes")),
    "a key of the inventory mistyped": (GOOD.replace("port", "prot", 1), MIGRATE),
    "an address that is none": (GOOD.replace("127.0.0.1", "127.0.0.300"), MIGRATE),
    "a key file that is not there": (GOOD + 'identity_file = "nokey"\n', MIGRATE),
    "same host twice": (GOOD, ("migrate", "--from", "tscm-old", "--to", "tscm-old")),
    "an inventory that is not there": ("", ("migrate", "--inventory", "no.toml", *MIGRATE[1:])),
    "both ways of treating the network": (GOOD, (*MIGRATE, "--bypass-netconf", "--force-apply-netconf")),
    "a method that does not exist": (GOOD, (*MIGRATE, "--method", "rsnyc")),
    "no duration": (GOOD, (*MIGRATE, "--drain-timeout", "soon")),
    "nobody to ask": (GOOD, MIGRATE[:-1]),
    "a passphrase for a plain backup": (
        GOOD,
        ("plan", "--checks-only", *MIGRATE[1:-1], "--passphrase-file", "hosts.toml", "--no-encrypt"),
    ),
    "nothing to resume": (GOOD, ("resume", "--yes")),
    "a run that does not exist": (GOOD, ("run", "show", "20240501-030000-1a2b")),
    "a report of nothing": (GOOD, ("run", "report", "--text")),
    "a fingerprint that is none": (GOOD, ("host", "pin", "tscm-old", "--fingerprint", "MD5:aa")),
    "a host that is off": (GOOD, ("host", "pin", "tscm-old")),
    "an action that does not exist": (GOOD, ("host", "pinn", "tscm-old")),
    "a shell without completion": (GOOD, ("completion", "cmd")),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_as_it_is_stored(name: str, tmp_path: Path) -> None:
    inventory, argv = MISTAKES[name]
    file = tmp_path / "hosts.toml"
    file.write_text(inventory, encoding="utf-8")
    env = {key: value for key, value in os.environ.items() if key in {"PATH", "LANG"}}
    env |= {"TSCM_INVENTORY": str(file), "TSCM_STATE": str(tmp_path / "state"), "HOME": str(tmp_path)}
    env["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(
        [*TOOL, *argv], env=env, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode
    snapshots.compare(name, snapshots.page(argv, done.stdout, done.returncode, {str(tmp_path): "FOLDER"}))
