"""The messages for frequent mistakes that need no host: at most six lines with error, reason, state and remedy.

The complete output is compared with the files in snapshots/; see CONTRIBUTING.md for how to renew them.
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

NONE = "none"  # in place of an inventory: there is no file

# name → inventory, command line
MISTAKES: dict[str, tuple[str, tuple[str, ...]]] = {
    "unknown command": (GOOD, ("migrat",)),
    "unknown option": (GOOD, (*MIGRATE, "--bypas-netconf")),
    "option without value": (GOOD, ("migrate", "--from")),
    "missing option to": (GOOD, ("migrate", "--from", "tscm-old")),
    "mistyped host name": (GOOD, ("migrate", "--from", "tscm-odl", "--to", "tscm-new", "--yes")),
    "mistyped inventory key": (GOOD.replace("port", "prot", 1), MIGRATE),
    "invalid address": (GOOD.replace("127.0.0.1", "127.0.0.300"), MIGRATE),
    "missing key file": (GOOD + 'identity_file = "nokey"\n', MIGRATE),
    "same host twice": (GOOD, ("migrate", "--from", "tscm-old", "--to", "tscm-old")),
    "missing inventory file": ("", ("migrate", "--inventory", "no.toml", *MIGRATE[1:])),
    "folder as inventory": ("", ("migrate", "--inventory", ".", *MIGRATE[1:])),
    "no inventory yet": (NONE, MIGRATE),
    "both netconf options": (GOOD, (*MIGRATE, "--bypass-netconf", "--force-apply-netconf")),
    "unknown transfer method": (GOOD, (*MIGRATE, "--method", "rsnyc")),
    "invalid duration": (GOOD, (*MIGRATE, "--drain-timeout", "soon")),
    "no terminal for questions": (GOOD, MIGRATE[:-1]),
    "passphrase without encryption": (
        GOOD,
        ("plan", "--checks-only", *MIGRATE[1:-1], "--passphrase-file", "hosts.toml", "--no-encrypt"),
    ),
    "nothing to resume": (GOOD, ("resume", "--yes")),
    "unknown run": (GOOD, ("run", "show", "20240501-030000-1a2b")),
    "report without runs": (GOOD, ("run", "report", "--text")),
    "invalid fingerprint": (GOOD, ("host", "pin", "tscm-old", "--fingerprint", "MD5:aa")),
    "closed port": (GOOD, ("host", "pin", "tscm-old")),
    "unknown subcommand": (GOOD, ("host", "pinn", "tscm-old")),
    "unknown completion shell": (GOOD, ("completion", "cmd")),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_output_for_mistake_matches_snapshot(name: str, tmp_path: Path) -> None:
    inventory, argv = MISTAKES[name]
    file = tmp_path / "hosts.toml"
    file.write_text(inventory, encoding="utf-8")
    env = {key: value for key, value in os.environ.items() if key in {"PATH", "LANG"}}
    env |= {"TSCM_INVENTORY": str(file), "TSCM_STATE": str(tmp_path / "state"), "HOME": str(tmp_path)}
    if inventory == NONE:
        del env["TSCM_INVENTORY"]
    env["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(
        [*TOOL, *argv], env=env, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode
    snapshots.compare(name, snapshots.page(argv, done.stdout, done.returncode, {str(tmp_path): "FOLDER"}))
