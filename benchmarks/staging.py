"""The staging half of a migration: the tool against an Ansible playbook (benchmarks/staging.yml), in turn.

    python -m benchmarks.staging [--ansible PATH/ansible-playbook] [--rounds 5] [--json FILE]

Each runs on a fresh pair of simulated appliances: the tool, the playbook with Ansible's default settings, and the playbook
with SSH pipelining, which makes it faster. Staging ends with the verified copy on the new appliance: for the tool, with the shutdown of the old
appliance, which follows at once; for Ansible, with the end of the playbook. Both wait three seconds between two looks
for running updates; this wait is not counted. Needs root, network namespaces, and ansible-core in an environment of its
own (`python -m venv …; …/pip install ansible-core`).
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.downtime import PASSPHRASE, by_tool
from tests.harness.namespaces import NamespaceLab
from tests.harness.profile import new_profile, old_profile

PLAYBOOK = Path(__file__).with_suffix(".yml")
TOOL, ANSIBLE, PIPELINED = NAMES = ("the tool", "Ansible", "Ansible, pipelining")
WAIT = 3.0  # seconds between the playbook's two looks


def by_playbook(lab: NamespaceLab, program: str, *, pipelining: bool) -> float:
    """Run the playbook once; return its seconds without the wait."""
    station = lab.workstation
    known_hosts = lab.inventory.with_name("known_hosts")
    with tempfile.TemporaryDirectory(prefix="ansible") as folder:
        hosts = Path(folder, "hosts.ini")
        login = f"ansible_user=threatstop ansible_ssh_private_key_file={station.key}"
        hosts.write_text(f"old ansible_host=10.1.1.43 {login}\nnew ansible_host=10.1.1.50 {login}\n")
        env = {
            "ANSIBLE_HOME": folder,
            "ANSIBLE_PIPELINING": str(pipelining),
            "ANSIBLE_SSH_ARGS": f"-F none -o UserKnownHostsFile={known_hosts} -o ControlMaster=auto -o ControlPersist=60s",
        }
        values = json.dumps({"passphrase": PASSPHRASE, "folder": folder})
        argv = station.inside(program, "-i", str(hosts), str(PLAYBOOK), "-e", values)
        began = time.monotonic()
        done = station.run(*argv, env=env, timeout=300)
        took = time.monotonic() - began
    if done.returncode:
        raise SystemExit(f"{done.stdout}\n{done.stderr}")
    return took - WAIT


def measured(program: str) -> dict[str, float]:
    """Run both once, each with a fresh lab; return their seconds."""
    took: dict[str, float] = {}
    for name in NAMES:
        with (
            tempfile.TemporaryDirectory(prefix="staging") as folder,
            NamespaceLab(Path(folder), old_profile(archives=0, encryption_configured=None), new_profile()) as lab,
        ):
            if name == TOOL:
                one = by_tool(lab, "restore")
                took[name] = one["staging"] - one["drain"]
            else:
                took[name] = by_playbook(lab, program, pipelining=name == PIPELINED)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--ansible", default=shutil.which("ansible-playbook") or "", help="the program ansible-playbook"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", default="")
    asked = parser.parse_args()
    if not asked.ansible:
        raise SystemExit("ansible-playbook is missing: install ansible-core, and give its path with --ansible")
    rounds = [measured(asked.ansible) for _ in range(asked.rounds)]
    for name in NAMES:
        ratio = statistics.median(one[name] / one[TOOL] for one in rounds)
        print(f"{name:20} {statistics.median(one[name] for one in rounds):6.2f} s, {ratio:.2f} × the tool's")
    if asked.json:
        Path(asked.json).write_text(json.dumps(rounds, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
