"""Pid 1 of an appliance: mounts, network, sshd and cron, reaping, reboot and power-off.

A program with only the standard library (`python -I -S`) in new mount, pid, uts, ipc and network namespaces. All
modules are imported before it changes its root, because the package cannot be read from the new root.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import re
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

libc = ctypes.CDLL(None, use_errno=True)
NOSUID, NODEV, NOEXEC, BIND, DETACH = 2, 4, 8, 4096, 2
SERVICES = {"ssh": ["/usr/sbin/sshd", "-D"], "cron": ["/usr/sbin/cron", "-f"]}
GRACE = 1.0  # seconds between SIGTERM and SIGKILL at shutdown
ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


def call(name: str, *arguments: Any) -> None:
    """Call a function of libc that returns 0 on success."""
    if getattr(libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}", str(arguments))


def mount(source: str, target: Path, kind: str, flags: int = 0, data: str = "") -> None:
    """Mount a file system; make a missing mount point."""
    if not target.exists():
        target.mkdir(parents=True)
    call("mount", source.encode(), str(target).encode(), kind.encode(), flags, data.encode())


def devices(dev: Path) -> None:
    """Make a /dev with the usual devices and separate terminals."""
    mount("dev", dev, "tmpfs", NOSUID, "mode=755")
    for name, minor in (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)):
        os.mknod(dev / name, 0o020666, os.makedev(1, minor))
        (dev / name).chmod(0o666)
    os.mknod(dev / "tty", 0o020666, os.makedev(5, 0))
    (dev / "tty").chmod(0o666)
    mount("devpts", dev / "pts", "devpts", NOSUID | NOEXEC, "newinstance,gid=5,mode=620,ptmxmode=666")
    mount("shm", dev / "shm", "tmpfs", NOSUID | NODEV, "mode=1777")
    (dev / "ptmx").symlink_to("pts/ptmx")
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (dev / name).symlink_to(f"/proc/self/fd{target}")


def enter(config: dict[str, Any]) -> None:
    """Mount /proc, /sys, /dev, /run and /tmp below the disk, and make it the root."""
    root = Path(config["root"])
    mount("proc", root / "proc", "proc", NOSUID | NODEV | NOEXEC)
    mount("sysfs", root / "sys", "sysfs", NOSUID | NODEV | NOEXEC | 1)
    devices(root / "dev")
    mount("run", root / "run", "tmpfs", NOSUID | NODEV, "mode=755")
    for source, target in config["binds"]:
        mount(source, root / target.lstrip("/"), "none", BIND)
    for hidden in config["hide"]:
        place = root / hidden.lstrip("/")
        if place.is_dir() and not place.is_symlink():
            mount("hidden", place, "tmpfs", NOSUID | NODEV, "mode=755")
    mount("tmp", root / "tmp", "tmpfs", NOSUID | NODEV, "mode=1777")
    (root / "run/boot_id").write_text(config["boot_id"] + "\n")
    mount(str(root / "run/boot_id"), root / "proc/sys/kernel/random/boot_id", "none", BIND)
    os.chdir(root)
    call("pivot_root", b".", b".")
    call("umount2", b".", DETACH)
    os.chdir("/")
    for folder in ("run/sshd", "run/lock"):
        Path("/", folder).mkdir()
    Path("/run/utmp").touch()


# ---------------------------------------------------------------------------------------------------------- network


def settings(text: str, interface: str) -> dict[str, str]:
    """Return the stanza of an interface in /etc/network/interfaces: `method` and options; {} without a stanza."""
    stanza: dict[str, str] = {}
    inside = False
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if not words:
            continue
        if words[0] in ("iface", "auto", "mapping", "source", "source-directory") or words[0].startswith("allow-"):
            inside = words[0] == "iface" and len(words) >= 4 and words[1] == interface and words[2] == "inet"
            if inside:
                stanza = {"method": words[3]}
        elif inside:
            stanza[words[0]] = " ".join(words[1:])
    return stanza


def prefix_of(stanza: dict[str, str]) -> int:
    """Return the prefix length: from address/N, or from a netmask in either notation."""
    _, _, length = stanza["address"].partition("/")
    mask = length or stanza.get("netmask", "24")
    if "." in mask:
        return sum(int(part).bit_count() for part in mask.split("."))
    return int(mask)


def ip(*words: str) -> None:
    """Run `ip`; its output goes to the console log."""
    subprocess.run(["/usr/bin/env", "ip", *words], check=False, env=ENV)


def network(config: dict[str, Any]) -> str:
    """Bring the interface up with the saved settings; return the address, or ""."""
    interface, file = config["interface"], Path("/etc/network/interfaces")
    ip("link", "set", "lo", "up")
    stanza = settings(file.read_text() if file.exists() else "", interface)
    if config["boots"] and config["faults"].get("reboot_keeps_address"):
        stanza = {"method": "static", "address": config["first_address"]}
    if stanza.get("method") == "dhcp":
        stanza = {"method": "dhcp", "address": config["dhcp"], "gateway": config["gateway"]}
    if not re.fullmatch(r"[\d.]+(/\d+)?", stanza.get("address", "")):
        return ""
    address, length = stanza["address"].partition("/")[0], prefix_of(stanza)
    ip("addr", "add", f"{address}/{length}", "broadcast", "+", "dev", interface)
    ip("link", "set", interface, "up")
    if stanza.get("gateway"):
        ip("route", "add", "default", "via", stanza["gateway"])
    if config["announce"]:
        announce(interface, address)
    return address


def announce(interface: str, address: str) -> None:
    """Send a gratuitous ARP, as most systems do when an address comes up."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)) as raw:
        raw.bind((interface, 0))
        mac, four = raw.getsockname()[4], socket.inet_aton(address)
        head = b"\xff" * 6 + mac + b"\x08\x06"
        raw.send(head + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + four + b"\0" * 6 + four)


# ------------------------------------------------------------------------------------------------------------- init


class Init:
    """Services, orphaned processes, the control pipe, and the shutdown."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config, self.status = config, config["status_fd"]
        self.services: dict[str, subprocess.Popen[bytes]] = {}
        self.pending: tuple[float, str] | None = None
        self.selector = selectors.DefaultSelector()
        self.ready = False

    def report(self, line: str) -> None:
        """Send a line to the lab's controller."""
        os.write(self.status, line.encode() + b"\n")

    def start(self, name: str) -> None:
        """Start a service if it does not run."""
        if name in SERVICES and name not in self.services:
            quiet = subprocess.DEVNULL
            self.services[name] = subprocess.Popen(
                SERVICES[name], stdin=quiet, env=ENV, start_new_session=True, close_fds=True
            )
            Path(f"/run/lab.{name}").write_text(str(self.services[name].pid))

    def stop(self, name: str, number: int = signal.SIGTERM) -> None:
        """Stop a service; its sessions keep running, as with KillMode=process."""
        service = self.services.pop(name, None)
        Path(f"/run/lab.{name}").unlink(missing_ok=True)
        if service:
            service.send_signal(number)
            service.wait(60)

    def handle_request(self, line: str) -> None:
        """Handle a request of `shutdown`, `systemctl` or a similar command: ACTION [seconds | service]."""
        action, _, rest = line.partition(" ")
        if action in ("reboot", "poweroff"):
            self.pending = (time.monotonic() + float(rest or self.config["delay"]), action)
        elif action == "cancel":
            self.pending = None
        elif action in ("stop", "restart"):
            self.stop(rest)
        elif action == "reload" and rest in self.services:
            self.services[rest].send_signal(signal.SIGHUP)
        if action in ("start", "restart"):
            self.start(rest)

    def reap(self) -> None:
        """Reap ended processes, and forget services among them."""
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for name, service in list(self.services.items()):
                if service.pid == pid:
                    del self.services[name]
                    Path(f"/run/lab.{name}").unlink(missing_ok=True)

    def shut_down(self, action: str) -> None:
        """End all processes; does not return."""
        if self.config["shutdown"] == "abrupt":  # connections are not closed: the peers run into timeouts
            ip("link", "set", self.config["interface"], "down")
        else:
            os.kill(-1, signal.SIGTERM)
            deadline = time.monotonic() + GRACE
            while time.monotonic() < deadline:
                try:
                    if os.waitpid(-1, os.WNOHANG)[0] == 0:
                        time.sleep(0.01)
                except ChildProcessError:
                    break
        self.report(f"down {action}")
        os._exit(0)

    def mute(self) -> None:
        """Accept connections on port 22 without an answer for a time after a reboot (a fault)."""
        seconds = float(self.config["faults"].get("reboot_mute_seconds", 0)) if self.config["boots"] else 0.0
        if not seconds:
            return
        deadline, connections = time.monotonic() + seconds, []
        with socket.create_server(("0.0.0.0", 22)) as listener:
            while (left := deadline - time.monotonic()) > 0:
                listener.settimeout(left)
                try:
                    connections.append(listener.accept()[0])
                except TimeoutError:
                    break
        for connection in connections:
            connection.close()

    def listen(self) -> tuple[int, socket.socket, int]:
        """Open the control pipe (root only), the log socket, and a pipe that gets a byte when a child ends."""
        os.mkfifo("/run/initctl", 0o600)
        control = os.open("/run/initctl", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        log.bind("/dev/log")
        Path("/dev/log").chmod(0o666)
        log.settimeout(0)
        wake, bell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
        for source in (control, log, wake):
            self.selector.register(source, selectors.EVENT_READ)
        return control, log, wake

    def syslog(self, log: socket.socket) -> None:
        """Write log messages to /var/log/syslog."""
        with Path("/var/log/syslog").open("ab") as file:
            while True:
                try:
                    message = log.recv(8192)
                except BlockingIOError:
                    return
                file.write(re.sub(rb"^<\d+>", b"", message).replace(b"\n", b" ") + b"\n")

    def probe_sshd(self) -> None:
        """Report "up" when sshd answers, so that a login is possible then."""
        try:
            with socket.create_connection(("127.0.0.1", 22), timeout=0.5) as probe:
                probe.settimeout(1)
                self.ready = probe.recv(255).startswith(b"SSH")
        except OSError:
            return
        if self.ready:
            self.report("up")

    def run(self) -> None:
        """Run until a shutdown is requested."""
        control, log, wake = self.listen()
        self.start("cron")
        self.mute()
        self.start("ssh")
        while True:
            wait = 1.0 if self.ready else 0.02
            if self.pending:
                wait = max(0.0, min(wait, self.pending[0] - time.monotonic()))
            for key, _ in self.selector.select(wait):
                if key.fd == control:
                    for line in os.read(control, 4096).decode(errors="replace").splitlines():
                        self.handle_request(line)
                elif key.fd == wake:
                    os.read(wake, 4096)
                else:
                    self.syslog(log)
            self.reap()
            if self.pending and time.monotonic() >= self.pending[0]:
                self.shut_down(self.pending[1])
            if not self.ready:
                self.probe_sshd()


def main() -> None:
    """Boot the appliance."""
    config = json.loads(Path(sys.argv[1]).read_text())
    init = Init(config)
    fcntl.fcntl(init.status, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    init.report("born")
    if sys.stdin.buffer.read() != b"go":  # the lab's controller has ended
        sys.exit(errno.EPIPE)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    for scope in ("all", "default"):
        setting = Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6")
        if setting.exists():
            setting.write_text("1")
    enter(config)
    socket.sethostname(Path("/etc/hostname").read_text().strip())
    init.report(f"address {network(config)}")
    init.run()


if __name__ == "__main__":
    main()
