"""Compare our Packetizer with paramiko's, byte for byte: the same messages, with rekeys, read in pieces of any size."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from paramiko import Message
from paramiko.common import MSG_CHANNEL_DATA
from paramiko.packet import Packetizer as PlainPacketizer

from tscm_migrate.ssh.accelerated.packets import Burst, Packetizer

KEYS = st.tuples(st.sampled_from([16, 32]), st.binary(min_size=12, max_size=12), st.binary(min_size=1, max_size=1))
# The message numbers that paramiko may send at any time, and lengths around the sizes of a block and of the buffers.
PAYLOADS = st.tuples(
    st.sampled_from([2, 80, 90, 93, MSG_CHANNEL_DATA, 96, 98]),
    st.one_of(st.binary(max_size=70), st.integers(0, 300_000).map(lambda size: os.urandom(256) * (size // 256))),
)
STEPS = st.lists(st.one_of(PAYLOADS, KEYS), min_size=1, max_size=12)


class FakeSocket:
    """A socket for one direction: it records what is written, or returns given bytes in pieces."""

    def __init__(self, incoming: bytes = b"", cuts: tuple[int, ...] = ()) -> None:
        self.written = bytearray()
        self._incoming, self._cuts, self._number = memoryview(incoming), cuts or (1 << 20,), 0

    def send(self, data: bytes) -> int:
        self.written += data
        return len(data)

    def recv(self, size: int) -> bytes:
        size = min(size, self._cuts[self._number % len(self._cuts)])
        self._number += 1
        data, self._incoming = bytes(self._incoming[:size]), self._incoming[size:]
        return data

    def recv_into(self, room: memoryview) -> int:
        data = self.recv(len(room))
        room[: len(data)] = data
        return len(data)


class FakeGatewayChannel(FakeSocket):
    """A channel of a jump host, which has no recv_into."""

    recv_into = None  # type: ignore[assignment]

    def __getattribute__(self, name: str) -> Any:
        if name == "recv_into":
            raise AttributeError(name)
        return super().__getattribute__(name)


def rekey(one: PlainPacketizer, size: int, nonce: bytes, key: bytes, *, inbound: bool) -> None:
    engine = AESGCM(key * size)
    common: dict[str, Any] = {"block_size": 16, "mac_engine": None, "mac_size": 16, "mac_key": None, "aead": True}
    if inbound:
        one.set_inbound_cipher(block_engine=engine, iv_in=nonce, **common)
    else:
        one.set_outbound_cipher(block_engine=engine, iv_out=nonce, **common)


def payload(step: tuple[Any, ...]) -> bytes:
    number, data = step
    if number == MSG_CHANNEL_DATA:
        return bytes((number,)) + (7).to_bytes(4, "big") + len(data).to_bytes(4, "big") + data
    return bytes((number,)) + data


def is_rekey(step: tuple[Any, ...]) -> bool:
    return len(step) == 3


def usable(steps: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the steps with a key before the first message, and without nonces at the end of their counter.

    paramiko fails at the end of the counter.
    """
    steps = [(16, bytes(12), b"k"), *steps]
    return [(s[0], s[1][:11] + b"\0", s[2]) if is_rekey(s) and s[1][4:] > b"\xff" * 7 else s for s in steps]


@pytest.fixture(autouse=True, scope="module")
def same_padding() -> Any:
    """Make the padding, which both classes take from os.urandom, the same in both."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("paramiko.packet.os.urandom", lambda size: bytes(range(size)))
        yield


@given(STEPS)
def test_sent_bytes_equal_paramikos(steps: list[tuple[Any, ...]]) -> None:
    plain_socket, our_socket = FakeSocket(), FakeSocket()
    plain, ours = PlainPacketizer(plain_socket), Packetizer(our_socket)
    for step in usable(steps):
        for one in (plain, ours):
            if is_rekey(step):
                rekey(one, *step, inbound=False)
            else:
                one.send_message(Message(payload(step)))
    assert bytes(our_socket.written) == bytes(plain_socket.written)


@given(
    STEPS, st.lists(st.integers(1, 70_000), max_size=8).map(tuple), st.sampled_from([FakeSocket, FakeGatewayChannel])
)
def test_received_messages_equal_paramikos(
    steps: list[tuple[Any, ...]], cuts: tuple[int, ...], our_socket: type[FakeSocket]
) -> None:
    steps = usable(steps)
    sent = FakeSocket()
    sender = PlainPacketizer(sent)
    ends: list[int] = []
    for step in steps:
        if is_rekey(step):
            rekey(sender, *step, inbound=False)
        else:
            sender.send_message(Message(payload(step)))
        ends.append(len(sent.written))
    data = bytes(sent.written)
    plain, ours = PlainPacketizer(FakeSocket(data, cuts)), Packetizer(our_socket(data, cuts))
    for step in steps:
        if is_rekey(step):
            rekey(plain, *step, inbound=True)
            rekey(ours, *step, inbound=True)
            continue
        (kind, expected), (our_kind, got) = plain.read_message(), ours.read_message()
        assert our_kind == kind == step[0]
        assert got.seqno == expected.seqno
        if kind == MSG_CHANNEL_DATA:
            assert (got.get_int(), got.get_binary()) == (expected.get_int(), expected.get_binary()) == (7, step[1])
        else:
            assert got.asbytes() == expected.asbytes() == step[1]


@given(st.binary(min_size=1, max_size=200_000), st.integers(1, 40_000))
def test_a_burst_equals_paramikos_packets(data: bytes, most: int) -> None:
    plain_socket, our_socket = FakeSocket(), FakeSocket()
    plain, ours = PlainPacketizer(plain_socket), Packetizer(our_socket)
    most = max(most, len(data) // 50 + 1)
    for one in (plain, ours):
        rekey(one, 16, bytes(12), b"k", inbound=False)
    ours.send_message(Burst(7, memoryview(data), most))
    for start in range(0, len(data), most):
        plain.send_message(Message(payload((MSG_CHANNEL_DATA, data[start : start + most]))))
    assert bytes(our_socket.written) == bytes(plain_socket.written)


def test_each_nonce_is_the_successor_of_the_one_before() -> None:
    class Recording:
        """An AES-GCM engine that records its nonces."""

        def __init__(self) -> None:
            self.engine, self.nonces = AESGCM(os.urandom(16)), list[bytes]()

        def encrypt(self, nonce: bytes, data: bytes, more: bytes) -> bytes:
            self.nonces.append(bytes(nonce))
            return self.engine.encrypt(nonce, data, more)

    one = Packetizer(FakeSocket())
    common: dict[str, Any] = {"block_size": 16, "mac_engine": None, "mac_size": 16, "mac_key": None, "aead": True}
    for start in (0, 2**64 - 3, 17):  # the counter can start with any value, and returns to 0 after its last value
        engine, fixed = Recording(), os.urandom(4)
        one.set_outbound_cipher(block_engine=engine, iv_out=fixed + start.to_bytes(8, "big"), **common)
        for _ in range(3):
            one.send_message(Message(b"\x02ping"))
            one.send_message(Burst(7, memoryview(bytes(1000)), 300))
        assert engine.nonces == [fixed + ((start + n) % 2**64).to_bytes(8, "big") for n in range(15)]


def test_compression_is_never_offered() -> None:
    from tscm_migrate.ssh.transport import Transport

    left, right = socket.socketpair()
    with left, right:
        assert Transport(left).get_security_options().compression == ("none",)
