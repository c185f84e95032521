"""The tool's transfers against scp, scp -3, rsync and paramiko, on the same hosts, with the same file, in turn.

    python -m benchmarks.transfers [--size MIB] [--rounds N] [--rtt 0,50] [--link 1gbit-2ms,…] [--only NAME,…]

`--rtt` 0 is loopback. Any other round trip, and the links of `benchmarks.links`, are between two network namespaces.
Figures are medians. Only ratios within one run count: absolute speeds depend on the machine. For memory over all sizes,
and for the sizes around paramiko's rekeying, see benchmarks.sizes.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
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

from benchmarks import links
from benchmarks.hosts import NAME, Station, station
from benchmarks.links import Link

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GCM = "aes128-gcm@openssh.com"
CHECKED = "scp down, checked", "scp up, checked", "scp -3, checked"
PLAIN = " without fast_transport"


@dataclass(frozen=True)
class Goal:
    """The ratio of our speed to that of another contender; `least`: the ratio to reach, or None without a goal."""

    what: str
    ours: str
    against: str
    name: str  # of the other contender, on the page
    least: float | None
    figure: str = "copied"  # or "verified"


TWICE = " and sha256sum on both ends"
GOALS = (
    Goal("pull", "pull", "scp down", "`scp`", 1.4),
    Goal("pull", "pull", "scp down gcm", "`scp -c aes128-gcm`", 1.0),
    Goal("push", "push", "scp up", "`scp`", 0.9),
    Goal("relay", "relay", "scp -3", "`scp -3`", 1.8),
    Goal("direct", "direct", "rsync alone", "the same rsync alone", 0.95),
    Goal("pull, SFTP only", "pull-sftp", "paramiko get", "paramiko's `get()`", 1.5),
    Goal("pull, verified", "pull", CHECKED[0], "`scp`" + TWICE, 1.0, "verified"),
    Goal("push, verified", "push", CHECKED[1], "`scp`" + TWICE, 1.0, "verified"),
    Goal("relay, verified", "relay", CHECKED[2], "`scp -3`" + TWICE, 1.0, "verified"),
    Goal("pull, verified", "pull", "scp down", "`scp` alone", None, "verified"),
    Goal("pull, `fast_transport = false`", "pull" + PLAIN, "scp down", "`scp`", None),
    Goal("push, `fast_transport = false`", "push" + PLAIN, "scp up", "`scp`", None),
    Goal("relay, `fast_transport = false`", "relay" + PLAIN, "scp -3", "`scp -3`", None),
)
FAR = (Goal("pull", "pull", "scp down", "`scp`", 1.2),)
LOSSY = (
    Goal("pull", "pull", "scp down", "`scp`", 1.0),
    Goal("push", "push", "scp up", "`scp`", 1.0),
    Goal("relay", "relay", "scp -3", "`scp -3`", 1.0),
    Goal("pull", "pull", "plain stream", "a plain TCP stream", 0.95),
    Goal("push", "push", "plain stream", "a plain TCP stream", 0.95),
)
# not with loss: there each of a relay's two connections waits for the other's
LINKED = (*LOSSY, Goal("relay", "relay", "plain stream", "a plain TCP stream", 0.95))


def names_in(goals: Sequence[Goal]) -> list[str]:
    """Return the contenders that the goals need, each of the others before ours."""
    return list(dict.fromkeys([goal.against for goal in goals] + [goal.ours for goal in goals]))


@dataclass
class Bench:
    """What every contender needs, and what has been measured: name → field → one figure a round."""

    old: Station
    new: Station
    folder: Path
    sha256: str
    size: int
    into: Sequence[str] = ()  # the words before a command that run it where the servers are
    seen: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def note(self, name: str, **figures: float) -> None:
        for key, value in figures.items():
            self.seen.setdefault(name, {}).setdefault(key, []).append(value)

    def clean(self) -> None:
        for path in (self.folder / "here" / NAME, self.new.file, self.new.file.with_name("by-hand")):
            path.unlink(missing_ok=True)
        self.warm()

    def warm(self) -> None:
        """Use as much memory as the copy will take, and free it.

        The host of a virtual machine reclaims memory that has been free for seconds. To get it again takes longer than
        the encryption, and would be measured with each contender.
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
        method, plain, _ = how.partition(PLAIN)
        env = {**os.environ, "TSCM_FAST_TRANSPORT": "0" if plain else "1"}
        task = {"how": method, "old": asdict(self.old), "new": asdict(self.new), "folder": str(self.folder / "here")}
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.ours"], input=json.dumps({**task, "sha256": self.sha256}),
            capture_output=True, text=True, timeout=900, check=False, env=env,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{how}: {done.stderr[-2000:]}")
        self.note(how, **json.loads(done.stdout))
        self.right(self.folder / "here" / NAME if how.startswith("pull") else self.new.file)

    def paramiko_get(self) -> None:
        code = (
            "import sys,time,paramiko\n"
            "key,host,port,user,source,target=sys.argv[1:]\n"
            "c=paramiko.SSHClient(); c.load_host_keys(sys.stdin.readline().strip())\n"
            "t=time.monotonic()\n"
            "c.connect(host,int(port),user,key_filename=key,allow_agent=False,look_for_keys=False)\n"
            "c.open_sftp().get(source,target); print(time.monotonic()-t); c.close()\n"
        )
        target = self.folder / "here" / NAME
        argv = [sys.executable, "-c", code, self.old.key, self.old.address, str(self.old.port), self.old.user]
        argv.append(str(self.old.file))
        done = subprocess.run(
            [*argv, str(target)], input=self.old.known_hosts, capture_output=True, text=True, timeout=900, check=True
        )
        self.note("paramiko get", copied=float(done.stdout))
        self.right(target)


def contenders(b: Bench) -> dict[str, Callable[[], None]]:
    """Return all of them by name."""
    here, there = b.folder / "here" / NAME, b.new.file
    down, up = [f"{b.old.login}:{b.old.file}", str(here)], [str(b.old.file), f"{b.new.login}:{there}"]
    scp_old, scp_new = ["scp", "-q", *b.old.options("-P")], ["scp", "-q", *b.new.options("-P")]
    three = ["scp", "-3", "-q", "-F", str(_config(b)), f"scp://old/{b.old.file}", f"scp://new/{there}"]
    # the same words as in our direct rsync, with a key that is there already
    inner = f"ssh -F /dev/null -i {b.new.key} -p {b.new.port} -o UserKnownHostsFile={b.new.known_hosts} "
    inner += f"-o BatchMode=yes -o Compression=no -o Ciphers={GCM}"
    hand = f"rsync --append --info=progress2 -e {shlex.quote(inner)} {b.old.file} {b.new.login}:{there}"
    sum_old, sum_new = (
        shlex.join(["ssh", *one.options(), one.login, f"sha256sum {one.file}"]) for one in (b.old, b.new)
    )
    commands: dict[str, tuple[list[str], Path]] = {
        "scp down": ([*scp_old, *down], here),
        "scp down gcm": ([*scp_old, "-c", GCM, *down], here),
        "scp up": ([*scp_new, *up], there),
        "scp -3": (three, there),
        "rsync alone": (["ssh", *b.old.options(), b.old.login, hand], there),
        "sftp down": (["sftp", "-q", *b.old.options("-P"), *down], here),
        CHECKED[0]: (_checked([*scp_old, *down], sum_old, f"sha256sum {here}"), here),
        CHECKED[1]: (_checked([*scp_new, *up], f"sha256sum {b.old.file}", sum_new), there),
        CHECKED[2]: (_checked(three, sum_old, sum_new), there),
    }
    found: dict[str, Callable[[], None]] = {
        "paramiko get": b.paramiko_get,
        "plain stream": lambda: b.note("plain stream", copied=links.plain_stream([*b.into], b.size)),
    }
    for name, (argv, result) in commands.items():
        found[name] = lambda name=name, argv=argv, result=result: b.timed(name, argv, result)  # type: ignore[misc]
    ways = ("pull", "pull-sftp", "push", "relay", "relay-sftp", "direct", "tunnel")
    for how in (*ways, *(f"{way}{PLAIN}" for way in ways)):
        found[how] = lambda how=how: b.ours(how)  # type: ignore[misc]
    return found


def _checked(copy: list[str], one: str, other: str) -> list[str]:
    """Return a command that copies, then hashes on both ends at the same time, and compares."""
    hashes = f"{{ {one} & {other} & wait; }} | cut -c 1-64 | sort -u | wc -l"
    return ["sh", "-ec", f'{shlex.join(copy)}; test "$({hashes})" = 1']


def _config(b: Bench) -> Path:
    """Write the options of the two hosts for scp -3, which takes one set of options in its arguments."""
    path = b.folder / "ssh_config"
    text = ""
    for name, one in (("old", b.old), ("new", b.new)):
        text += f"Host {name}\n HostName {one.address}\n Port {one.port}\n User {one.user}\n IdentityFile {one.key}\n"
        text += f" UserKnownHostsFile {one.known_hosts}\n BatchMode yes\n IdentitiesOnly yes\n"
    path.write_text(text)
    return path


def run(folder: Path, size: int, rounds: int, link: Link | None, names: list[str]) -> Bench:
    """Measure these contenders; `size` in bytes, `link`: None for loopback."""
    with contextlib.ExitStack() as stack:
        into = stack.enter_context(links.shaped(link)) if link else []
        address = links.THERE if link else "127.0.0.1"
        old, new = (stack.enter_context(station(folder / name, name, address, into)) for name in ("old", "new"))
        (folder / "here").mkdir(exist_ok=True)
        bench = Bench(old, new, folder, random_file(old.file, size), size, into)
        known = contenders(bench)
        for number in range(rounds):
            for name in names:
                bench.clean()
                known[name]()
                speed = size / 1e6 / bench.seen[name]["copied"][-1]
                print(
                    f"{link or 'loopback'}, round {number + 1}: {name}: {speed:.0f} MB/s", file=sys.stderr, flush=True
                )
        bench.clean()
        old.file.unlink()
    return bench


def random_file(path: Path, size: int) -> str:
    """Write random bytes; return their SHA-256."""
    sha = hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, size, 1 << 22):
            data = os.urandom(min(1 << 22, size - start))
            file.write(data)
            sha.update(data)
    return sha.hexdigest()


def summary(bench: Bench, where: str, goals: Sequence[Goal]) -> dict[str, Any]:
    """Return medians of speeds in MB/s, peak memory in MB, and the ratios that were wanted."""
    rows: dict[str, Any] = {}
    for name, figures in bench.seen.items():
        seconds = statistics.median(figures["copied"])
        row = {"MB/s": bench.size / 1e6 / seconds, "slowest": seconds / max(figures["copied"])}
        if "verified" in figures:
            row["MB/s verified"] = bench.size / 1e6 / statistics.median(figures["verified"])
            row["peak MB"] = max(figures["peak"]) / 1e6
        rows[name] = {key: round(value, 3) for key, value in row.items()}
    ratios = []
    for goal in goals:
        if goal.ours in rows and goal.against in rows:
            mine = rows[goal.ours]["MB/s verified" if goal.figure == "verified" else "MB/s"]
            theirs = rows[goal.against]["MB/s"]
            one = {"what": goal.what, "against": goal.name, "least": goal.least, "ratio": round(mine / theirs, 2)}
            ratios.append({**one, "speed": mine, "theirs": theirs})
    return {"where": where, "size": bench.size, "rows": rows, "ratios": ratios}


def show(found: dict[str, Any]) -> None:
    print(f"\n{found['size'] / 1e6:.0f} MB, {found['where']}")
    print(f"{'':28} {'MB/s':>8} {'slowest':>7} {'verified':>9} {'peak MB':>8}   (slowest: as a part of the median)")
    for name, row in found["rows"].items():
        more = f"{row['MB/s verified']:9.0f} {row['peak MB']:8.0f}" if "peak MB" in row else ""
        print(f"{name:28} {row['MB/s']:8.1f} {row['slowest']:7.2f} {more}")
    for row in found["ratios"]:
        met = (
            ""
            if row["least"] is None
            else f", at least {row['least']}: {'yes' if row['ratio'] >= row['least'] else 'NO'}"
        )
        print(f"{row['what']} against {row['against']}: {row['ratio']}{met}")


def measured(given: argparse.Namespace, link: Link | None) -> dict[str, Any]:
    """Measure over one link, in this process."""
    goals = GOALS if link is None else FAR if not link.rate else LOSSY if link.loss else LINKED
    only = [name.strip() for name in given.only.split(",") if name.strip()]
    mebibytes = given.size or (link.size if link else 1024)
    folder = Path(tempfile.mkdtemp(prefix="tscm-bench-", dir=given.folder))
    try:
        bench = run(folder, round(mebibytes * (1 << 20)), given.rounds, link, only or names_in(goals))
        return summary(bench, str(link or "loopback"), goals)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def in_namespace(given: argparse.Namespace, link: Link) -> dict[str, Any]:
    """Measure over one link, in a process with a network namespace of its own."""
    with tempfile.TemporaryDirectory(prefix="tscm-bench-") as folder:
        argv = [
            sys.executable,
            "-m",
            "benchmarks.transfers",
            "--inside",
            json.dumps(asdict(link)),
            "--only",
            given.only,
        ]
        argv += ["--size", str(given.size), "--rounds", str(given.rounds), "--json", f"{folder}/figures.json"]
        argv += ["--folder", str(given.folder)] if given.folder else []
        subprocess.run(links.in_namespace(argv), check=True, stdout=subprocess.DEVNULL)
        found: dict[str, Any] = json.loads(Path(folder, "figures.json").read_text())
        return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=float, default=0, help="MiB; 0: 1024 at loopback, and what fits on a link")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rtt", default="", help="round trips in milliseconds, with commas; 0: loopback")
    parser.add_argument("--link", default="", help=f"links, with commas, or all: {', '.join(links.LINKS)}")
    parser.add_argument("--only", default="", help="names of contenders, with commas")
    parser.add_argument("--folder", type=Path, default=None, help="folder of the files; default: the temporary folder")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--inside", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        given.json.write_text(json.dumps(measured(given, Link(**json.loads(given.inside)))))
        return
    names = [*links.LINKS] if given.link == "all" else [name for name in given.link.split(",") if name]
    wanted = [Link(float(rtt)) if float(rtt) else None for rtt in given.rtt.split(",") if rtt]
    found = []
    for link in [*wanted, *(links.LINKS[name] for name in names)] or [None]:
        found.append(in_namespace(given, link) if link else measured(given, None))
        show(found[-1])
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
