"""Network links for the benchmarks: two network namespaces with a link between them.

The process that measures is in one namespace, the servers are in the other. Both directions have the same rate (of tc's
token bucket), delay and loss (of `benchmarks.wire`). TCP uses cubic, the default of Linux. Needs root, `unshare`, `ip`
and `tc`; the namespaces end with the process.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE, THERE, _NET = "10.77.0.1", "10.77.0.2", "10.77.0.0/24"
_BURST = 1 << 17  # bytes: two of the largest packets
_PORT = 5001
_SENDER = """
import socket, sys
with socket.create_server((sys.argv[1], int(sys.argv[2]))) as listener:
    print("ready", flush=True)
    connection, left, block = listener.accept()[0], int(sys.argv[3]), bytes(1 << 20)
    while left > 0:
        left -= connection.send(block[:left])
"""


@dataclass(frozen=True)
class Link:
    """A link: round trip in milliseconds, megabits a second (0: not limited), percent of packets lost; MiB to send."""

    rtt: float
    rate: float = 0
    loss: float = 0
    size: int = 256

    def __str__(self) -> str:
        rate = f"{self.rate / 1e3:g} Gbit/s, " if self.rate >= 1e3 else f"{self.rate:g} Mbit/s, " if self.rate else ""
        return f"{rate}{self.rtt:g} ms round trip" + (f", {self.loss:g} % loss" if self.loss else "")


LINKS = {
    "1gbit-2ms": Link(2, 1000, size=512),
    "100mbit-50ms": Link(50, 100, size=400),
    "1gbit-2ms-loss": Link(2, 1000, loss=1, size=48),
}


def _run(*words: str) -> None:
    subprocess.run(words, check=True, timeout=20)


def _limit(into: list[str], device: str, link: Link) -> None:
    under_way = round(link.rate * 1e6 / 8 * link.rtt / 1e3)  # bytes
    words = ["rate", f"{link.rate}mbit", "burst", str(_BURST), "limit", str(max(1 << 19, 2 * under_way))]
    _run(*into, "tc", "qdisc", "add", "dev", device, "root", "tbf", *words)


def in_namespace(argv: list[str]) -> list[str]:
    """Return the command that runs `argv` in a network namespace of its own."""
    return ["unshare", "--net", "--", *argv]


@contextlib.contextmanager
def shaped(link: Link) -> Iterator[list[str]]:
    """Make the link; yield the words before a command that run it on the other side, at the address `THERE`.

    This process has to be in a network namespace of its own already: see `in_namespace`.
    """
    mine = Path("/proc/self/ns/net").readlink()
    wire = [sys.executable, str(Path(__file__).with_name("wire.py")), str(link.rtt / 2e3), str(link.loss / 100)]
    with (
        subprocess.Popen(in_namespace(["sleep", "infinity"])) as holder,
        subprocess.Popen(wire, stdout=subprocess.PIPE) as carrier,
    ):
        try:
            other = Path(f"/proc/{holder.pid}/ns/net")
            deadline = time.monotonic() + 20
            while other.readlink() == mine and time.monotonic() < deadline:
                time.sleep(0.01)
            into = ["nsenter", f"--net={other}", "--"]
            assert carrier.stdout
            carrier.stdout.readline()
            _run("ip", "link", "set", "far", "netns", str(holder.pid))
            for words, device, address in (([], "near", HERE), (into, "far", THERE)):
                _run(*words, "ip", "link", "set", "lo", "up")
                _run(*words, "ip", "address", "add", f"{address}/24", "dev", device)
                if link.rate:
                    _limit(words, device, link)
                _run(*words, "ip", "link", "set", device, "up")
                # a namespace of a machine with another default may not set this one for itself, but for a route
                _run(*words, "ip", "route", "change", _NET, "dev", device, "src", address, "congctl", "cubic")
            yield into
        finally:
            carrier.terminate()
            holder.terminate()


def plain_stream(into: list[str], size: int) -> float:
    """Seconds that one TCP connection takes for `size` bytes from the other side: what the link can do."""
    argv = [*into, sys.executable, "-c", _SENDER, THERE, str(_PORT), str(size)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as sender:
        assert sender.stdout
        sender.stdout.readline()
        began, left = time.monotonic(), size
        with socket.create_connection((THERE, _PORT)) as connection:
            while left and (got := len(connection.recv(1 << 20))):
                left -= got
    if left:
        raise RuntimeError(f"{left} bytes of the plain stream are missing")
    return time.monotonic() - began
