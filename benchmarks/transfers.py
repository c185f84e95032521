"""scp, scp -3, sftp, rsync, paramiko and ours, one after the other in each round, on the same hosts and the same file.

    python -m benchmarks.transfers [--size MIB] [--rounds N] [--rtt 0,50] [--only NAME,…]

Figures are medians; the ratios are what counts, and only within one run: absolute speeds depend on the machine.
For memory over all sizes, and for the sizes around paramiko's rekeying, see benchmarks.sizes.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.hosts import NAME, Station, station

if TYPE_CHECKING:
    from collections.abc import Callable

GCM = "aes128-gcm@openssh.com"
# what | ours | against | at least | measured by
GOALS: tuple[tuple[str, str, str, float], ...] = (
    ("pull against scp, default cipher", "pull", "scp down", 1.4),
    ("pull against scp, aes128-gcm", "pull", "scp down gcm", 1.0),
    ("push against scp, default cipher", "push", "scp up", 0.9),
    ("relay against scp -3", "relay", "scp -3", 1.8),
    ("direct rsync against the same by hand", "direct", "rsync by hand", 0.95),
    ("SFTP-only pull against paramiko's get()", "pull-sftp", "paramiko get", 1.5),
)
FAR = (("pull against scp", "pull", "scp down", 1.2),)


@dataclass
class Bench:
    """What every contender needs, and what has been measured: name → field → one figure a round."""

    old: Station
    new: Station
    folder: Path
    sha256: str
    size: int
    seen: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def note(self, name: str, **figures: float) -> None:
        for key, value in figures.items():
            self.seen.setdefault(name, {}).setdefault(key, []).append(value)

    def clean(self) -> None:
        for path in (self.folder / "here" / NAME, self.new.file, self.new.file.with_name("by-hand")):
            path.unlink(missing_ok=True)
        self.warm()

    def warm(self) -> None:
        """Use as much memory as the copy will take, and let go of it.

        The host of a virtual machine takes back what has been free for seconds; to fetch it again takes longer than the
        encryption, and would be counted as everybody's.
        """
        path = self.folder / "here" / "warm"
        block = bytes(1 << 22)
        with path.open("wb") as file:
            for _ in range(0, self.size + len(block), len(block)):
                file.write(block)
        path.unlink()

    def right(self, path: Path) -> None:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != self.sha256:
                raise RuntimeError(f"{path} is not what was sent")

    def timed(self, name: str, argv: list[str], result: Path) -> None:
        began = time.monotonic()
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr[-1000:]}")
        self.note(name, copied=time.monotonic() - began)
        self.right(result)

    def ours(self, how: str) -> None:
        task = {"how": how, "old": asdict(self.old), "new": asdict(self.new), "folder": str(self.folder / "here")}
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.ours"], input=json.dumps({**task, "sha256": self.sha256}),
            capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{how}: {done.stderr[-2000:]}")
        self.note(how, **json.loads(done.stdout))
        self.right(self.folder / "here" / NAME if how.startswith("pull") else self.new.file)

    def paramiko_get(self) -> None:
        code = (
            "import sys,time,paramiko\n"
            "key,port,user,source,target=sys.argv[1:]\n"
            "c=paramiko.SSHClient(); c.load_host_keys(sys.stdin.readline().strip())\n"
            "t=time.monotonic()\n"
            "c.connect('127.0.0.1',int(port),user,key_filename=key,allow_agent=False,look_for_keys=False)\n"
            "c.open_sftp().get(source,target); print(time.monotonic()-t); c.close()\n"
        )
        target = self.folder / "here" / NAME
        argv = [sys.executable, "-c", code, self.old.key, str(self.old.port), self.old.user, str(self.old.file)]
        done = subprocess.run(
            [*argv, str(target)], input=self.old.known_hosts, capture_output=True, text=True, timeout=900, check=True
        )
        self.note("paramiko get", copied=float(done.stdout))
        self.right(target)


def contenders(b: Bench) -> dict[str, Callable[[], None]]:
    """All of them, by name."""
    here, there = b.folder / "here" / NAME, b.new.file
    down = [f"{b.old.user}@127.0.0.1:{b.old.file}", str(here)]
    up = [str(b.old.file), f"{b.new.user}@127.0.0.1:{there}"]
    scp_old, scp_new = ["scp", "-q", *b.old.options("-P")], ["scp", "-q", *b.new.options("-P")]
    three = ["scp", "-3", "-q", "-F", str(_config(b)), f"scp://old/{b.old.file}", f"scp://new/{there}"]
    # the same words as in our direct rsync, with a key that is there already
    inner = f"ssh -F /dev/null -i {b.new.key} -p {b.new.near} -o UserKnownHostsFile={b.new.known_hosts} "
    inner += f"-o BatchMode=yes -o Compression=no -o Ciphers={GCM}"
    hand = f"rsync --append --info=progress2 -e {shlex.quote(inner)} {b.old.file} {b.new.user}@127.0.0.1:{there}"
    found: dict[str, Callable[[], None]] = {
        "scp down": lambda: b.timed("scp down", [*scp_old, *down], here),
        "scp down gcm": lambda: b.timed("scp down gcm", [*scp_old, "-c", GCM, *down], here),
        "sftp down": lambda: b.timed("sftp down", ["sftp", "-q", *b.old.options("-P"), *down], here),
        "scp up": lambda: b.timed("scp up", [*scp_new, *up], there),
        "scp -3": lambda: b.timed("scp -3", three, there),
        "rsync by hand": lambda: b.timed(
            "rsync by hand", ["ssh", *b.old.options(), f"{b.old.user}@127.0.0.1", hand], there
        ),
        "paramiko get": b.paramiko_get,
    }
    for how in ("pull", "pull-sftp", "push", "relay", "relay-sftp", "direct", "tunnel"):
        found[how] = lambda how=how: b.ours(how)  # type: ignore[misc]
    return found


def _config(b: Bench) -> Path:
    """scp -3 has one set of options for two hosts: they are told apart by a configuration file."""
    path = b.folder / "ssh_config"
    text = ""
    for name, one in (("old", b.old), ("new", b.new)):
        text += f"Host {name}\n HostName 127.0.0.1\n Port {one.port}\n User {one.user}\n IdentityFile {one.key}\n"
        text += f" UserKnownHostsFile {one.known_hosts}\n BatchMode yes\n IdentitiesOnly yes\n"
    path.write_text(text)
    return path


def run(folder: Path, size: int, rounds: int, rtt: float, only: list[str]) -> Bench:
    """Measure; `size` in bytes, `rtt` in seconds."""
    with contextlib.ExitStack() as stack:
        old = stack.enter_context(station(folder / "old", "old", rtt / 2))
        new = stack.enter_context(station(folder / "new", "new", rtt / 2))
        (folder / "here").mkdir(exist_ok=True)
        bench = Bench(old, new, folder, random_file(old.file, size), size)
        todo = {name: do for name, do in contenders(bench).items() if not only or name in only}
        for number in range(rounds):
            for name, do in todo.items():
                bench.clean()
                do()
                speed = size / 1e6 / bench.seen[name]["copied"][-1]
                print(
                    f"rtt {rtt * 1e3:.0f} ms, round {number + 1}: {name}: {speed:.0f} MB/s", file=sys.stderr, flush=True
                )
        bench.clean()
        old.file.unlink()
    return bench


def random_file(path: Path, size: int) -> str:
    """Write random bytes; their SHA-256."""
    sha = hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, size, 1 << 22):
            data = os.urandom(min(1 << 22, size - start))
            file.write(data)
            sha.update(data)
    return sha.hexdigest()


def summary(bench: Bench, rtt: float) -> dict[str, Any]:
    """Medians, speeds in MB/s, peak memory in MB."""
    rows: dict[str, Any] = {}
    for name, figures in bench.seen.items():
        copied = figures["copied"]
        row = {"seconds": statistics.median(copied), "worst_seconds": max(copied), "runs": len(copied)}
        row["worst against the median"] = row["seconds"] / row["worst_seconds"]
        row["MB/s"] = bench.size / 1e6 / row["seconds"]
        if "verified" in figures:
            row["MB/s verified"] = bench.size / 1e6 / statistics.median(figures["verified"])
            row["peak MB"] = max(figures["peak"]) / 1e6
        rows[name] = {key: round(value, 3) for key, value in row.items()}
    ratios = []
    for what, mine, theirs, least in GOALS if not rtt else FAR:
        if mine in rows and theirs in rows:
            copied = rows[mine]["MB/s"] / rows[theirs]["MB/s"]
            verified = rows[mine]["MB/s verified"] / rows[theirs]["MB/s"]
            told = {"what": what, "at least": least, "copied": round(copied, 2), "verified": round(verified, 2)}
            ratios.append({**told, "holds": copied >= least})
    return {"rtt_ms": rtt * 1e3, "size": bench.size, "rows": rows, "ratios": ratios}


def show(told: dict[str, Any]) -> None:
    """As a table."""
    print(f"\n{told['size'] / 1e6:.0f} MB, round trip {told['rtt_ms']:.0f} ms")
    print(f"{'':16} {'MB/s':>8} {'worst':>6} {'verified':>9} {'peak MB':>8}   (worst: a part of the median)")
    for name, row in told["rows"].items():
        more = f"{row['MB/s verified']:9.0f} {row['peak MB']:8.0f}" if "peak MB" in row else ""
        print(f"{name:16} {row['MB/s']:8.0f} {row['worst against the median']:6.2f} {more}")
    for row in told["ratios"]:
        word = "holds" if row["holds"] else "DOES NOT HOLD"
        print(f"{row['what']}: {row['copied']} (verified {row['verified']}), at least {row['at least']}: {word}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure the transfers against OpenSSH's own.")
    parser.add_argument("--size", type=float, default=1024, help="MiB")
    parser.add_argument("--bytes", type=int, default=0, help="the size in bytes instead")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rtt", default="0,50", help="milliseconds, with commas")
    parser.add_argument("--only", default="", help="names of contenders, with commas")
    parser.add_argument("--folder", type=Path, default=None, help="where the files lie; else among temporary ones")
    parser.add_argument("--json", type=Path, default=None)
    given = parser.parse_args()
    base = given.folder  # a file system in memory costs more processor time than a disk's cache, for all of them
    size = given.bytes or round(given.size * (1 << 20))
    told: dict[str, Any] = {
        "machine": f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    }
    told["runs"] = []
    for rtt in given.rtt.split(","):
        folder = Path(tempfile.mkdtemp(prefix="tscm-bench-", dir=base))
        try:
            only = [name.strip() for name in given.only.split(",") if name.strip()]
            one = summary(run(folder, size, given.rounds, float(rtt) / 1e3, only), float(rtt) / 1e3)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        told["runs"].append(one)
        show(one)
    if given.json:
        given.json.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
