"""The ARP watcher: asks repeatedly who has each address, and records all answers.

A program with only the standard library: `watch.py INTERFACE FILE ADDRESS…`. Each line of FILE is a JSON object: `at`
(unix time), `round` (number of the request), `kind` ("reply" or "announce"), `ip`, `mac`. Two answers with different
hardware addresses to one request mean that two hosts use one address.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from pathlib import Path

INTERVAL = 0.1  # seconds between two requests for one address


def request(mac: bytes, mine: bytes, wanted: bytes) -> bytes:
    """Return a broadcast ARP request."""
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + mine + b"\0" * 6 + wanted
    return b"\xff" * 6 + mac + b"\x08\x06" + arp


def main() -> None:
    """Run until killed."""
    interface, file, *wanted = sys.argv[1:]
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    while interface not in {name for _, name in socket.if_nameindex()}:
        time.sleep(0.005)
    raw.bind((interface, 0))
    mac, mine = raw.getsockname()[4], socket.inet_aton("0.0.0.0")
    addresses = [socket.inet_aton(address) for address in wanted]
    count, due = 0, time.monotonic()
    with Path(file).open("a", buffering=1) as out:
        while True:
            left = due - time.monotonic()
            if left <= 0:
                count, due = count + 1, time.monotonic() + INTERVAL
                for address in addresses:
                    try:
                        raw.send(request(mac, mine, address))
                    except OSError:  # the interface is not up yet
                        break
                continue
            raw.settimeout(left)
            try:
                frame = raw.recv(2048)
            except OSError:
                continue
            if len(frame) < 42 or frame[12:14] != b"\x08\x06":
                continue
            kind, sender, source = struct.unpack("!H", frame[20:22])[0], frame[22:28], frame[28:32]
            target = frame[38:42]
            if sender == mac or source not in addresses or (kind == 1 and source != target):
                continue
            reply = {
                "at": time.time(),
                "round": count,
                "kind": "reply" if kind == 2 else "announce",
                "ip": socket.inet_ntoa(source),
                "mac": sender.hex(":"),
            }
            out.write(json.dumps(reply) + "\n")


if __name__ == "__main__":
    main()
