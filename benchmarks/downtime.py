"""Compare staging, downtime and total time of a migration by the tool and by a shell script with the same steps.

    python -m benchmarks.downtime [--devices 5] [--seconds 1] [--rounds 1] [--network restore|prepared] [--json FILE]

The script follows the vendor's page, with ssh and scp from the workstation: move the cron entry away, wait until `ps`
shows no ts-update, back up, copy, power off, restore, restart, restore again, update the devices one after the other.
Both are measured from outside, each on a new lab:

- total: from the start to the end of the last device's update, as the appliance recorded it
- downtime: from the shutdown of the old appliance, as the lab recorded it, to the same end
- staging: from the start to that shutdown

The tool checks twice that no update runs, and waits between the two checks; the script checks once, so its backup may
run at the same time as an update that starts just then. This wait is reported separately. The tool runs without the
rehearsal, which the script does not have. No round starts at the end of a minute, when the tool waits longer for
updates that cron may have started. Needs root and network namespaces; no packet leaves them.
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
from tests.harness.profile import Device, new_profile, old_profile

PASSPHRASE = "benchmark"
LATE = 50.0  # second of a minute after which no round starts
SCRIPT = """
ssh() { command ssh -F none -i KEY -o UserKnownHostsFile=KNOWN -o BatchMode=yes -o ConnectTimeout=2 "$@" </dev/stdin; }
copy() { command scp -q -F none -i KEY -o UserKnownHostsFile=KNOWN -o BatchMode=yes "$@" </dev/null; }
changed="-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
old=threatstop@10.1.1.43 new=threatstop@10.1.1.50 there=/opt/threatstop/backup
ssh $old 'sudo mv /etc/cron.d/multidevice-core ~/multidevice-core.cron.d' </dev/null
while ssh $old 'ps -ef | grep ts-update | grep -v grep' </dev/null; do sleep 1; done
echo PASSPHRASE | ssh $old 'umask 077; cat > ~/p; tsadmin backup --interface=eth0 --gpg_passphrase_file=$HOME/p'
copy "$old:$there/threatstop_backup_*.gpg" . && copy threatstop_backup_*.gpg $new:$there/
echo PASSPHRASE | ssh $new "umask 077; cat > ~/p; chmod 664 $there/threatstop_backup_*.gpg"
ssh $old 'sudo shutdown -h now' </dev/null
while ping -c 1 -W 1 10.1.1.43 >/dev/null; do sleep 1; done
printf '1\\ny\\ny\\n' | ssh -tt $new 'tsadmin restore --interface=eth0 --gpg_passphrase_file=/home/threatstop/p'
until ssh $changed $old true </dev/null; do sleep 1; done
printf '1\\ny\\nn\\n' | ssh $changed -tt $old 'tsadmin restore --interface=eth0 --gpg_passphrase_file=/home/threatstop/p'
for device in DEVICES; do ssh $changed $old "tsadmin update $device" </dev/null; done
"""


def measured(lab: NamespaceLab, began: float) -> dict[str, float]:
    """Return the seconds of the staging, of the downtime, and in total."""
    power = [json.loads(line) for line in (lab.folder / "power.jsonl").read_text().splitlines()]
    gone = next(one["at"] for one in power if one["host"] == "old" and one["event"].startswith(("down", "ended")))
    ends = [one["t"] for one in lab.journal("new") if one["event"] == "update-end"]
    end = datetime.fromisoformat(ends[-1]).timestamp()
    return {"staging": gone - began, "downtime": end - gone, "total": end - began}


def by_tool(lab: NamespaceLab, network: str) -> dict[str, float]:
    """Migrate with the tool, and return the seconds; `drain` is the wait between its two checks for updates."""
    words = ("--from", "tscm-old", "--to", "tscm-new", "--no-rehearsal", "--network", network, "--yes", "--json")
    began = time.time()
    done = lab.run_tool("migrate", *words, env={"TSCM_PASSPHRASE": PASSPHRASE}, timeout=300)
    if done.returncode:
        raise SystemExit(f"{done.stdout}\n{done.stderr}")
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    waited = next(e for e in events if e["event"] == "action_finished" and "wait until no" in e["describes"])
    return measured(lab, began) | {"drain": waited["seconds"]}


def by_script(lab: NamespaceLab, devices: list[str]) -> dict[str, float]:
    """Migrate with the script, and return the seconds."""
    station = lab.workstation
    values = {
        "KEY": str(station.key),
        "KNOWN": str(lab.inventory.with_name("known_hosts")),
        "DEVICES": " ".join(devices),
    }
    text = SCRIPT.replace("PASSPHRASE", PASSPHRASE)
    for name, value in values.items():
        text = text.replace(name, value)
    began = time.time()
    with tempfile.TemporaryDirectory(prefix="script") as folder:
        process = station.spawn(*station.inside("sh", "-c", f"cd {folder}; {text}"))
        output, _ = process.communicate(timeout=300)
    missing = set(devices) - {one.get("device") for one in lab.journal("new") if one["event"] == "update-end"}
    if missing:
        raise SystemExit(f"the script did not update {missing}:\n{output}")
    return measured(lab, began)


def one_round(devices: tuple[Device, ...], network: str) -> dict[str, dict[str, float]]:
    """Migrate with the tool and with the script, each on a new lab."""
    took: dict[str, dict[str, float]] = {}
    for name in ("tool", "script"):
        with tempfile.TemporaryDirectory(prefix="downtime") as folder:
            old = old_profile(devices=devices, archives=0, encryption_configured=None)
            with NamespaceLab(Path(folder), old, new_profile()) as lab:
                if (into := time.time() % 60) > LATE:
                    time.sleep(60 - into)
                names = [device.name for device in devices]
                took[name] = by_tool(lab, network) if name == "tool" else by_script(lab, names)
    return took


def added(rounds: list[dict[str, dict[str, float]]]) -> float:
    """Return the median of the seconds by which the tool's staging is longer, without the wait between its checks."""
    return statistics.median(one["tool"]["staging"] - one["tool"]["drain"] - one["script"]["staging"] for one in rounds)


def main() -> None:
    """Measure both alternately, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--network", choices=("restore", "prepared"), default="restore", help="--network of the tool")
    parser.add_argument("--json", default="")
    options = parser.parse_args()
    devices = tuple(Device(f"asa-{n}", update_seconds=options.seconds) for n in range(options.devices))
    rounds = [one_round(devices, options.network) for _ in range(options.rounds)]
    for figure in ("total", "downtime"):
        tool, script = (statistics.median(one[name][figure] for one in rounds) for name in ("tool", "script"))
        ratio = statistics.median(one["tool"][figure] / one["script"][figure] for one in rounds)
        print(f"{figure}: tool {tool:.1f} s, script {script:.1f} s, ratio {ratio:.2f}")
    staging = statistics.median(one["tool"]["staging"] for one in rounds)
    drain = statistics.median(one["tool"]["drain"] for one in rounds)
    script = statistics.median(one["script"]["staging"] for one in rounds)
    print(
        f"staging: tool {staging:.1f} s, of it {drain:.1f} s for the two checks for updates, script {script:.1f} s; "
        f"{added(rounds):+.1f} s without that wait"
    )
    if options.json:
        Path(options.json).write_text(json.dumps(rounds, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
