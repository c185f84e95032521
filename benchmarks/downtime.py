"""Downtime and total time of a migration: the tool against a shell script of the same steps, in turn, on fresh labs.

    python -m benchmarks.downtime [--devices 5] [--seconds 1] [--rounds 1] [--json FILE]

Both are measured from outside. Total: from the start to the end of the last device's update, as the appliance noted it.
Downtime: from the shutdown of the old appliance, as the lab's power switch saw it, to the same end. The tool runs without
the rehearsal, which the script does not have. Needs root and network namespaces; nothing leaves them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path

from tests.harness.namespaces import NamespaceLab
from tscm_migrate.demo.profile import Device, new_profile, old_profile

PASSPHRASE = "benchmark"
SCRIPT = """
ssh() { command ssh -F none -i KEY -o UserKnownHostsFile=KNOWN -o BatchMode=yes -o ConnectTimeout=2 "$@" </dev/stdin; }
changed="-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
ssh threatstop@10.1.1.43 'sudo shutdown -h now' </dev/null
while ping -c 1 -W 1 10.1.1.43 >/dev/null; do sleep 1; done
printf '1\\ny\\ny\\n' | ssh -tt threatstop@10.1.1.50 'tsadmin restore --interface=eth0 --gpg_passphrase_file=/home/threatstop/p'
until ssh $changed threatstop@10.1.1.43 true </dev/null; do sleep 1; done
printf '1\\ny\\nn\\n' | ssh $changed -tt threatstop@10.1.1.43 'tsadmin restore --interface=eth0 --gpg_passphrase_file=/home/threatstop/p'
for device in DEVICES; do ssh $changed threatstop@10.1.1.43 "tsadmin update $device" </dev/null; done
"""


def measured(lab: NamespaceLab, began: float) -> dict[str, float]:
    """Seconds to the end of the last update: from the beginning, and from the old appliance's shutdown."""
    power = [json.loads(line) for line in (lab.folder / "power.jsonl").read_text().splitlines()]
    gone = next(one["at"] for one in power if one["host"] == "old" and one["event"].startswith(("down", "ended")))
    ends = [one["t"] for one in lab.journal("new") if one["event"] == "update-end"]
    end = datetime.fromisoformat(ends[-1]).timestamp()
    return {"total": end - began, "downtime": end - gone}


def by_tool(lab: NamespaceLab) -> dict[str, float]:
    """One migration."""
    began, words = time.time(), ("migrate", "--from", "tscm-old", "--to", "tscm-new", "--no-rehearsal", "--yes")
    done = lab.run_tool(*words, env={"TSCM_PASSPHRASE": PASSPHRASE}, timeout=300)
    if done.returncode:
        raise SystemExit(f"{done.stdout}\n{done.stderr}")
    return measured(lab, began)


def by_script(lab: NamespaceLab, devices: list[str]) -> dict[str, float]:
    """The same steps as a shell script."""
    began = time.time()
    as_user = f"umask 077; echo {PASSPHRASE} > ~/p"
    home = "HOME=/home/threatstop; export HOME; "
    lab.on("old", f"{home}{as_user}; tsadmin backup --interface=eth0 --gpg_passphrase_file=$HOME/p", root=False)
    lab.on("new", f"{home}{as_user}", root=False)
    made = next((lab.root_of("old") / "opt/threatstop/backup").glob("threatstop_backup_*.gpg"))
    place = lab.root_of("new") / "opt/threatstop/backup" / made.name
    place.write_bytes(made.read_bytes())
    lab.on("new", f"chown threatstop: /opt/threatstop/backup/{made.name}; chmod 664 /opt/threatstop/backup/{made.name}")
    station = lab.workstation
    text = SCRIPT.replace("KEY", str(station.key)).replace("KNOWN", str(lab.inventory.with_name("known_hosts")))
    process = station.spawn(*station.inside("sh", "-c", text.replace("DEVICES", " ".join(devices))))
    said, _ = process.communicate(timeout=300)
    missing = set(devices) - {one.get("device") for one in lab.journal("new") if one["event"] == "update-end"}
    if missing:
        raise SystemExit(f"the script did not update {missing}:\n{said}")
    return measured(lab, began)


def main() -> None:
    """Measure both in turn, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", default="")
    asked = parser.parse_args()
    devices = tuple(Device(f"asa-{n}", update_seconds=asked.seconds) for n in range(asked.devices))
    rounds = []
    for _ in range(asked.rounds):
        took: dict[str, dict[str, float]] = {}
        for name in ("tool", "script"):
            with tempfile.TemporaryDirectory(prefix="downtime") as folder:
                old = old_profile(devices=devices, archives=0, encryption_configured=None)
                with NamespaceLab(Path(folder), old, new_profile()) as lab:
                    names = [device.name for device in devices]
                    took[name] = by_tool(lab) if name == "tool" else by_script(lab, names)
        rounds.append(took)
    for figure in ("total", "downtime"):
        tool, script = (statistics.median(one[name][figure] for one in rounds) for name in ("tool", "script"))
        print(f"{figure}: tool {tool:.1f} s, script {script:.1f} s, ratio {tool / script:.2f}")
    if asked.json:
        Path(asked.json).write_text(json.dumps(rounds, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
