"""The accelerated packet code against OpenSSH, and against malicious peers."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from paramiko import Message, SSHException
from paramiko.packet import NeedRekeyException

from tests.harness.sshd import Sshd
from tests.support.cutter import Cutter
from tscm_migrate.errors import ConnectionLost
from tscm_migrate.ssh.accelerated.blocks import BlockBuffer
from tscm_migrate.ssh.accelerated.packets import Burst, Packetizer
from tscm_migrate.ssh.known_hosts import fingerprint
from tscm_migrate.ssh.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tscm_migrate.ssh.shell import Shell

SIZE = 3_000_001


@pytest.fixture
def pair() -> Iterator[tuple[Packetizer, Packetizer]]:
    """Two packetizers that are connected with AES-GCM; `b` plays the part of OpenSSH."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    left, right = socket.socketpair()
    left.settimeout(0.1)
    right.settimeout(0.1)
    a, b = Packetizer(left), Packetizer(right)
    common: dict[str, Any] = {"block_size": 16, "mac_engine": None, "mac_size": 16, "mac_key": None, "aead": True}
    for one in (a, b):
        one.set_outbound_cipher(block_engine=AESGCM(bytes(16)), iv_out=bytes(12), **common)
        one.set_inbound_cipher(block_engine=AESGCM(bytes(16)), iv_in=bytes(12), **common)
    yield a, b
    left.close()
    right.close()


def message(data: bytes, kind: int = 94) -> Message:
    made = Message()
    made.add_byte(bytes((kind,)))
    made.add_int(7)
    made.add_string(data)
    return made


def content(end: Packetizer) -> bytes:
    """Return the content of the next packet of channel data."""
    _, received = end.read_message()
    received.get_int()
    return received.get_binary()


@pytest.mark.parametrize("cipher", ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr"])
def test_bytes_are_unchanged_in_both_directions_with_each_cipher(
    tmp_path: Path, open_shell: Callable[..., Shell], cipher: str
) -> None:
    data = os.urandom(SIZE)
    (tmp_path / "data").write_bytes(data)
    with Sshd(tmp_path / "s", options=[f"Ciphers {cipher}", "RekeyLimit 1M"]) as server:
        shell = open_shell(server.host())
        with shell.reader(f"cat {tmp_path}/data") as reader:
            assert b"".join(reader) == data
            reader.finish()
        with shell.writer("sha256sum") as writer:
            writer.write(data)
            assert writer.finish().stdout.split()[0] == hashlib.sha256(data).hexdigest()


def test_bytes_are_unchanged_in_both_directions_through_a_gateway(
    sshd: Sshd, tmp_path: Path, open_shell: Callable[..., Shell]
) -> None:
    data = os.urandom(SIZE)
    (tmp_path / "data").write_bytes(data)
    with Sshd(tmp_path / "inner") as inner:
        shell = open_shell(inner.host("inner", gateway=sshd.host("jump")))
        with shell.reader(f"cat {tmp_path}/data") as reader:
            assert b"".join(reader) == data
        with shell.writer("sha256sum") as writer:
            writer.write(data)
            assert writer.finish().stdout.split()[0] == hashlib.sha256(data).hexdigest()


@pytest.mark.slow
def test_concurrent_channels_on_one_connection_do_not_mix(shell: Shell) -> None:
    def one(number: int) -> bool:
        with shell.reader(f"yes {number} | head -c 2000000") as reader:
            return set(b"".join(reader).split()[:-1]) == {str(number).encode()}

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(one, range(10, 22)))


def test_a_changed_bit_ends_the_connection(sshd: Sshd, open_shell: Callable[..., Shell]) -> None:
    keys = [fingerprint(base64.b64decode(sshd.public_key(kind).split()[1])) for kind in ("ed25519", "ecdsa", "rsa")]
    with Cutter(sshd.port) as relay:
        shell = open_shell(sshd.host(port=relay.port), expect=keys)
        relay.flip_after(500_000)
        with shell.reader("head -c 4000000 /dev/zero") as reader, pytest.raises(ConnectionLost):
            b"".join(reader)
        assert not shell.alive


@pytest.mark.parametrize("size", [0, 1, 15, 16, 32_768, 300_000, 1 << 20])
def test_a_packet_of_any_size_arrives_complete(pair: tuple[Packetizer, Packetizer], size: int) -> None:
    a, b = pair
    data = os.urandom(size)
    sender = threading.Thread(target=a.send_message, args=(message(data),))
    sender.start()
    kind, received = b.read_message()
    sender.join(60)
    assert (kind, received.get_int(), received.get_binary()) == (94, 7, data)


def test_packets_of_many_sizes_keep_their_order(pair: tuple[Packetizer, Packetizer]) -> None:
    a, b = pair
    sizes = [(number * 7919) % 70_000 for number in range(300)]

    def send() -> None:
        for number, size in enumerate(sizes):
            a.send_message(message(bytes((number % 251,)) * size, kind=94 if number % 3 else 98))

    sender = threading.Thread(target=send)
    sender.start()
    for number, size in enumerate(sizes):
        kind, received = b.read_message()
        assert kind == (94 if number % 3 else 98)
        assert received.seqno == number
        assert received.get_int() == 7
        assert received.get_binary() == bytes((number % 251,)) * size
    sender.join(60)
    assert not sender.is_alive()


@pytest.mark.parametrize("size", [1, 99, 100, 101, 70_000, 900_000])
def test_a_burst_arrives_in_order_in_packets_the_peer_accepts(pair: tuple[Packetizer, Packetizer], size: int) -> None:
    a, b = pair
    data = os.urandom(size)
    most = 100 if size < 1000 else 32_000
    sender = threading.Thread(target=a.send_message, args=(Burst(7, memoryview(data), most),))
    sender.start()
    received = b""
    while len(received) < size:
        piece = content(b)
        assert 0 < len(piece) <= most
        received += piece
    sender.join(60)
    assert received == data


def test_stream_data_is_buffered_before_the_next_message_is_returned(
    pair: tuple[Packetizer, Packetizer],
) -> None:
    a, b = pair
    stream = b.streams[(7).to_bytes(4, "big")] = BlockBuffer()
    for data in (b"one", b"two"):
        a.send_message(message(data))
    a.send_message(message(b"", kind=96))
    assert b.read_message()[0] == 96
    assert stream.read(100, 0) == b"onetwo"


def test_data_for_a_deleted_stream_is_returned_as_a_message(pair: tuple[Packetizer, Packetizer]) -> None:
    a, b = pair
    b.streams[(7).to_bytes(4, "big")] = BlockBuffer()
    a.send_message(message(b"late"))
    assert content(b) == b"late"


def test_a_packet_shorter_than_its_stated_data_is_refused(pair: tuple[Packetizer, Packetizer]) -> None:
    a, b = pair
    stream = b.streams[(7).to_bytes(4, "big")] = BlockBuffer()
    short = Message(bytes((94,)) + (7).to_bytes(4, "big") + (50_000).to_bytes(4, "big") + b"short")
    a.send_message(short)
    with pytest.raises(SSHException, match="ends before its data"):
        b.read_message()
    assert not len(stream)


def test_a_slow_reader_gets_all_data(shell: Shell) -> None:
    size = 5 << 20  # more than OpenSSH's window
    with shell.writer("sleep 1; wc -c") as writer:
        writer.write(bytes(size))
        assert int(writer.finish().stdout) == size


@pytest.mark.parametrize("claimed", [0, 8, 17, 1 << 21, 0xFFFFFFF0])
def test_an_impossible_packet_size_is_refused_before_reading(pair: tuple[Packetizer, Packetizer], claimed: int) -> None:
    a, b = pair
    a._sock.sendall(claimed.to_bytes(4, "big"))
    with pytest.raises(SSHException, match="a packet of"):
        b.read_message()


def test_a_peer_that_closes_within_a_packet_is_an_end_of_file(pair: tuple[Packetizer, Packetizer]) -> None:
    a, b = pair
    a._sock.sendall((4096).to_bytes(4, "big") + bytes(100))
    a._sock.close()
    with pytest.raises(EOFError):
        b.read_message()


def test_a_change_to_another_cipher_is_refused(pair: tuple[Packetizer, Packetizer]) -> None:
    with pytest.raises(SSHException, match="another cipher"):
        pair[0].set_inbound_cipher(
            block_engine=None, block_size=16, mac_engine=None, mac_size=32, mac_key=b"", etm=True, aead=False
        )


def test_a_rekey_can_start_between_two_packets(
    pair: tuple[Packetizer, Packetizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair[1], "need_rekey", lambda: True)
    with pytest.raises(NeedRekeyException):
        pair[1].read_message()


def test_tcp_nodelay_is_set(shell: Shell) -> None:
    transport = shell._transport
    assert isinstance(transport, Transport)
    assert transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
