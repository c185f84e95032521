"""AES-GCM packets as paramiko's packetizer sends and reads them, without its copies.

paramiko reads a packet with four system calls and copies it on eight times, which takes longer than the decryption and
decides how fast an archive travels. Here several packets are read at once, and a stream's go to its buffer without the
transport's detours; a stream of ours goes out in bursts. Every other cipher, compression, and all of the handshake go
through paramiko's own class. `packetizer_class` is paramiko's own plug for this; nothing private of that class is used,
so the state of the ciphers is kept here.
"""

from __future__ import annotations

import os
import socket
import threading
import weakref
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from paramiko import Message, SSHException
from paramiko.common import MSG_CHANNEL_DATA, cMSG_CHANNEL_DATA
from paramiko.packet import NeedRekeyException
from paramiko.packet import Packetizer as Plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paramiko import Channel

    from tscm_migrate.ssh.gather import Gathered

_ROOM = 1 << 18  # bytes that are read, or sent, at once
_LONGEST = (1 << 20) + 4096  # bytes of a packet: what we allow a channel's data to have, and its head
_BLOCK = 16
_SMALL = 1024  # bytes: an answer, no stream
_QUICKACK: Any = getattr(socket, "TCP_QUICKACK", None)  # Linux
_SLICE = 1 << 17  # bytes; OpenSSH's sshd takes packets of 32 KiB, others larger ones
_HEAD = 10  # bytes before a channel's data: the padding's length, the message's kind, the channel, the data's length


class _Cipher:
    """An AES-GCM key of one direction, and the counter that makes each packet's nonce (RFC 5647, 7.1)."""

    def __init__(self, engine: Any, nonce: bytes, tag: int) -> None:
        self.engine, self.tag = engine, tag
        self._fixed, self._counter = nonce[:4], int.from_bytes(nonce[4:], "big")

    def nonce(self) -> bytes:
        """The next packet's."""
        made = self._fixed + self._counter.to_bytes(8, "big")
        self._counter = (self._counter + 1) & 0xFFFFFFFFFFFFFFFF
        return made


@dataclass(frozen=True)
class Burst:
    """A channel's data of several packets, which paramiko's transport passes on as if it were one message.

    Args:
        channel: the other side's number of it.
        most: bytes of data in a packet.
    """

    channel: int
    data: memoryview
    most: int

    def pieces(self) -> Iterator[memoryview]:
        """The data of each packet."""
        return (self.data[start : start + self.most] for start in range(0, len(self.data), self.most))

    def messages(self) -> Iterator[Message]:
        """As paramiko itself would send them."""
        for piece in self.pieces():
            made = Message()
            made.add_byte(cMSG_CHANNEL_DATA)
            made.add_int(self.channel)
            made.add_string(piece.tobytes())
            yield made


class Packetizer(Plain):
    """See the module."""

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self._sock = sock
        self._quick = _QUICKACK is not None and getattr(sock, "family", None) in {socket.AF_INET, socket.AF_INET6}
        self._in: _Cipher | None = None
        self._out: _Cipher | None = None
        self._packed_in = self._packed_out = False
        self._sequence = 0
        self._sending = threading.RLock()
        # by our number of the channel, as it stands in a packet
        self.streams: weakref.WeakValueDictionary[bytes, Gathered] = weakref.WeakValueDictionary()
        self._noise = b""
        self._plain = memoryview(bytearray(1 << 16))
        self._burst = memoryview(bytearray(_ROOM))
        self._filled = 0
        self._room = memoryview(bytearray(_ROOM))
        self._at = self._end = 0

    # ------------------------------------------------------------------ the state

    def set_inbound_cipher(self, *args: Any, **options: Any) -> None:
        """See paramiko, which gives names with all of it."""
        super().set_inbound_cipher(*args, **options)
        self._in = _cipher(self._in, options, "iv_in")

    def set_outbound_cipher(self, *args: Any, **options: Any) -> None:
        """See paramiko, which gives names with all of it."""
        with self._sending:
            super().set_outbound_cipher(*args, **options)
            self._out = _cipher(self._out, options, "iv_out")

    def set_inbound_compressor(self, compressor: Any) -> None:
        """See paramiko."""
        super().set_inbound_compressor(compressor)
        self._packed_in = compressor is not None

    def set_outbound_compressor(self, compressor: Any) -> None:
        """See paramiko."""
        super().set_outbound_compressor(compressor)
        self._packed_out = compressor is not None

    # ------------------------------------------------------------------ reading

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:  # noqa: FBT001, FBT002 - paramiko's
        """See paramiko; what was read ahead comes first."""
        ahead = bytes(self._room[self._at : min(self._at + n, self._end)])
        self._at += len(ahead)
        if len(ahead) == n:
            return ahead
        return ahead + super().read_all(n - len(ahead), check_rekey and not ahead)

    def read_message(self) -> tuple[int, Message]:
        """See paramiko; what comes for a stream meanwhile is in its buffer when this returns.

        Raises:
            SSHException: the packet is damaged, or is none.
        """
        if self._in is None or self._packed_in:
            return super().read_message()
        cipher = self._in
        while True:
            self._have(4, idle=True)
            length = self._length(cipher)
            self._have(length)
            plain = self._open(cipher, length)
            if not self._streamed(plain):
                return self._message(plain)

    def _length(self, cipher: _Cipher) -> int:
        """Bytes of the next packet, whose first four are there, in all."""
        size = int.from_bytes(self._room[self._at : self._at + 4], "big")
        if size % _BLOCK or not _BLOCK <= size <= _LONGEST:
            raise SSHException(f"a packet of {size} bytes")
        return 4 + size + cipher.tag

    def _open(self, cipher: _Cipher, length: int) -> bytes:
        """Decrypt the next packet, which is there: its padding's length, its payload, its padding."""
        head, start = self._at, self._at + 4
        self._at += length
        try:
            plain: bytes = cipher.engine.decrypt(cipher.nonce(), self._room[start : self._at], self._room[head:start])
        except InvalidTag as error:
            raise SSHException("a packet was changed on its way") from error
        return plain

    def _streamed(self, plain: bytes) -> bool:
        """Put a stream's data into its buffer; False where it is something else."""
        if plain[1] != MSG_CHANNEL_DATA or (stream := self.streams.get(plain[2:6])) is None:
            return False
        end = _HEAD + int.from_bytes(plain[6:_HEAD], "big")
        if end > len(plain) - plain[0]:
            raise SSHException("a packet that ends before its data")
        stream.feed(memoryview(plain)[_HEAD:end])
        self._count()
        return True

    def _count(self) -> None:
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF

    def _message(self, plain: bytes) -> tuple[int, Message]:
        length = len(plain) - plain[0]
        if length < 2:
            raise SSHException("a packet without a payload")
        kind = plain[1]
        if kind == MSG_CHANNEL_DATA:
            message = Message()
            message.packet = BytesIO(plain)  # shared, not copied; the padding lies behind the string that it holds
            message.packet.seek(2)
        else:
            message = Message(plain[2:length])
        message.seqno = self._sequence
        self._count()
        return kind, message

    def _have(self, size: int, *, idle: bool = False) -> None:
        """Return when `size` bytes lie in the room; `idle`: between two packets, where our own rekeying may begin."""
        if self._end - self._at >= size:
            return
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

    def _receive(self) -> int:
        room = self._room[self._end :]
        if hasattr(self._sock, "recv_into"):
            count: int = self._sock.recv_into(room)
            if count < _SMALL and self._quick:
                # until its first session sshd has Nagle on, and would wait 40 ms for this acknowledgement
                self._sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            return count
        data = self._sock.recv(len(room))  # a channel of a gateway
        room[: len(data)] = data
        return len(data)

    def _make_room(self, size: int) -> None:
        """Move what is there to the front, of a larger room where the packet needs it."""
        rest = bytes(self._room[self._at : self._end])
        if size > len(self._room):
            self._room = memoryview(bytearray(size + _ROOM))
        self._room[: len(rest)] = rest
        self._at, self._end = 0, len(rest)

    # ------------------------------------------------------------------ sending

    def send_message(self, data: Message | Burst) -> None:
        """See paramiko."""
        with self._sending:
            if self._out is None or self._packed_out:
                for message in data.messages() if isinstance(data, Burst) else (data,):
                    super().send_message(message)
                return
            self._noise = os.urandom(_BLOCK + 4)  # the longest padding; a call for each packet would take its time
            if isinstance(data, Burst):
                self._quick = False  # there is a session, and the answers to a stream are many
                kind = cMSG_CHANNEL_DATA + data.channel.to_bytes(4, "big")
                for piece in data.pieces():
                    self._seal(self._out, kind + len(piece).to_bytes(4, "big"), piece)
            else:
                self._seal(self._out, data.asbytes(), b"")
            held, self._filled = self._burst[: self._filled], 0
            self.write_all(held if hasattr(self._sock, "recv_into") else bytes(held))  # else a gateway's channel

    def _seal(self, cipher: _Cipher, head: bytes, data: bytes | memoryview) -> None:
        """Put a packet of `head` and `data` behind what is to be sent.

        Both rooms are kept: to put a packet together in new memory each time takes ten times as long on some processors
        (memcpy, where source and target are alike in their last twelve bits).
        """
        start, end = 1 + len(head), 1 + len(head) + len(data)
        padding = 3 + _BLOCK - (end + 3) % _BLOCK
        size, at = end + padding, self._filled
        self._room_out(at + 4 + size + cipher.tag, size)
        plain, length = self._plain[:size], self._burst[at : at + 4]
        plain[0], plain[1:start], plain[start:end], plain[end:] = padding, head, data, self._noise[:padding]
        length[:] = size.to_bytes(4, "big")
        self._filled = at + 4 + size + cipher.tag
        self._burst[at + 4 : self._filled] = cipher.engine.encrypt(cipher.nonce(), plain, length)

    def _room_out(self, burst: int, packet: int) -> None:
        if packet > len(self._plain):
            self._plain = memoryview(bytearray(packet))
        if burst > len(self._burst):
            before = self._burst
            self._burst = memoryview(bytearray(burst + _ROOM))
            self._burst[: self._filled] = before[: self._filled]


def send(channel: Channel, data: bytes | memoryview) -> int:
    """Send all of `data` on a channel, in packets that the peer takes, in bursts.

    Raises:
        OSError, EOFError: as from `Channel.sendall`.
    """
    transport: Any = channel.get_transport()  # ours: see service.Transport
    view = memoryview(data)
    # paramiko keeps 64 bytes of each packet for itself: a slice of the full size would go as one large and one tiny
    most = min(_SLICE, channel.out_max_packet_size - 64)
    at = 0
    while at < len(view):
        size = _window(channel, min(len(view) - at, _ROOM))
        transport._send_user_message(Burst(channel.remote_chanid, view[at : at + size], most))  # noqa: SLF001
        at += size
    return len(view)


def _window(channel: Any, wanted: int) -> int:
    """Take up to `wanted` bytes of what the peer allows to send; wait until it allows any.

    Raises:
        OSError: the channel is closed. EOFError: it was closed meanwhile.
        TimeoutError: the peer allowed nothing for the channel's timeout.
    """
    with channel.lock:
        if channel.closed:
            raise OSError("Socket is closed")
        size: int = channel._wait_for_send_window(wanted)  # noqa: SLF001 - a packet's worth
        if not size:
            raise EOFError
        more: int = min(wanted - size, channel.out_window_size)
        channel.out_window_size -= more
        return size + more


def _cipher(before: _Cipher | None, options: dict[str, Any], nonce: str) -> _Cipher | None:
    """Ours for AES-GCM, None for another.

    Raises:
        SSHException: another cipher after AES-GCM: paramiko's own class has not counted the packets meanwhile.
    """
    if options["aead"]:
        return _Cipher(options["block_engine"], options[nonce], options["mac_size"])
    if before is not None:
        raise SSHException("the server wants another cipher than before")
    return None
