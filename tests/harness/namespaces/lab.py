"""The namespace lab: two appliances with real sshd, cron and sudo, a workstation and an ARP watcher on one bridge."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Self

from tests.harness.namespaces import arp
from tests.harness.namespaces.controller import Controller, LabError, available
from tests.harness.namespaces.provision import EMPTY, USER, make_keys, provision
from tests.harness.namespaces.workstation import CHECKOUT, Workstation
from tscm_migrate.demo.base import Collision

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.harness.any_lab import Lab
    from tests.harness.profile import Profile
    from tscm_migrate.demo.guest import Guest

WORKSTATION, WATCHER = "10.1.1.10", "10.1.1.99"
MACS = {"old": "02:00:0a:01:01:2b", "new": "02:00:0a:01:01:32"}
DHCP = {"old": "10.1.1.143", "new": "10.1.1.150"}


class NamespaceLab:
    """Two appliances on one network, in namespaces that end with this process.

    Args:
        folder: for state, logs and the inventory; made if missing, not removed by `close`.
        old: profile of the appliance at (by default) 10.1.1.43.
        new: profile of the appliance at (by default) 10.1.1.50.
        shutdown: "orderly" closes sessions; "abrupt" takes the network down first, so that sessions hang.
        announce: send a gratuitous ARP when an address comes up.
        shutdown_delay: seconds between the shutdown command and its effect; with 0 the command is killed by it.
        dhcp: name → address from DHCP.
        disk: size of each appliance's disk in the notation of tmpfs.
        boot: switch on both appliances.

    Raises:
        LabError: no lab can run here (see `available`), a login shell is not installed, or an appliance did not boot.
    """

    def __init__(
        self,
        folder: Path,
        old: Profile,
        new: Profile,
        *,
        shutdown: Literal["orderly", "abrupt"] = "orderly",
        announce: bool = True,
        shutdown_delay: float = 0.0,
        dhcp: dict[str, str] | None = None,
        disk: str = "2g",
        boot: bool = True,
    ) -> None:
        if reason := available():
            raise LabError(reason)
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.old, self.new = old, new
        self.profiles = {"old": old, "new": new}
        self._options: dict[str, Any] = {"shutdown": shutdown, "announce": announce, "delay": shutdown_delay}
        self._dhcp, self._disk = dhcp or DHCP, disk
        self._guests: dict[str, Guest] = {}
        self._boot_faults: dict[str, dict[str, Any]] = {}
        self._closed = False
        self.controller = Controller(self.folder)
        try:
            self._build(boot=boot)
        except BaseException:
            self.close()
            raise

    # ---- up and down

    def _build(self, *, boot: bool) -> None:
        prefix = self.old.prefix
        # the watcher is also the gateway: name lookups are refused at once and do not time out
        watched = sorted({self.old.address, self.new.address, *self._dhcp.values()})
        stations: dict[str, dict[str, Any]] = {
            "workstation": {"addresses": [f"{WORKSTATION}/{prefix}"], "mac": "02:00:0a:01:01:0a"},
            "watcher": {
                "addresses": [f"{WATCHER}/{prefix}", f"{self.old.gateway}/{prefix}"],
                "mac": "02:00:0a:01:01:63",
                "watch": watched,
                "file": str(self.folder / "arp.jsonl"),
            },
        }
        for name, station in stations.items():
            answer = self.controller.call("station", name, interface="eth0", **station)
            if name == "workstation":
                self.workstation = Workstation(self.folder, self.controller.proc / str(answer["pid"]) / "ns/net")
                self.inventory = self.workstation.inventory
        keys = {name: self.folder / "hosts" / name / "host-keys" for name in self.profiles}
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda name: make_keys(name, keys[name], f"root@{self.profiles[name].hostname}"), keys))
            self.workstation.write(self.profiles, keys)
            list(pool.map(self._provision_fresh, self.profiles))
        if boot:
            self._boot("old")
            self._boot("new")
            self.wait_up("old", "new")

    def _provision_fresh(self, name: str) -> None:
        """Make an empty disk, and install the appliance on it."""
        profile = self.profiles[name]
        self.controller.call("disk", name, size=self._disk, empty=EMPTY)
        client = self.workstation.key.with_suffix(".pub").read_text()
        keys = self.folder / "hosts" / name / "host-keys"
        self._guests[name] = provision(self.root_of(name), profile, client, keys)
        if profile.disk_free is not None:
            self.controller.call("limit", name, free=profile.disk_free)

    def reset(self, *names: str) -> None:
        """Delete the disks of these appliances (default: both), and boot them as new with the same host keys.

        The inventory and its known_hosts are written again; the watcher's record is kept.
        """
        names = names or ("old", "new")
        for name in names:
            self.controller.call("kill", short(name))
            self._provision_fresh(short(name))
        self.workstation.write(self.profiles, {one: self.folder / "hosts" / one / "host-keys" for one in self.profiles})
        for name in names:
            self._boot(short(name))
        self.wait_up(*names)

    def close(self) -> None:
        """End all processes, mounts and networks of the lab; may be called twice."""
        if self._closed:
            return
        self._closed = True
        if hasattr(self, "workstation"):
            self.workstation.close()
        self.controller.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- power

    def _boot(self, name: str) -> None:
        profile = self.profiles[name]
        config = {
            "root": str(self.folder / "hosts" / name / "root"),
            "interface": profile.interface,
            "mac": MACS[name],
            "dhcp": f"{self._dhcp[name]}/{profile.prefix}",
            "gateway": profile.gateway,
            "first_address": f"{profile.address}/{profile.prefix}",
            "boot_seconds": profile.boot_seconds,
            "faults": {**profile.faults, **self._boot_faults.get(name, {})},
            "binds": [],
            "hide": [str(CHECKOUT)] if (CHECKOUT / "pyproject.toml").exists() else [],
            **self._options,
        }
        self.controller.call("boot", name, config=config)

    def status(self, name: str) -> dict[str, Any]:
        """Return `state` (off, booting, up, rebooting, crashed…), `address`, `boot_id`, `boots`, `pid` (in the lab)."""
        return self.controller.call("status", short(name))

    def power_on(self, name: str) -> None:
        """Boot, and wait until a login is possible."""
        self._boot(short(name))
        self.wait_up(name)

    def power_off(self, name: str) -> None:
        """Cut the power; the disk is kept."""
        self.controller.call("kill", short(name))

    def boot_faults(self, faults: Mapping[str, Mapping[str, Any]]) -> None:
        """Set the faults of each appliance's next boots, in addition to those of its profile."""
        self._boot_faults = {name: dict(some) for name, some in faults.items()}
        for name, profile in self.profiles.items():
            self.controller.call("faults", name, faults={**profile.faults, **self._boot_faults.get(name, {})})

    def wait_settled(self, name: str, timeout: float = 90) -> None:
        """Wait until it is neither booting nor rebooting."""
        self.wait(lambda: self.status(name)["state"] not in ("booting", "rebooting"), f"{name} to settle", timeout)

    def is_on(self, name: str) -> bool:
        """Return whether it runs; False while it is down during a reboot."""
        return self.status(name)["state"] in ("up", "booting")

    def boot_id(self, name: str) -> str:
        """Return the id of the present or last boot."""
        return str(self.status(name)["boot_id"])

    def addresses(self) -> dict[str, str | None]:
        """Return the present address of each appliance; None if it is off or has none."""
        return {name: self.status(name)["address"] or None for name in self.profiles}

    def wait_up(self, *names: str, timeout: float = 90) -> None:
        """Wait until these have booted and sshd answers."""
        for name in names:
            self.wait(lambda name=name: self._is_up(name), f"{name} to be up", timeout)  # type: ignore[misc]

    def wait_off(self, name: str, timeout: float = 90) -> None:
        """Wait until it has powered itself off."""
        self.wait(lambda: self.status(name)["state"] == "off", f"{name} to be off", timeout)

    def wait_reboot(self, name: str, boot_id: str, timeout: float = 90) -> None:
        """Wait until it is up with another boot id."""
        self.wait(lambda: self._is_up(name) and self.boot_id(name) != boot_id, f"{name} to reboot", timeout)

    def _is_up(self, name: str) -> bool:
        state = self.status(name)["state"]
        if state.startswith("crashed"):
            log = self.folder / "hosts" / short(name) / "console.log"
            raise LabError(f"{name} {state}: {log.read_text(errors='replace')[-2000:]}")
        return bool(state == "up")

    @staticmethod
    def wait(condition: Callable[[], bool], what: str, timeout: float = 90) -> None:
        """Poll until a condition is true.

        Raises:
            LabError: it was not true within `timeout` seconds; the text contains `what`.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise LabError(f"waited {timeout:.0f} s in vain for {what}")
            time.sleep(0.02)

    # ---- the network

    def cut(self, name: str) -> None:
        """Disconnect the cable; the appliance keeps running."""
        self.controller.call("link", short(name), up=False)

    def reconnect(self, name: str) -> None:
        """Connect the cable again."""
        self.controller.call("link", short(name), up=True)

    def heard(self) -> list[arp.ArpReply]:
        """Return all ARP answers and announcements since the lab was started."""
        file = self.folder / "arp.jsonl"
        return arp.read(file.open()) if file.exists() else []

    def collisions(self) -> list[Collision]:
        """Return all cases in which two hosts answered for one address; a migration must cause none."""
        names = {mac: name for name, mac in MACS.items()}
        return [
            Collision(datetime.fromtimestamp(one.at, UTC).isoformat(), one.ip, tuple(names[mac] for mac in one.macs))
            for one in arp.collisions(self.heard())
        ]

    # ---- access to the appliances

    def env(self) -> dict[str, str]:
        """Return the environment for a run of the tool."""
        return self.workstation.env()

    def root_of(self, name: str) -> Path:
        """Return the disk's path, also while it is off; without /tmp, /run and /dev/shm (see `live_root_of`)."""
        return self.controller.see(self.folder / "hosts" / short(name) / "root")

    def live_root_of(self, name: str) -> Path:
        """Return the path of the root as its processes see it, with memory file systems; only while it is on."""
        return self.controller.proc / str(self._pid(name)) / "root"

    def profile(self, name: str) -> Profile:
        """Return the profile of an appliance."""
        return self.profiles[short(name)]

    def guest(self, name: str) -> Guest:
        """Return the simulated TSCM on its disk: paths, configuration, faults."""
        return self._guests[short(name)]

    def journal(self, name: str) -> list[dict[str, Any]]:
        """Return what the simulated programs recorded."""
        return self.guest(name).journal()

    def _pid(self, name: str) -> int:
        pid = int(self.status(name)["pid"])
        if not pid:
            raise LabError(f"{name} is off")
        return pid

    def on(
        self, name: str, script: str, *, root: bool = True, timeout: float = 180
    ) -> subprocess.CompletedProcess[str]:
        """Run a script with sh on an appliance (or on "workstation", "watcher"), without ssh."""
        ns = self.controller.proc / str(self._pid(name)) / "ns"
        spaces = [f"--net={ns}/net"]
        if short(name) in self.profiles:
            spaces += [f"--mount={ns}/mnt", f"--uts={ns}/uts", f"--ipc={ns}/ipc", f"--pid={ns}/pid_for_children"]
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        command = ["sh", "-c", script] if root else ["runuser", "-u", USER, "--", "sh", "-c", script]
        return subprocess.run(
            ["nsenter", *spaces, "--", *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            cwd="/",
            env={"PATH": path, "LANG": "C.UTF-8", "HOME": "/root" if root else f"/home/{USER}"},
        )

    # ---- the tool

    def run_tool(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        timeout: float = 120,
        tty: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run `tscm-migrate ARGS` on the workstation; TimeoutExpired has the output so far."""
        return self.workstation.run(*self.workstation.tool(*args), env=env, stdin=stdin, timeout=timeout, tty=tty)

    def spawn_tool(self, *args: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start the tool; `close` kills it if it still runs."""
        return self.workstation.spawn(*self.workstation.tool(*args), env=env)


def short(name: str) -> str:
    """Return the lab's name of tscm-old or tscm-new: old or new."""
    return name.removeprefix("tscm-")


def _is_a_lab(lab: NamespaceLab) -> Lab:
    """Let the type checker confirm that this class implements `Lab`."""
    return lab
