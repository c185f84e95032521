"""Many SSH servers on 127.0.0.0/8 with an archive each; some refuse connections, some accept them and stay silent.

    python -m benchmarks.farm --hosts 200 --size 5M --jobs 16 [--processes N] [--dead 10 --hanging 10] [--json FILE]
    python -m benchmarks.farm --table 200,500,1000 [--json FILE]

Pulls from all of them with the code of `offsite pull`, and with as many parallel scp, and prints both times and the peak
memory. With `--table`, each number of hosts is measured in a process of its own, and gives a line: the time for each host
must not grow with the number of hosts, nor must the memory. Needs OpenSSH's server and client, and disk space for twice
the archives (1,000 hosts: 10 GB; see --folder). Listens on loopback only.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.figures import Row, at_most, only_shown
from tests.support import servers
from tests.support.incoming import encrypted
from tscm_migrate.fleet.pull import PullWorkers, pulls
from tscm_migrate.model import Host, Paths
from tscm_migrate.offsite import catalog
from tscm_migrate.offsite.context import PullJob, Tools
from tscm_migrate.offsite.pull import PullOptions
from tscm_migrate.offsite.stores.local import LocalStore
from tscm_migrate.offsite.upload import CopyPolicy
from tscm_migrate.ssh.connect import NoSecrets

_LIMIT = 3600.0  # seconds for one line of the table
_EACH = 16  # addresses that one sshd takes
NAME = "threatstop_backup_2026-02-03_00_00_00.tsbak.gpg"


def addresses(count: int) -> list[str]:
    return [f"127.77.{number // 200}.{number % 200 + 1}" for number in range(count)]


def clean_home() -> list[str]:
    """Return the words before a command that hide the dot files of this user's home folder; [] unless root."""
    if os.geteuid() != 0:
        return []
    return ["unshare", "-m", "sh", "-c", 'mount -t tmpfs tmpfs "$HOME" && exec "$@"', "sh"]


def start(stack: ExitStack, folder: Path, alive: list[str], port: int) -> dict[str, Any]:
    """Start the SSH servers; return the settings that their hosts share: key, known_hosts file, port."""
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    shutil.copy(folder / "user_key.pub", folder / "authorized")
    Path("/run/sshd").mkdir(exist_ok=True)
    for number in range(0, len(alive), _EACH):
        mine = alive[number : number + _EACH]
        config = folder / f"sshd_config{number}"
        config.write_text(
            "".join(f"ListenAddress {address}:{port}\n" for address in mine)
            + f"HostKey {folder / 'host_key'}\nPidFile none\nAuthorizedKeysFile {folder / 'authorized'}\n"
            "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nMaxStartups 400\n"
            "Subsystem sftp internal-sftp\nUseDNS no\nPrintMotd no\nPrintLastLog no\n"
        )
        log = stack.enter_context((folder / f"log{number}").open("wb"))
        argv = [*clean_home(), "/usr/sbin/sshd", "-D", "-e", "-f", str(config)]
        process = subprocess.Popen(argv, stdout=log, stderr=log)
        stack.callback(process.wait, 10)
        stack.callback(process.terminate)
    for address in alive:
        end = time.monotonic() + 20
        while not servers.accepts(port, address):
            if time.monotonic() > end:
                raise SystemExit("an SSH server did not start")
            time.sleep(0.02)
    key = " ".join((folder / "host_key.pub").read_text().split()[:2])
    known = folder / "known_hosts"
    known.write_text("".join(f"[{address}]:{port} {key}\n" for address in addresses(1000)))
    return {"identity_file": folder / "user_key", "known_hosts": known, "port": port}


def hang(stack: ExitStack, address: str, port: int) -> None:
    """Accept connections at this address, and never send anything."""
    listener = stack.enter_context(socket.socket())
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(64)


def scp(folder: Path, hosts: list[Host], jobs: int) -> float:
    """Copy the same files with `jobs` processes of `scp` at the same time; return the seconds."""
    target = folder / "scp"
    target.mkdir()

    def one(host: Host) -> None:
        argv = ["scp", "-q", "-P", str(host.port), "-i", str(host.identity_file), "-o", "BatchMode=yes"]
        argv += ["-o", f"UserKnownHostsFile={host.known_hosts}", "-o", "StrictHostKeyChecking=yes"]
        argv += [f"{host.user}@{host.address}:{host.paths.backup_dir}/{NAME}", str(target / host.name)]
        subprocess.run(argv, check=True, timeout=120)

    began = time.monotonic()
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, hosts))
    return time.monotonic() - began


def ours(folder: Path, hosts: list[Host], crew: PullWorkers, verify: Any) -> dict[str, Any]:
    """Pull with the code of `offsite pull`; return the seconds and the outcomes."""
    root = Path(tempfile.mkdtemp(prefix="store", dir=folder))
    options = PullOptions(copying=CopyPolicy(verify=verify), window=max((32 << 20) // crew.jobs, 2 << 20))
    jobs = [PullJob(host, str(root), options) for host in hosts]
    began, used = time.monotonic(), os.times()
    tools = Tools(NoSecrets(), store=None if crew.processes else LocalStore(root))
    outcomes = list(pulls(jobs, crew, tools))
    took = time.monotonic() - began
    after = os.times()
    cpu = after.user + after.system - used.user - used.system
    good = [o for o in outcomes if o.value]
    bad = {type(o.error).__name__: 0 for o in outcomes if o.error}
    for o in outcomes:
        if o.error:
            bad[type(o.error).__name__] += 1
    copies = catalog.load(LocalStore(root)).copies
    assert len(copies) == len(good)
    shutil.rmtree(root)
    return {"seconds": round(took, 2), "pulled": len(good), "failed": bad, "cpu": round(cpu, 2)}


def table(options: argparse.Namespace) -> list[Row]:
    """Pull from each number of hosts; print a table, and return rows for the page."""
    print(f"{'hosts':>6} {'seconds':>9} {'ms a host':>10} {'MB/s':>7} {'peak MB':>8}  grows as")
    rows: list[Row] = []
    first = 0.0
    for count in map(int, options.table.split(",")):
        words = ["--hosts", str(count), "--size", options.size, "--jobs", str(options.jobs), "--no-scp"]
        words += ["--folder", options.folder] if options.folder else []
        argv = [sys.executable, "-m", "benchmarks.farm", *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_LIMIT, check=True)
        found = json.loads(done.stdout)
        seconds, peak = found["ours"]["seconds"], found["peak_mb"]
        assert found["ours"]["pulled"] == count, found
        each = seconds / count
        first = first or each
        speed = count * (int(options.size.rstrip("M")) << 20) / seconds / 1e6
        print(f"{count:>6} {seconds:>9.2f} {1e3 * each:>10.1f} {speed:>7.0f} {peak:>8}  {each / first:.2f}", flush=True)
        what, detail = f"`offsite pull` of {count:,} × {options.size}B", f" ({seconds:.1f} s)"
        if rows:
            rows.append(at_most(f"{what}: time for each host", rows[0]["what"], each / first, 1.2, "×", detail=detail))
        else:
            rows.append(only_shown(what, "", seconds, "s"))
        rows.append(at_most(f"{what}: memory", "", peak, 300, "MB"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--table", default="", help="pull from each of these numbers of hosts, such as 200,500,1000")
    parser.add_argument("--json", default="", help="write the figures (of the last round) to this file")
    parser.add_argument("--no-scp", action="store_true", help="do not measure scp")
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--size", default="5M")
    parser.add_argument("--jobs", type=int, default=16)
    parser.add_argument("--processes", type=int, default=0)
    parser.add_argument("--dead", type=int, default=0)
    parser.add_argument("--hanging", type=int, default=0)
    parser.add_argument("--verify", default="read")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", default=None)
    options = parser.parse_args()
    if options.table:
        rows = table(options)
        if options.json:
            Path(options.json).write_text(json.dumps(rows, indent=1), encoding="utf-8")
        return
    size = int(options.size.rstrip("M")) << 20
    everyone = addresses(options.hosts)
    bad = everyone[: options.dead + options.hanging]
    alive = everyone[len(bad) :]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="farm", dir=options.folder)))
        port = servers.free_port()
        common = start(stack, folder, alive, port)
        for address in bad[options.dead :]:
            hang(stack, address, port)
        hosts, block = [], encrypted(size)
        for number, address in enumerate(everyone):
            backups = folder / "hosts" / str(number)
            backups.mkdir(parents=True)
            (backups / NAME).write_bytes(encrypted(1024, seed=number) + block)
            paths = Paths(backup_dir=str(backups), tsadmin="true")
            user = os.environ.get("USER") or "root"
            hosts.append(Host(f"h{number}", address, user=user, use_agent=False, paths=paths, **common))
        crew = PullWorkers(options.jobs, options.processes)
        for _ in range(options.rounds):
            found: dict[str, Any] = {"ours": ours(folder, hosts, crew, options.verify)}
            if not options.no_scp:
                found["scp_seconds"] = round(scp(folder, [h for h in hosts if h.address in alive], options.jobs), 2)
                found["ratio"] = round(found["ours"]["seconds"] / found["scp_seconds"], 2)
                shutil.rmtree(folder / "scp")
            found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            found["peak_worker_mb"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
            print(json.dumps(found), flush=True)
        if options.json:
            Path(options.json).write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
