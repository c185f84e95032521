"""The return timer of an isolated appliance, in its own network: it removes all addresses, and restores them."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.harness.namespaces import available
from tscm_migrate.appliance import isolation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.namespaces,
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        available() is not None or not shutil.which("ip") or not Path("/proc/sys/net/ipv6").exists(),
        reason="no network namespaces with IPv6",
    ),
]
SCRIPT = Path(isolation.__file__).with_name("deadman.sh")
RESCUE_ADDRESS = "169.254.9.9"


@dataclass
class Net:
    """Two hosts on one network: the appliance `a`, and a neighbour `b`."""

    a: str
    b: str
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    def on(self, name: str, script: str) -> str:
        done = subprocess.run(
            ["ip", "netns", "exec", name, "sh", "-c", script], capture_output=True, text=True, timeout=100, check=False
        )
        return done.stdout

    def addresses(self) -> str:
        return self.on(self.a, "ip -o addr show dev eth0")

    def state(self) -> str:
        path = self.folder / "state"
        return path.read_text().strip() if path.exists() else ""

    def arm(self, address: str, seconds: int) -> None:
        """Start the timer like `isolate`, with a separate /var/log."""
        (self.folder / "release.sh").write_text("echo released >released\n")
        words = [self.folder, "eth0", address, f"{RESCUE_ADDRESS}/16", seconds]
        script = 'mount -t tmpfs none /var/log; exec sh "$@"'
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", self.a, "unshare", "-m", "sh", "-c", script, "x", SCRIPT, *map(str, words)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=(self.folder / "err").open("wb"),
        )  # fmt: skip
        wait(lambda: self.state() == "armed", self)
        (self.folder / "go").touch()
        wait(lambda: self.state() == "away", self)


def wait(condition: Callable[[], bool], net: Net) -> None:
    deadline = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < deadline, (net.addresses(), net.state(), (net.folder / "err").read_text())
        time.sleep(0.1)


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    made = Net(f"dm{os.getpid()}a", f"dm{os.getpid()}b", tmp_path / "d")
    made.folder.mkdir()
    run = lambda *words: subprocess.run(words, check=True, timeout=100, capture_output=True)  # noqa: E731
    try:
        for name in (made.a, made.b):
            run("ip", "netns", "add", name)
        run("ip", "link", "add", "eth0", "netns", made.a, "type", "veth", "peer", "name", "eth0", "netns", made.b)
        for name, number in ((made.a, 43), (made.b, 50)):
            made.on(name, "for f in all default eth0; do echo 0 >/proc/sys/net/ipv6/conf/$f/disable_ipv6; done")
            made.on(name, "ip link set lo up; ip link set eth0 up")
            made.on(name, f"ip addr add 10.9.9.{number}/24 dev eth0; ip -6 addr add fd09::{number}/64 dev eth0")
        made.on(made.a, "ip route add default via 10.9.9.50")
        wait(lambda: "tentative" not in made.addresses(), made)
        made.on(made.a, "ip -6 route add default via fd09::50")
        yield made
    finally:
        if made.process is not None:
            made.process.kill()
            made.process.wait(60)
        for name in (made.a, made.b):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=100)


@pytest.mark.parametrize("address", ["10.9.9.43", "fd09::43"])
def test_ipv4_and_ipv6_addresses_are_removed_and_restored(net: Net, address: str) -> None:
    net.arm(address, 100)
    there = net.addresses()
    assert RESCUE_ADDRESS in there
    assert "10.9.9.43" not in there
    assert "inet6" not in there, "no IPv6 address either"
    (net.folder / "return").touch()
    assert net.process is not None
    assert net.process.wait(100) == 0
    back = net.addresses()
    assert "10.9.9.43/24" in back
    assert "fd09::43/64" in back
    assert RESCUE_ADDRESS not in back
    assert "default via 10.9.9.50" in net.on(net.a, "ip route")
    assert "default via fd09::50" in net.on(net.a, "ip -6 route")


@pytest.mark.parametrize(("address", "taken"), [("10.9.9.43", "10.9.9.43/24"), ("fd09::43", "fd09::43/64")])
def test_the_address_is_not_restored_while_another_host_has_it(net: Net, address: str, taken: str) -> None:
    net.arm(address, 100)
    net.on(net.b, f"ip addr add {taken} dev eth0")
    wait(lambda: "tentative" not in net.on(net.b, "ip -o addr show dev eth0"), net)
    (net.folder / "return").touch()
    wait(lambda: not (net.folder / "return").exists(), net)
    time.sleep(1)  # no event can be awaited: the timer must do nothing
    wait(lambda: "fd09" not in net.addresses(), net)
    assert net.state() == "away"
    assert "10.9.9.43" not in net.addresses()
    assert net.process is not None
    assert net.process.poll() is None
