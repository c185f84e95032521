"""A wire between two TUN devices: `wire.py SECONDS LOSS` delivers each packet after a while, or with this chance never.

It makes the devices `near` and `far` in its network namespace, and prints a line. Without loss, packets of up to 64 KiB
pass, as between virtual machines, so that one processor core can do several Gbit/s. With loss, no packet is larger than
the wire permits. This is what `tc` does with netem, which not every kernel has.
"""

from __future__ import annotations

import collections
import fcntl
import os
import random
import select
import struct
import sys
import time

_SET_NAME, _SET_OFFLOAD = 0x400454CA, 0x400454D0  # ioctls TUNSETIFF and TUNSETOFFLOAD
_TUN, _NO_INFO, _HEADER = 0x0001, 0x1000, 0x4000  # IFF_TUN, IFF_NO_PI, IFF_VNET_HDR
_LARGE = 0x01 | 0x02  # TUN_F_CSUM, TUN_F_TSO4
_READ = 1 << 17


def device(name: str, *, large: bool) -> int:
    """Make a TUN device; return its descriptor."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = _TUN | _NO_INFO | (_HEADER if large else 0)
    fcntl.ioctl(descriptor, _SET_NAME, struct.pack("16sH22x", name.encode(), flags))
    if large:
        fcntl.ioctl(descriptor, _SET_OFFLOAD, _LARGE)
    return descriptor


def main(delay: float, loss: float) -> None:
    near, far = (device(name, large=not loss) for name in ("near", "far"))
    other, chance = {near: far, far: near}, random.Random(1)
    waiting: collections.deque[tuple[float, int, bytes]] = collections.deque()
    print("ready", flush=True)
    while True:
        patience = max(0.0, waiting[0][0] - time.monotonic()) if waiting else 3600.0
        for descriptor in select.select([near, far], [], [], patience)[0]:
            packet = os.read(descriptor, _READ)
            if not loss or chance.random() >= loss:
                waiting.append((time.monotonic() + delay, other[descriptor], packet))
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, target, packet = waiting.popleft()
            try:
                os.write(target, packet)
            except OSError:  # the other side is down
                continue


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]))
