"""The commonest mistakes: at most six lines each, that say what, why, how things stand and what to do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = (sys.executable, "-m", "tscm_migrate")
MIGRATE = ("migrate", "--from", "tscm-old", "--to", "tscm-new", "--yes")
GOOD = '[hosts.tscm-old]\naddress = "127.0.0.1"\nport = 1\n[hosts.tscm-new]\naddress = "127.0.0.2"\nport = 1\n'

# name → inventory, command line, exit code, the lines that are told
MISTAKES: dict[str, tuple[str, tuple[str, ...], int, str]] = {
    "no task of this name": (GOOD, ("migrat",), 2, """
        error: there is no task 'migrat'; did you mean 'migrate'?
          what to do: tscm-migrate --help
          (usage, exit code 2)"""),
    "no option of this name": (GOOD, (*MIGRATE, "--bypas-netconf"), 2, """
        error: unknown option '--bypas-netconf'; did you mean '--bypass-netconf'?
          what to do: the options: tscm-migrate migrate --help
          (usage, exit code 2)"""),
    "an option without its value": (GOOD, ("migrate", "--from"), 2, """
        error: --from wants a value
          what to do: tscm-migrate migrate --help
          (usage, exit code 2)"""),
    "no target": (GOOD, ("migrate", "--from", "tscm-old"), 2, """
        error: --to is missing: which appliance is the new one?
          what to do: give --from OLD --to NEW
          (usage, exit code 2)"""),
    "a host's name mistyped": (GOOD, ("migrate", "--from", "tscm-odl", "--to", "tscm-new", "--yes"), 2, """
        error: INVENTORY: hosts: there is no host 'tscm-odl'; did you mean 'tscm-old'?
          what to do: hosts that are known: tscm-old, tscm-new (INVENTORY); or give user@address[:port]
          (inventory, exit code 2)"""),
    "a key of the inventory mistyped": (GOOD.replace("port", "prot", 1), MIGRATE, 2, """
        error: INVENTORY: hosts.tscm-old.prot (line 3): unknown key; did you mean 'port'?
          what to do: FIX
          (inventory, exit code 2)"""),
    "an address that is none": (GOOD.replace("127.0.0.1", "127.0.0.300"), MIGRATE, 2, """
        error: INVENTORY: hosts.tscm-old.address (line 2): not an IP address or host name
          what to do: FIX
          (inventory, exit code 2)"""),
    "a key file that is not there": (GOOD + 'identity_file = "nokey"\n', MIGRATE, 2, """
        error: INVENTORY: hosts.tscm-new.identity_file: the identity file FOLDER/nokey is not there
          what to do: FIX
          (inventory, exit code 2)"""),
    "an inventory that is not there": ("", ("migrate", "--inventory", "no.toml", *MIGRATE[1:]), 2, """
        error: no.toml: there is no inventory file here (named by --inventory)
          what to do: FIX
          (inventory, exit code 2)"""),
    "both ways of treating the network": (GOOD, (*MIGRATE, "--bypass-netconf", "--force-apply-netconf"), 3, """
        error: --bypass-netconf and --force-apply-netconf contradict each other; nothing was changed
          what to do: give one: bypass keeps the new one's own address, force-apply takes over the old one's settings
          (preflight.netconf, exit code 3)"""),
    "a method that does not exist": (GOOD, (*MIGRATE, "--method", "rsnyc"), 2, """
        error: --method 'rsnyc' is unknown; did you mean 'rsync'?
          what to do: one of: auto, rsync, tar, sftp
          (usage, exit code 2)"""),
    "no number of seconds": (GOOD, (*MIGRATE, "--drain-timeout", "soon"), 2, """
        error: --drain-timeout 'soon' is no number of seconds
          what to do: give one, as in --drain-timeout 1800
          (usage, exit code 2)"""),
    "nobody to ask": (GOOD, MIGRATE[:-1], 2, """
        error: there is no terminal to ask on
          what to do: give --yes to go on without being asked, or --dry-run
          (usage, exit code 2)"""),
    "a passphrase for a plain backup": (GOOD, ("check", *MIGRATE[1:-1], "--passphrase-file", "x", "--no-encrypt"), 2, """
        error: --no-encrypt and --passphrase-file exclude each other
          what to do: leave one of them out
          (usage, exit code 2)"""),
    "nothing to resume": (GOOD, ("resume", "--yes"), 2, """
        error: WORDS
          what to do: FIX
          (usage, exit code 2)"""),
    "a run that does not exist": (GOOD, ("show", "20240501-030000-1a2b"), 2, """
        error: there is no run '20240501-030000-1a2b' in FOLDER/state/runs
          what to do: list them: tscm-migrate runs
          (usage, exit code 2)"""),
    "a report of nothing": (GOOD, ("report", "show"), 2, """
        error: there are no runs yet
          what to do: make one: tscm-migrate migrate --from OLD --to NEW
          (usage, exit code 2)"""),
    "a fingerprint that is none": (GOOD, ("host", "pin", "tscm-old", "--fingerprint", "MD5:aa"), 2, """
        error: --fingerprint 'MD5:aa' is no fingerprint
          what to do: as `ssh-keygen -l` prints it: SHA256: and 43 characters
          (usage, exit code 2)"""),
    "a host that is off": (GOOD, ("host", "pin", "tscm-old"), 1, """
        error: WORDS
          what to do: check the address and port in the inventory, that the host is on, and that no firewall is between
          (ssh.unreachable, exit code 1)"""),
    "an action that does not exist": (GOOD, ("host", "pinn", "tscm-old"), 2, """
        error: 'host' has no 'pinn'; did you mean 'pin'?
          what to do: FIX
          (usage, exit code 2)"""),
    "a shell without completion": (GOOD, ("completion", "cmd"), 2, """
        error: no completion for 'cmd'
          what to do: one of: bash, zsh, fish, powershell
          (usage, exit code 2)"""),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_in_a_few_lines(name: str, tmp_path: Path) -> None:
    inventory, argv, code, expected = MISTAKES[name]
    file = tmp_path / "hosts.toml"
    file.write_text(inventory, encoding="utf-8")
    env = {key: value for key, value in os.environ.items() if key in {"PATH", "LANG"}}
    env |= {"TSCM_INVENTORY": str(file), "TSCM_STATE": str(tmp_path / "state"), "HOME": str(tmp_path)}
    env["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(
        [*TOOL, *argv], env=env, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    told = done.stderr.rstrip("\n").splitlines()
    assert done.returncode == code, done.stderr
    assert len(told) <= 6, done.stderr
    shown = "\n".join(told).replace(str(file), "INVENTORY").replace(str(tmp_path), "FOLDER")
    lines = [re.escape(line[8:]) for line in expected.strip("\n").splitlines()]
    pattern = "\n".join(lines).replace("FIX", r"\S.*").replace("WORDS", r"\S.*")
    assert re.fullmatch(pattern, shown), f"\n{shown}\nis not\n{expected}"
