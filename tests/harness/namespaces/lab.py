"""The namespace lab: two appliances with real sshd, cron and sudo, a workstation and a watcher on one bridge."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Self

from tests.harness.namespaces import arp
from tests.harness.namespaces.controller import LabError, Room, available
from tests.harness.namespaces.provision import EMPTY, USER, make_keys, provision
from tests.harness.namespaces.workstation import CHECKOUT, Workstation
from tscm_migrate.demo.base import Collision

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.harness.any_lab import Lab
    from tscm_migrate.demo.guest import Guest
    from tscm_migrate.demo.profile import Profile

WORKSTATION, WATCHER = "10.1.1.10", "10.1.1.99"
MACS = {"old": "02:00:0a:01:01:2b", "new": "02:00:0a:01:01:32"}
DHCP = {"old": "10.1.1.143", "new": "10.1.1.150"}


class NamespaceLab:
    """Two appliances on one wire, all of it in name spaces that end with this process.

    Args:
        folder: for state, logs and the inventory; made if missing, left there by `close`.
        old: the appliance at (by default) 10.1.1.43; a login shell that is not installed is a LabError.
        new: the one at 10.1.1.50.
        shutdown: "orderly" lets sessions say goodbye; "abrupt" cuts the link first, so that they just go silent.
        announce: whether an address that comes up is announced by a gratuitous ARP.
        shutdown_delay: seconds between the command and its effect; at 0 the command hardly ever sees its own end.
        dhcp: the address that each gets where its settings say DHCP.
        disk: the size of each appliance's disk, as tmpfs writes it.
        boot: whether both are switched on at once.

    Raises:
        LabError: it cannot be had here (see `available`), or an appliance did not boot.
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
        self.room = Room(self.folder)
        try:
            self._build(boot=boot)
        except BaseException:
            self.close()
            raise

    # ---- up and down

    def _build(self, *, boot: bool) -> None:
        prefix = self.old.prefix
        # the watcher is the gateway too: a name that nobody knows is refused at once instead of timing out
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
            answer = self.room.call("station", name, interface="eth0", **station)
            if name == "workstation":
                self.workstation = Workstation(self.folder, self.room.proc / str(answer["pid"]) / "ns/net")
                self.inventory = self.workstation.inventory
        keys = {name: self.folder / "hosts" / name / "host-keys" for name in self.profiles}
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda name: make_keys(name, keys[name], f"root@{self.profiles[name].hostname}"), keys))
            self.workstation.write(self.profiles, keys)
            list(pool.map(self._fresh, self.profiles))
        if boot:
            self._boot("old")
            self._boot("new")
            self.wait_up("old", "new")

    def _fresh(self, name: str) -> None:
        """An empty disk with the appliance on it."""
        profile = self.profiles[name]
        self.room.call("disk", name, size=self._disk, empty=EMPTY)
        client = self.workstation.key.with_suffix(".pub").read_text()
        keys = self.folder / "hosts" / name / "host-keys"
        self._guests[name] = provision(self.root_of(name), profile, client, keys)
        if profile.disk_free is not None:
            self.room.call("limit", name, free=profile.disk_free)

    def reset(self, *names: str) -> None:
        """Throw the disks of these appliances (default: both) away and boot them as new, with the same host keys.

        The inventory and its known_hosts are written anew; the watcher's record goes on.
        """
        names = names or ("old", "new")
        for name in names:
            self.room.call("kill", short(name))
            self._fresh(short(name))
        self.workstation.write(self.profiles, {one: self.folder / "hosts" / one / "host-keys" for one in self.profiles})
        for name in names:
            self._boot(short(name))
        self.wait_up(*names)

    def close(self) -> None:
        """End every process, mount and network of the lab; may be called twice."""
        if self._closed:
            return
        self._closed = True
        if hasattr(self, "workstation"):
            self.workstation.close()
        self.room.close()

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
        self.room.call("boot", name, config=config)

    def status(self, name: str) -> dict[str, Any]:
        """`state` (off, booting, up, rebooting, crashed…), `address`, `boot_id`, `boots`, `pid` (in the room)."""
        return self.room.call("status", short(name))

    def power_on(self, name: str) -> None:
        """Boot, and wait until one can log in."""
        self._boot(short(name))
        self.wait_up(name)

    def power_off(self, name: str) -> None:
        """Pull the plug; the disk is kept."""
        self.room.call("kill", short(name))

    def boot_faults(self, faults: Mapping[str, Mapping[str, Any]]) -> None:
        """Faults that the power of an appliance has from now on, beside those of its profile."""
        self._boot_faults = {name: dict(some) for name, some in faults.items()}
        for name, profile in self.profiles.items():
            self.room.call("faults", name, faults={**profile.faults, **self._boot_faults.get(name, {})})

    def wait_settled(self, name: str, timeout: float = 90) -> None:
        """Until it is neither booting nor between the two halves of a reboot."""
        self.wait(lambda: self.status(name)["state"] not in ("booting", "rebooting"), f"{name} to settle", timeout)

    def is_on(self, name: str) -> bool:
        """Whether it runs; not between the two halves of a reboot."""
        return self.status(name)["state"] in ("up", "booting")

    def boot_id(self, name: str) -> str:
        """The id of the present boot, or of the last one."""
        return str(self.status(name)["boot_id"])

    def addresses(self) -> dict[str, str | None]:
        """The address that each appliance has now; None while it is off or has none."""
        return {name: self.status(name)["address"] or None for name in self.profiles}

    def wait_up(self, *names: str, timeout: float = 90) -> None:
        """Until these have booted and sshd answers."""
        for name in names:
            self.wait(lambda name=name: self._is_up(name), f"{name} to be up", timeout)  # type: ignore[misc]

    def wait_off(self, name: str, timeout: float = 90) -> None:
        """Until it has powered itself off."""
        self.wait(lambda: self.status(name)["state"] == "off", f"{name} to be off", timeout)

    def wait_reboot(self, name: str, boot_id: str, timeout: float = 90) -> None:
        """Until it is up with another boot id than this one."""
        self.wait(lambda: self._is_up(name) and self.boot_id(name) != boot_id, f"{name} to reboot", timeout)

    def _is_up(self, name: str) -> bool:
        state = self.status(name)["state"]
        if state.startswith("crashed"):
            log = self.folder / "hosts" / short(name) / "console.log"
            raise LabError(f"{name} {state}: {log.read_text(errors='replace')[-2000:]}")
        return bool(state == "up")

    @staticmethod
    def wait(holds: Callable[[], bool], what: str, timeout: float = 90) -> None:
        """Poll until something holds.

        Raises:
            LabError: it did not within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while not holds():
            if time.monotonic() > deadline:
                raise LabError(f"waited {timeout:.0f} s in vain for {what}")
            time.sleep(0.02)

    # ---- the wire

    def cut(self, name: str) -> None:
        """Take the cable out: the appliance runs on, nobody hears it."""
        self.room.call("link", short(name), up=False)

    def mend(self, name: str) -> None:
        """Put the cable back."""
        self.room.call("link", short(name), up=True)

    def heard(self) -> list[arp.Seen]:
        """Every ARP answer and announcement since the lab began."""
        file = self.folder / "arp.jsonl"
        return arp.read(file.open()) if file.exists() else []

    def collisions(self) -> list[Collision]:
        """Every time when two hosts answered for one address; [] is what a migration must leave."""
        names = {mac: name for name, mac in MACS.items()}
        return [
            Collision(datetime.fromtimestamp(one.at, UTC).isoformat(), one.ip, tuple(names[mac] for mac in one.macs))
            for one in arp.collisions(self.heard())
        ]

    # ---- looking inside

    def env(self) -> dict[str, str]:
        """The environment for a run of the tool."""
        return self.workstation.env()

    def root_of(self, name: str) -> Path:
        """The disk, on or off; without what is in memory only (/tmp, /run, /dev/shm: see `live_root_of`)."""
        return self.room.see(self.folder / "hosts" / short(name) / "root")

    def live_root_of(self, name: str) -> Path:
        """The root as its processes see it, memory file systems and all; only while it is on."""
        return self.room.proc / str(self._pid(name)) / "root"

    def profile(self, name: str) -> Profile:
        """What was asked for."""
        return self.profiles[short(name)]

    def guest(self, name: str) -> Guest:
        """The simulated TSCM on its disk: paths, config, faults."""
        return self._guests[short(name)]

    def journal(self, name: str) -> list[dict[str, Any]]:
        """What the simulated programs recorded."""
        return self.guest(name).journal()

    def _pid(self, name: str) -> int:
        pid = int(self.status(name)["pid"])
        if not pid:
            raise LabError(f"{name} is off")
        return pid

    def on(
        self, name: str, script: str, *, root: bool = True, timeout: float = 180
    ) -> subprocess.CompletedProcess[str]:
        """Run a script by sh on an appliance (or on "workstation", "watcher") past ssh."""
        ns = self.room.proc / str(self._pid(name)) / "ns"
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
        """Run `tscm-migrate ARGS` on the workstation; TimeoutExpired carries what it had said."""
        return self.workstation.run(*self.workstation.tool(*args), env=env, stdin=stdin, timeout=timeout, tty=tty)

    def spawn_tool(self, *args: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start it, to be killed; whatever is left is killed by `close`."""
        return self.workstation.spawn(*self.workstation.tool(*args), env=env)


def short(name: str) -> str:
    """The lab's name of a host that the inventory calls tscm-old or tscm-new."""
    return name.removeprefix("tscm-")


def _is_a_lab(lab: NamespaceLab) -> Lab:
    """For the type checker: what this lab offers is what every lab offers."""
    return lab
