"""Faster handling of AES-GCM packets and of bulk streams than paramiko's own; see README.md in this folder.

Everything outside this package uses these three functions. Without the fast transport they do what paramiko does.
"""

import os
import weakref
from collections.abc import Callable
from typing import Any

from paramiko import Channel, SSHException
from paramiko.packet import Packetizer as PlainPacketizer

from tscm_migrate.ssh.accelerated import packets
from tscm_migrate.ssh.accelerated.blocks import BlockBuffer

VARIABLE = "TSCM_FAST_TRANSPORT"


def packetizer_class(*, fast: bool) -> type[PlainPacketizer]:
    """Return the class that a transport reads and writes packets with.

    Args:
        fast: the host's `fast_transport`; the environment variable TSCM_FAST_TRANSPORT=0 switches it off everywhere.
    """
    return packets.Packetizer if fast and os.environ.get(VARIABLE) != "0" else PlainPacketizer


def buffer_blocks(channel: Channel) -> None:
    """Give a new channel a buffer for bulk data; call it before anything is requested on the channel."""
    packetizer: Any = channel.get_transport().packetizer
    if hasattr(packetizer, "streams"):
        channel.in_buffer = BlockBuffer()  # type: ignore[assignment]
        packetizer.streams[channel.chanid.to_bytes(4, "big")] = channel.in_buffer


def limit_buffers(channel: Channel) -> None:
    """Close the connection of a new channel if the server sends twice as much as the channel's window allows.

    paramiko does not check the window, so a server could fill the memory while nothing is read.
    """
    most = 2 * int(channel.in_window_size)
    pipes: tuple[Any, Any] = (channel.in_buffer, channel.in_stderr_buffer)
    for pipe in pipes:
        pipe.feed = _limited(pipe, most)


def _limited(pipe: Any, most: int) -> Callable[[Any], None]:
    feed, there = type(pipe).feed, weakref.ref(pipe)  # no circle, so that its memory is free at once

    def limited(data: Any) -> None:
        if (buffer := there()) is None:
            return
        if len(buffer) + len(data) > most:
            raise SSHException("the server sends more than the window allows")
        feed(buffer, data)

    return limited


def send(channel: Channel, data: bytes | memoryview) -> int:
    """Send all of `data` on a channel; return the number of bytes.

    Raises:
        OSError, EOFError: as from `Channel.sendall`. TimeoutError: the peer accepted nothing for the channel's timeout.
    """
    if hasattr(channel.get_transport().packetizer, "streams"):
        return packets.send(channel, data)
    channel.sendall(data)  # type: ignore[arg-type]
    return len(data)
