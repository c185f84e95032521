"""A paramiko Packetizer that reads and writes AES-GCM packets with fewer system calls and copies.

Several packets are read at once; data of a bulk channel goes from the decrypted packet to its buffer; data to send goes
out as a burst of packets in one write. Other ciphers and the handshake use paramiko's own methods. Nothing private of
paramiko's class is used, so the cipher state is kept here.
"""

import os
import socket
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from cryptography.exceptions import InvalidTag
from paramiko import Channel, Message, SSHException
from paramiko.common import MSG_CHANNEL_DATA, cMSG_CHANNEL_DATA
from paramiko.packet import NeedRekeyException
from paramiko.packet import Packetizer as PlainPacketizer

from tscm_migrate.ssh.accelerated.blocks import BlockBuffer

_ROOM = 1 << 18  # bytes that are read, or sent, at once
_LONGEST = (1 << 20) + 4096  # bytes of a packet: the most channel data that we announce, and its header
_BLOCK = 16  # bytes; RFC 5647, 7.2: the padded packet is a multiple of the cipher's block
_SMALL = 1024  # bytes: a reply, not a stream
_QUICKACK: Any = getattr(socket, "TCP_QUICKACK", None)  # Linux
_SLICE = 1 << 17  # bytes of data in a packet; OpenSSH's sshd accepts 32 KiB, others more
_HEAD = 10  # bytes before a channel's data: padding length, message number, channel, data length


class _Cipher:
    """An AES-GCM key of one direction and its nonces.

    RFC 5647, 7.1: a nonce is 4 fixed bytes and an 8-byte counter, which grows by one with every packet and never
    repeats under one key. A rekey brings a new key and a new nonce.
    """

    def __init__(self, engine: Any, nonce: bytes, tag: int) -> None:
        self.engine, self.tag = engine, tag
        self._fixed, self._counter = nonce[:4], int.from_bytes(nonce[4:], "big")

    def nonce(self) -> bytes:
        """Return the nonce of the next packet, and advance the counter."""
        made = self._fixed + self._counter.to_bytes(8, "big")
        self._counter = (self._counter + 1) & 0xFFFFFFFFFFFFFFFF
        return made


@dataclass(frozen=True)
class Burst:
    """Channel data of several packets, which paramiko's transport passes on like one message.

    Args:
        channel: the channel's number at the peer.
        most: bytes of data in a packet.
    """

    channel: int
    data: memoryview
    most: int

    def packets(self) -> Iterator[tuple[bytes, memoryview]]:
        """Yield each packet's header and data."""
        kind = cMSG_CHANNEL_DATA + self.channel.to_bytes(4, "big")
        for start in range(0, len(self.data), self.most):
            piece = self.data[start : start + self.most]
            yield kind + len(piece).to_bytes(4, "big"), piece


class Packetizer(PlainPacketizer):
    """See the module; the methods without a docstring of their own behave like paramiko's."""

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self._sock = sock
        self._quick = _QUICKACK is not None and getattr(sock, "family", None) in {socket.AF_INET, socket.AF_INET6}
        self._in: _Cipher | None = None
        self._out: _Cipher | None = None
        self._sequence = 0
        self._sending = threading.RLock()
        # by our number of the channel, as it is encoded in a packet
        self.streams: weakref.WeakValueDictionary[bytes, BlockBuffer] = weakref.WeakValueDictionary()
        self._noise = b""
        self._plain, self._burst = memoryview(bytearray(1 << 16)), memoryview(bytearray(_ROOM))
        self._filled = 0
        self._room = memoryview(bytearray(_ROOM))
        self._at = self._end = 0

    def set_inbound_cipher(self, *args: Any, **options: Any) -> None:
        """Take the cipher for received packets; paramiko passes every argument by name."""
        super().set_inbound_cipher(*args, **options)
        self._in = _cipher(self._in, options, "iv_in")

    def set_outbound_cipher(self, *args: Any, **options: Any) -> None:
        """Take the cipher for sent packets; paramiko passes every argument by name."""
        with self._sending:
            super().set_outbound_cipher(*args, **options)
            self._out = _cipher(self._out, options, "iv_out")

    # ------------------------------------------------------------------ reading

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:  # noqa: D102, FBT001, FBT002 - paramiko's signature
        if n > 2 * _LONGEST:  # paramiko's own class, which other ciphers and the handshake use, knows no limit
            raise SSHException(f"a packet of {n} bytes")
        ahead = bytes(self._room[self._at : min(self._at + n, self._end)])
        self._at += len(ahead)
        return ahead if len(ahead) == n else ahead + super().read_all(n - len(ahead), check_rekey and not ahead)

    def read_message(self) -> tuple[int, Message]:
        """Return the next message; data of bulk channels that comes before it is put into their buffers.

        Raises:
            SSHException: the packet is damaged or malformed.
        """
        if (cipher := self._in) is None:
            return super().read_message()
        while True:
            self._have(4, idle=True)
            size = int.from_bytes(self._room[self._at : self._at + 4], "big")
            if size % _BLOCK or not _BLOCK <= size <= _LONGEST:
                raise SSHException(f"a packet of {size} bytes")
            self._have(4 + size + cipher.tag)
            plain = self._open(cipher, size)
            sequence, self._sequence = self._sequence, (self._sequence + 1) & 0xFFFFFFFF
            if not self._streamed(plain):
                return _message(plain, sequence)

    def _open(self, cipher: _Cipher, size: int) -> bytes:
        """Decrypt the next packet, which has arrived: padding length, payload, padding."""
        head, start = self._at, self._at + 4
        self._at = start + size + cipher.tag
        try:
            plain: bytes = cipher.engine.decrypt(cipher.nonce(), self._room[start : self._at], self._room[head:start])
        except InvalidTag as error:
            raise SSHException("a packet was changed in transit") from error
        return plain

    def _streamed(self, plain: bytes) -> bool:
        """Put data of a bulk channel into its buffer; return False for any other packet."""
        if plain[1] != MSG_CHANNEL_DATA or (stream := self.streams.get(plain[2:6])) is None:
            return False
        end = _HEAD + int.from_bytes(plain[6:_HEAD], "big")
        if end > len(plain) - plain[0]:
            raise SSHException("a packet that ends before its data")
        stream.feed(memoryview(plain)[_HEAD:end])
        return True

    def _have(self, size: int, *, idle: bool = False) -> None:
        """Read until `size` bytes are there; `idle`: between two packets, where our own rekey may begin."""
        if self._end - self._at < size:
            self._make_room(size)
        while self._end - self._at < size:
            if self.handshake_timed_out():
                raise EOFError
            try:
                count = self._receive()
            except TimeoutError:
                if self.closed:
                    raise EOFError from None
                if idle and self._end == self._at and self.need_rekey():
                    raise NeedRekeyException from None
                self._check_keepalive()  # type: ignore[attr-defined]
                continue
            except OSError:
                if self.closed:
                    raise EOFError from None
                raise
            if not count:
                raise EOFError
            self._end += count

    def _make_room(self, size: int) -> None:
        """Move what has arrived to the front of the buffer; enlarge the buffer where a packet needs it."""
        rest = bytes(self._room[self._at : self._end])
        if size > len(self._room):
            self._room = memoryview(bytearray(size + _ROOM))
        self._room[: len(rest)] = rest
        self._at, self._end = 0, len(rest)

    def _receive(self) -> int:
        room = self._room[self._end :]
        if not hasattr(self._sock, "recv_into"):  # a channel of a gateway
            data = self._sock.recv(len(room))
            room[: len(data)] = data
            return len(data)
        count: int = self._sock.recv_into(room)
        if count < _SMALL and self._quick:
            # until its first session sshd has Nagle on and would wait 40 ms for this acknowledgement
            self._sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        return count

    # ------------------------------------------------------------------ sending

    def send_message(self, data: Message | Burst) -> None:  # noqa: D102
        with self._sending:
            parts = data.packets() if isinstance(data, Burst) else ((data.asbytes(), b""),)
            if self._out is None:
                for head, piece in parts:
                    super().send_message(Message(head + bytes(piece)))
                return
            self._noise = os.urandom(_BLOCK + 4)  # the longest padding; once a burst, since each call takes its time
            self._quick = self._quick and not isinstance(data, Burst)  # a stream's acknowledgements are many
            for head, piece in parts:
                self._encrypt(self._out, head, piece)
            ready, self._filled = self._burst[: self._filled], 0
            self.write_all(ready if hasattr(self._sock, "recv_into") else bytes(ready))  # else a gateway's channel

    def _encrypt(self, cipher: _Cipher, head: bytes, data: bytes | memoryview) -> None:
        """Append the encrypted packet of `head` and `data` to what is to be sent.

        Both buffers are reused: assembling a packet in new memory takes ten times as long on some processors (memcpy,
        where source and target agree in their last twelve bits).
        """
        start, end = 1 + len(head), 1 + len(head) + len(data)
        padding = 3 + _BLOCK - (end + 3) % _BLOCK
        size, at = end + padding, self._filled
        self._filled = at + 4 + size + cipher.tag
        if size > len(self._plain):
            self._plain = memoryview(bytearray(size))
        if self._filled > len(self._burst):
            before, self._burst = self._burst, memoryview(bytearray(self._filled + _ROOM))
            self._burst[:at] = before[:at]
        plain, length = self._plain[:size], self._burst[at : at + 4]
        plain[0], plain[1:start], plain[start:end], plain[end:] = padding, head, data, self._noise[:padding]
        length[:] = size.to_bytes(4, "big")
        self._burst[at + 4 : self._filled] = cipher.engine.encrypt(cipher.nonce(), plain, length)


def send(channel: Channel, data: bytes | memoryview) -> int:
    """Send all of `data` on a channel of such a transport; see `accelerated.send`."""
    transport: Any = channel.get_transport()
    view = memoryview(data)
    # paramiko reserves 64 bytes of each packet: a slice of the full size would go as one large and one tiny packet
    most = min(_SLICE, channel.out_max_packet_size - 64)
    at = 0
    while at < len(view):
        size = _window(channel, min(len(view) - at, _ROOM))
        transport._send_user_message(Burst(channel.remote_chanid, view[at : at + size], most))  # noqa: SLF001
        at += size
    return len(view)


def _window(channel: Any, wanted: int) -> int:
    """Reserve up to `wanted` bytes of the peer's window; wait until it has any."""
    with channel.lock:
        if channel.closed:
            raise OSError("Socket is closed")
        size: int = channel._wait_for_send_window(wanted)  # noqa: SLF001 - a packet's worth
        if not size:
            raise EOFError
        more: int = min(wanted - size, channel.out_window_size)
        channel.out_window_size -= more
        return size + more


def _message(plain: bytes, sequence: int) -> tuple[int, Message]:
    length = len(plain) - plain[0]
    if length < 2:
        raise SSHException("a packet without a payload")
    message = Message(plain[2:length] if plain[1] != MSG_CHANNEL_DATA else b"")
    if plain[1] == MSG_CHANNEL_DATA:
        message.packet = BytesIO(plain)  # shared, not copied; the padding is behind the string that it holds
        message.packet.seek(2)
    message.seqno = sequence
    return plain[1], message


def _cipher(before: _Cipher | None, options: dict[str, Any], nonce: str) -> _Cipher | None:
    """Return our state of an AES-GCM cipher, None for any other.

    Raises:
        SSHException: another cipher after AES-GCM: paramiko's own class has not counted the packets meanwhile.
    """
    if options["aead"]:
        return _Cipher(options["block_engine"], options[nonce], options["mac_size"])
    if before is not None:
        raise SSHException("the server wants another cipher than before")
    return None
