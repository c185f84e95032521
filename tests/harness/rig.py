"""Runs with faults in the namespace lab, and what the world looks like afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.harness.namespaces.workstation import end

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.harness.namespaces import NamespaceLab

PASSPHRASE = "correct horse battery"
_LIMIT = 240.0  # seconds for one run of the tool
_PAUSED = 120.0  # seconds within which a run reaches the event that it is to wait at, or has ended


@dataclass(frozen=True)
class Ended:
    """One run of the tool; `status` is negative where a signal ended it."""

    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All that it printed."""
        return f"{self.out}\n{self.err}"


@dataclass(frozen=True)
class State:
    """What matters of both appliances: archives by hash, since their names tell the time; files by path and hash."""

    old_on: bool
    new_on: bool
    addresses: dict[str, str | None]
    old: dict[str, Any] = field(default_factory=dict)
    new: dict[str, Any] = field(default_factory=dict)

    def told(self, before: State) -> dict[str, Any]:
        """The state in words that can be compared between runs whose devices, keys and archives are not the same.

        Args:
            before: the state before the run that led here.
        """
        words: dict[str, Any] = {"old_on": self.old_on, "new_on": self.new_on, "addresses": self.addresses}
        for side in ("old", "new"):
            mine = getattr(self, side)
            for key, value in mine.items():
                words[f"{side} {key}"] = value
                for was in ("old", "new"):
                    if key in {"files", "keys", "login keys", "cron", "network"} and value == getattr(before, was)[key]:
                        words[f"{side} {key}"] = f"as {was} before"
                        break
        words["old archives"] = "all there" if set(before.old["archives"]) <= set(self.old["archives"]) else "LOST SOME"
        more = [digest for digest in self.new["archives"] if digest not in before.new["archives"]]
        words["new archives"] = "as on old" if set(more) <= set(self.old["archives"]) else "OTHERS"
        words["new archives more"] = len(more)
        return words


def differs(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What two told states do not share."""
    keys = sorted(one.keys() | other.keys())
    return [f"{key}: {one.get(key)} and {other.get(key)}" for key in keys if one.get(key) != other.get(key)]


class Rig:
    """One lab, used again and again.

    Args:
        lab: with any two profiles; the tool needs no secret but `PASSPHRASE`.
        options: added to every `migrate`.
        policy: the inventory's, in TOML.
    """

    def __init__(self, lab: NamespaceLab, options: Sequence[str] = (), policy: str = "") -> None:
        self.lab = lab
        self.options = tuple(options)
        self.policy = policy

    def fresh(self) -> None:
        """Both as new, no state on the workstation; what was seen on the wire so far does not count any more."""
        self.lab.reset()
        self.lab.on("workstation", "true")
        state = self.lab.folder / "workstation"
        subprocess.run(["rm", "-rf", str(state)], check=True)
        state.mkdir()
        self._collided = len(self.lab.collisions())
        self._hook()

    def _hook(self) -> None:
        """An `online` hook, behind which this process switches the old one on: the hypervisor of this rig."""
        folder = self.lab.folder / "power"
        folder.mkdir(exist_ok=True)
        for name in ("want", "done"):
            (folder / name).unlink(missing_ok=True)
        script = folder / "online.sh"
        script.write_text(
            f"cd {folder} && touch want && for i in $(seq 600); do "
            "if [ -e done ]; then rm done; exit 0; fi; sleep 0.1; done; exit 1\n"
        )
        with self.lab.inventory.open("a") as inventory:
            inventory.write(f'\n[hooks]\nonline = "sh {script}"\n\n[policy]\n{self.policy}\n')

    def _switch(self, process: subprocess.Popen[str]) -> None:
        folder = self.lab.folder / "power"
        while process.poll() is None:
            if (folder / "want").exists():
                (folder / "want").unlink()
                self.lab.power_on("old")
                (folder / "done").touch()
            time.sleep(0.05)

    def collisions(self) -> int:
        """How often two hosts wanted one address since `fresh`."""
        return len(self.lab.collisions()) - self._collided

    # ---- the tool

    def start(self, *args: str, plan: Sequence[dict[str, Any]] = ()) -> subprocess.Popen[str]:
        """Start it with faults."""
        station = self.lab.workstation
        words = [sys.executable, "-m", "tests.harness.faulty_tool", json.dumps(list(plan)), *args]
        process = subprocess.Popen(
            station.inside(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            **station.options({"TSCM_PASSPHRASE": PASSPHRASE, "TSCM_TRACEBACK": "1"}),
        )  # fmt: skip
        threading.Thread(target=self._switch, args=(process,), daemon=True, name="power").start()
        return process

    @staticmethod
    def finish(process: subprocess.Popen[str], timeout: float = _LIMIT) -> Ended:
        """Wait for its end; one that takes too long is killed, with status -1000."""
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            end(process)
            out, err = process.communicate(timeout=100)
            return Ended(-1000, out, err)
        return Ended(process.returncode, out, err)

    def run(self, *args: str, plan: Sequence[dict[str, Any]] = ()) -> Ended:
        """Run it to its end."""
        return self.finish(self.start(*args, plan=plan))

    def migrate(self, plan: Sequence[dict[str, Any]] = ()) -> Ended:
        """`migrate` from the old one to the new one."""
        return self.run(*self.words(), plan=plan)

    def migrate_but(
        self, n: int, when: str, strike: Callable[[NamespaceLab], object], plan: Sequence[dict[str, Any]] = ()
    ) -> Ended:
        """`migrate`, which waits before or after event `n` until `strike` has done something to the lab."""
        folder = self.lab.folder / "pause"
        folder.mkdir(exist_ok=True)
        for word in ("paused", "go"):
            (folder / word).unlink(missing_ok=True)
        pause = {"kind": "pause", "n": n, "when": when, "folder": str(folder)}
        process = self.start(*self.words(), plan=[*plan, pause])
        deadline = time.monotonic() + _PAUSED
        while process.poll() is None and not (folder / "paused").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        if (folder / "paused").exists():
            strike(self.lab)
        (folder / "go").touch()
        return self.finish(process)

    def words(self) -> tuple[str, ...]:
        """The command line of a migration."""
        return ("migrate", "--from", "tscm-old", "--to", "tscm-new", "--yes", *self.options)

    def events(self) -> list[dict[str, Any]]:
        """The newest run's journal; what is torn at its end is left out."""
        files = sorted(self.runs_folder().glob("*/journal.jsonl"))
        lines = files[-1].read_text().splitlines(keepends=True) if files else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def runs_folder(self) -> Path:
        """Where the tool keeps its runs."""
        return self.lab.folder / "workstation" / "state" / "tscm-migrate" / "runs"

    # ---- the world afterwards

    def state(self) -> State:
        """What is true now."""
        on = {name: self.lab.is_on(name) for name in ("old", "new")}
        return State(on["old"], on["new"], self.lab.addresses(), self._about("old"), self._about("new"))

    def _about(self, name: str) -> dict[str, Any]:
        root = self.lab.root_of(name)
        folders = {
            "files": "opt/threatstop/etc", "keys": "etc/ssh", "cron": "etc/cron.d", "network": "etc/network",
            "ours": "var/lib/tscm-migrate",
        }  # fmt: skip
        about: dict[str, Any] = {key: _hashes(root / path) for key, path in folders.items()}
        about["keys"] = {k: v for k, v in about["keys"].items() if "ssh_host" in k}
        about["ours"] = sorted(path for path in about["ours"] if path != "lock")
        about["login keys"] = _hashes(root / "home/threatstop/.ssh")
        backups = _hashes(root / "opt/threatstop/backup") | _hashes(root / "home/threatstop", "threatstop_*")
        about["archives"] = sorted(digest for path, digest in backups.items() if not path.endswith(".part"))
        about["parts"] = sorted(path for path in backups if path.endswith(".part"))
        return about

    def leaks(self) -> list[str]:
        """Where a secret or something of ours is left that should not be; in memory too, where a host is on."""
        found = []
        for name in ("old", "new"):
            if self.lab.is_on(name):
                script = "ls -A /dev/shm /tmp /run/shm 2>/dev/null | grep -i tscm-migrate; ls /root/.gnupg 2>/dev/null"
                found += [f"{name}: {line}" for line in self.lab.on(name, script).stdout.split()]
        state = self.lab.folder / "workstation"
        for path in state.rglob("*"):
            if path.is_file() and PASSPHRASE.encode() in path.read_bytes():
                found.append(f"workstation: the passphrase is in {path}")
        return found


def _hashes(folder: Path, pattern: str = "*") -> dict[str, str]:
    import hashlib

    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob(pattern))
        if path.is_file() and not path.is_symlink()
    }
