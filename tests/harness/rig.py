"""Runs of the tool with faults in the namespace lab, and the state of both appliances afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.harness.namespaces.workstation import kill

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.harness.namespaces import NamespaceLab

PASSPHRASE = "correct horse battery"
_LIMIT = 240.0  # seconds for one run of the tool
_PAUSED = 120.0  # seconds in which a run has to reach the event at which it pauses


@dataclass(frozen=True)
class ToolRun:
    """Result of a command; `status` is negative if a signal ended it."""

    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Return all that it printed."""
        return f"{self.out}\n{self.err}"


@dataclass(frozen=True)
class State:
    """State of both appliances: files by path and hash; archives by hash only, because their names contain the time."""

    old_on: bool
    new_on: bool
    addresses: dict[str, str | None]
    old: dict[str, Any] = field(default_factory=dict)
    new: dict[str, Any] = field(default_factory=dict)

    def relative_to(self, before: State) -> dict[str, Any]:
        """Describe the state relative to an earlier one, so that runs with other devices and keys can be compared.

        Args:
            before: the state before the run.
        """
        described: dict[str, Any] = {"old_on": self.old_on, "new_on": self.new_on, "addresses": self.addresses}
        for side in ("old", "new"):
            mine = getattr(self, side)
            for key, value in mine.items():
                described[f"{side} {key}"] = value
                for was in ("old", "new"):
                    if key in {"files", "keys", "login keys", "cron", "network"} and value == getattr(before, was)[key]:
                        described[f"{side} {key}"] = f"as {was} before"
                        break
        described["old archives"] = (
            "all there" if set(before.old["archives"]) <= set(self.old["archives"]) else "LOST SOME"
        )
        more = [digest for digest in self.new["archives"] if digest not in before.new["archives"]]
        described["new archives"] = "as on old" if set(more) <= set(self.old["archives"]) else "OTHERS"
        described["new archives more"] = len(more)
        return described


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the differences of two states that `relative_to` has described."""
    keys = sorted(one.keys() | other.keys())
    return [f"{key}: {one.get(key)} and {other.get(key)}" for key in keys if one.get(key) != other.get(key)]


class Rig:
    """A lab that is reset for each run.

    Args:
        lab: the tool may need `PASSPHRASE`, and no other secret.
        options: added to each `migrate`.
        policy: lines of the inventory's [policy].
    """

    def __init__(self, lab: NamespaceLab, options: Sequence[str] = (), policy: str = "") -> None:
        self.lab = lab
        self.options = tuple(options)
        self.policy = policy

    def fresh(self) -> None:
        """Reset both appliances and the workstation; earlier address collisions no longer count."""
        self.lab.reset()
        self.lab.on("workstation", "true")
        state = self.lab.folder / "workstation"
        subprocess.run(["rm", "-rf", str(state)], check=True)
        state.mkdir()
        self._collided = len(self.lab.collisions())
        self._hook()

    def _hook(self) -> None:
        """Write an `online` hook: this process plays the hypervisor, and powers the old appliance on."""
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
        """Return how often two hosts used one address since `fresh`."""
        return len(self.lab.collisions()) - self._collided

    # ---- the tool

    def start(self, *args: str, plan: Sequence[dict[str, Any]] = ()) -> subprocess.Popen[str]:
        """Start the tool with a plan of faults (see `faulty_tool`)."""
        station = self.lab.workstation
        arguments = [sys.executable, "-m", "tests.harness.faulty_tool", json.dumps(list(plan)), *args]
        process = subprocess.Popen(
            station.inside(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            **station.options({"TSCM_PASSPHRASE": PASSPHRASE, "TSCM_TRACEBACK": "1"}),
        )  # fmt: skip
        threading.Thread(target=self._switch, args=(process,), daemon=True, name="power").start()
        return process

    @staticmethod
    def finish(process: subprocess.Popen[str], timeout: float = _LIMIT) -> ToolRun:
        """Wait for the tool's end; after the timeout it is killed, and the status is -1000."""
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            kill(process)
            out, err = process.communicate(timeout=100)
            return ToolRun(-1000, out, err)
        return ToolRun(process.returncode, out, err)

    def run(self, *args: str, plan: Sequence[dict[str, Any]] = ()) -> ToolRun:
        """Run the tool to its end."""
        return self.finish(self.start(*args, plan=plan))

    def migrate(self, plan: Sequence[dict[str, Any]] = ()) -> ToolRun:
        """Migrate from tscm-old to tscm-new."""
        return self.run(*self.arguments(), plan=plan)

    def migrate_and_pause(
        self, n: int, when: str, action: Callable[[NamespaceLab], object], plan: Sequence[dict[str, Any]] = ()
    ) -> ToolRun:
        """Migrate, pause before or after event `n`, call `action` with the lab, and continue."""
        folder = self.lab.folder / "pause"
        folder.mkdir(exist_ok=True)
        for word in ("paused", "go"):
            (folder / word).unlink(missing_ok=True)
        pause = {"kind": "pause", "n": n, "when": when, "folder": str(folder)}
        process = self.start(*self.arguments(), plan=[*plan, pause])
        deadline = time.monotonic() + _PAUSED
        while process.poll() is None and not (folder / "paused").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        if (folder / "paused").exists():
            action(self.lab)
        (folder / "go").touch()
        return self.finish(process)

    def arguments(self) -> tuple[str, ...]:
        """Return the command line of a migration."""
        return ("migrate", "--from", "tscm-old", "--to", "tscm-new", "--yes", *self.options)

    def events(self) -> list[dict[str, Any]]:
        """Return the newest run's journal without an incomplete last line."""
        files = sorted(self.runs_folder().glob("*/journal.jsonl"))
        lines = files[-1].read_text().splitlines(keepends=True) if files else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def runs_folder(self) -> Path:
        """Return the folder with the tool's runs."""
        return self.lab.folder / "workstation" / "state" / "tscm-migrate" / "runs"

    # ---- the state afterwards

    def state(self) -> State:
        """Return the present state of both appliances."""
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
        """Return places with the passphrase or a temporary file of the tool; on a running host also in memory."""
        leaks = []
        for name in ("old", "new"):
            if self.lab.is_on(name):
                script = "ls -A /dev/shm /tmp /run/shm 2>/dev/null | grep -i tscm-migrate; ls /root/.gnupg 2>/dev/null"
                leaks += [f"{name}: {line}" for line in self.lab.on(name, script).stdout.split()]
        state = self.lab.folder / "workstation"
        for path in state.rglob("*"):
            if path.is_file() and PASSPHRASE.encode() in path.read_bytes():
                leaks.append(f"workstation: the passphrase is in {path}")
        return leaks


def _hashes(folder: Path, pattern: str = "*") -> dict[str, str]:
    import hashlib

    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob(pattern))
        if path.is_file() and not path.is_symlink()
    }
