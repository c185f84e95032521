"""The controller process of a lab: owns its network, disks and power switches.

A program with only the standard library (`python -I -S`); it is pid 1 of a pid namespace, with its own mount and
network namespaces. All that it makes (bridge, overlays, hosts) is in these namespaces, so it is removed when this
process ends in any way. It ends at the end of its standard input, that is, with the test run that started it.

Requests and answers are JSON objects, one per line: `{"op": "boot", "name": "old", …}` gives `{"ok": true, …}`.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
UNSHARE = ["unshare", "--mount", "--pid", "--uts", "--net", "--ipc"]
UNSHARE += ["--fork", "--kill-child", "--propagation", "private"]
PYTHON = [sys.executable, "-I", "-S"]


def ip(*words: str, pid: int | None = None, check: bool = True) -> None:
    """Run `ip`, in the network namespace of process `pid` if given."""
    into = ["nsenter", f"--net=/proc/{pid}/ns/net"] if pid else []
    done = subprocess.run([*into, "ip", *words], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def no_ipv6() -> None:
    """Disable IPv6: its neighbour discovery would disturb the recording of ARP."""
    for scope in ("all", "default"):
        setting = Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6")
        if setting.exists():
            setting.write_text("1")


class Host:
    """An appliance, or (after `station`) a process that only keeps a network namespace alive."""

    def __init__(self, controller: Controller, name: str) -> None:
        self.controller, self.name, self.port = controller, name, f"p-{name}"[:15]
        self.folder = controller.folder / "hosts" / name
        self.config: dict[str, Any] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.state, self.address, self.boot_id, self.boots = "off", "", "", 0
        self.shutdown, self.boot_at, self.status, self.pidfd = "", 0.0, -1, -1
        self.cut = False

    # ---- disk

    def disk(self, size: str, empty: dict[str, int]) -> None:
        """Make an empty layer over this machine's root; an earlier one is deleted.

        Args:
            size: in the notation of tmpfs, such as "2g".
            empty: folders that hide this machine's files, with their modes.
        """
        root, layer = self.folder / "root", self.folder / "disk"
        for place in (root, layer):
            if os.path.ismount(place):
                subprocess.run(["umount", "-l", str(place)], check=True)
            place.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "lab", str(layer)], check=True)
        for part in ("upper", "work"):
            (layer / part).mkdir()
        for name, mode in empty.items():  # an opaque folder of overlayfs hides the lower one without deleting files
            folder = layer / "upper" / name
            folder.mkdir(parents=True)
            folder.chmod(mode)
            os.setxattr(folder, "trusted.overlay.opaque", b"y")
        options = f"lowerdir=/,upperdir={layer}/upper,workdir={layer}/work"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "lab", str(root)], check=True)

    def limit(self, free: int) -> None:
        """Leave this many bytes free on the disk."""
        layer = self.folder / "disk"
        stat = os.statvfs(layer)
        size = (stat.f_blocks - stat.f_bfree) * stat.f_frsize + free
        subprocess.run(["mount", "-o", f"remount,size={size}", str(layer)], check=True)

    # ---- power

    def connect(self) -> None:
        """Connect the bridge with the host's network namespace."""
        assert self.process
        pid, config = self.process.pid, self.config
        peer = ["peer", "name", config["interface"], "address", config["mac"], "netns", str(pid)]
        ip("link", "add", self.port, "type", "veth", *peer)
        ip("link", "set", self.port, "master", "br0", *(["down"] if self.cut else ["up"]))

    def boot(self) -> None:
        """Start pid 1 in new namespaces; the cable is connected when it has reported "born"."""
        self.boot_id, self.state, self.shutdown = str(uuid.uuid4()), "booting", ""
        status, theirs = os.pipe()
        config = {**self.config, "boot_id": self.boot_id, "boots": self.boots, "status_fd": theirs}
        self.boots += 1
        file = self.folder / "boot.json"
        file.write_text(json.dumps(config))
        with (self.folder / "console.log").open("ab") as console:
            self.process = subprocess.Popen(
                [*UNSHARE, "--", *PYTHON, str(HERE / "init.py"), str(file)],
                stdin=subprocess.PIPE,
                stdout=console,
                stderr=console,
                pass_fds=[theirs],
                start_new_session=True,
            )
        os.close(theirs)
        os.set_blocking(status, False)
        self.status, self.pidfd = status, os.pidfd_open(self.process.pid)
        self.controller.selector.register(status, selectors.EVENT_READ, self.read_status)
        self.controller.selector.register(self.pidfd, selectors.EVENT_READ, self.handle_end)
        self.controller.log(self.name, "boot")

    def read_status(self) -> None:
        """Handle the reports of pid 1: born, address ADDRESS, up, down reboot, down poweroff."""
        data = os.read(self.status, 4096)
        if not data:
            self.controller.selector.unregister(self.status)
            os.close(self.status)
            self.status = -1
        for line in data.decode().splitlines():
            word, _, rest = line.partition(" ")
            if word == "born":
                self.connect()
                assert self.process
                assert self.process.stdin
                self.process.stdin.write(b"go")
                self.process.stdin.close()
            elif word == "address":
                self.address = rest
            elif word == "up":
                self.state = "up"
            elif word == "down":
                self.shutdown = rest
            self.controller.log(self.name, line)

    def disconnect(self) -> None:
        """Delete the cable: the kernel removes an ended network namespace only after some time."""
        ip("link", "del", self.port, check=False)

    def handle_end(self) -> None:
        """Handle the end of all processes of the host: a reboot, a power-off or a crash."""
        if self.process is None or (code := self.process.poll()) is None:
            return
        if self.status >= 0:
            self.read_status()
        if self.status >= 0:
            self.controller.selector.unregister(self.status)
            os.close(self.status)
            self.status = -1
        self.disconnect()
        self.controller.selector.unregister(self.pidfd)
        os.close(self.pidfd)
        self.process, self.address = None, ""
        # reboot(2) in a pid namespace ends its pid 1 with SIGHUP for a restart and with SIGINT for a halt
        shutdown = self.shutdown or {-signal.SIGHUP: "reboot", -signal.SIGINT: "poweroff"}.get(code, "")
        faults = self.config.get("faults", {})
        self.controller.log(self.name, f"ended {shutdown or code}")
        if shutdown == "reboot" and not faults.get("reboot_never"):
            takes = faults.get("reboot_seconds", self.config.get("boot_seconds", 0))
            self.state, self.boot_at = "rebooting", time.monotonic() + float(takes)
        else:
            self.state = "off" if shutdown else f"crashed ({code})"

    def kill(self) -> None:
        """Cut the power, and wait until the last process has ended."""
        self.boot_at, self.shutdown = 0.0, "poweroff"
        if self.process is None:
            self.state = "off"
            return
        self.disconnect()
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        # when pid 1 is killed, the kernel ends all processes of its namespace before its parent is notified
        inner = children.read_text().split() if children.exists() else []
        for victim in [*map(int, inner)] or [pid]:
            os.kill(victim, signal.SIGKILL)
        self.process.wait()
        self.handle_end()
        self.state = "off"

    # ---- workstation and watcher

    def station(self, request: dict[str, Any]) -> None:
        """Make a network namespace with addresses; with `watch` the ARP watcher runs in it."""
        self.config = {"interface": request["interface"], "mac": request["mac"]}
        command = ["sleep", "infinity"]
        if request.get("watch"):
            command = [*PYTHON, str(HERE / "watch.py"), request["interface"], request["file"], *request["watch"]]
        mine = Path("/proc/self/ns/net").readlink()
        self.process = subprocess.Popen(["unshare", "--net", "--", *command], stdin=subprocess.DEVNULL)
        pid = self.process.pid
        deadline = time.monotonic() + 60
        while Path(f"/proc/{pid}/ns/net").readlink() == mine and time.monotonic() < deadline:
            time.sleep(0.005)
        self.connect()
        ip("link", "set", "lo", "up", pid=pid)
        for address in request["addresses"]:
            ip("addr", "add", address, "dev", request["interface"], pid=pid)
        ip("link", "set", request["interface"], "up", pid=pid)
        self.state, self.address = "up", request["addresses"][0].partition("/")[0]


class Controller:
    """The event loop: requests, reports of hosts, ends of processes, delayed boots."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.selector = selectors.DefaultSelector()
        self.hosts: dict[str, Host] = {}
        self.events = (folder / "power.jsonl").open("a", buffering=1)

    def log(self, name: str, event: str) -> None:
        """Write one line to power.jsonl."""
        self.events.write(json.dumps({"at": time.time(), "host": name, "event": event}) + "\n")

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: C901 - one line a request
        """Execute one request."""
        op, name = request["op"], request.get("name", "")
        if op == "hello":
            return {}
        host = self.hosts.setdefault(name, Host(self, name))
        if op == "station":
            host.station(request)
        elif op == "disk":
            host.disk(request["size"], request["empty"])
        elif op == "limit":
            host.limit(request["free"])
        elif op == "boot":
            if host.process is None:
                host.config, host.boot_at = request["config"], 0.0
                host.boot()
        elif op == "kill":
            host.kill()
        elif op == "link":
            host.cut = not request["up"]
            ip("link", "set", host.port, "up" if request["up"] else "down", check=False)
        elif op == "faults":
            host.config["faults"] = request["faults"]
        elif op != "status":
            raise ValueError(f"unknown op {op}")
        pid = host.process.pid if host.process else 0
        return {"state": host.state, "address": host.address, "boot_id": host.boot_id, "boots": host.boots, "pid": pid}

    def handle_line(self, line: bytes) -> None:
        """Handle one line of input, and print its answer."""
        try:
            answer = {"ok": True, **self.answer(json.loads(line))}
        except Exception as problem:  # noqa: BLE001 - sent to the client, which raises it
            answer = {"ok": False, "error": f"{type(problem).__name__}: {problem}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()

    def reap(self) -> None:
        """Reap orphaned processes, which are children of pid 1."""
        ours = {host.process.pid for host in self.hosts.values() if host.process}
        while True:
            try:
                waited = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if waited is None or waited.si_pid in ours:
                return
            os.waitpid(waited.si_pid, 0)

    def run(self) -> None:
        """Run until standard input ends."""
        no_ipv6()
        ip("link", "set", "lo", "up")
        ip("link", "add", "br0", "type", "bridge", "forward_delay", "0", "stp_state", "0", "mcast_snooping", "0")
        ip("link", "set", "br0", "up")
        self.selector.register(0, selectors.EVENT_READ, None)
        rest = b""
        while True:
            booting = [host for host in self.hosts.values() if host.boot_at]
            wait = min((host.boot_at - time.monotonic() for host in booting), default=1.0)
            for key, _ in self.selector.select(max(0.0, min(wait, 1.0))):
                if key.data is not None:
                    if key.fd in self.selector.get_map():
                        key.data()
                    continue
                more = os.read(0, 65536)
                if not more:
                    return
                *lines, rest = (rest + more).split(b"\n")
                for line in lines:
                    self.handle_line(line)
            for host in booting:
                if host.boot_at and time.monotonic() >= host.boot_at:
                    host.boot_at = 0.0
                    host.boot()
            self.reap()


if __name__ == "__main__":
    Controller(Path(sys.argv[1])).run()
