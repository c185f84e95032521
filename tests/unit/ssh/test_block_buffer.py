"""The buffer of a channel with much data: every byte once and in order, with timeouts and an event as in paramiko."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paramiko.buffered_pipe import PipeTimeout

from tscm_migrate.ssh.accelerated.blocks import BlockBuffer


@given(st.lists(st.binary(min_size=1, max_size=50)), st.lists(st.integers(1, 80), min_size=1))
def test_every_byte_is_read_once_and_in_order_with_any_sizes(fed: list[bytes], sizes: list[int]) -> None:
    pipe = BlockBuffer(block=16)
    for piece in fed:
        pipe.feed(piece)
    pipe.close()
    got, number = b"", 0
    while data := pipe.read(sizes[number % len(sizes)], timeout=1):
        assert len(data) <= sizes[number % len(sizes)]
        got, number = got + data, number + 1
    assert got == b"".join(fed)
    assert len(pipe) == 0


def test_bytes_fed_by_another_thread_are_read_completely() -> None:
    pipe = BlockBuffer(block=64 * 1000)

    def feed() -> None:
        for _ in range(200):
            pipe.feed(bytes(1000))
        pipe.close()

    thread = threading.Thread(target=feed)
    thread.start()
    sizes = []
    while data := pipe.read(1 << 20, timeout=10):
        sizes.append(len(data))
    thread.join(60)
    assert sum(sizes) == 200_000


def test_bytes_fewer_than_a_block_are_returned_without_waiting() -> None:
    pipe = BlockBuffer()
    pipe.feed(b"a little")
    assert pipe.read(1 << 20, timeout=5) == b"a little"


def test_read_without_data_is_a_timeout_and_after_close_is_empty() -> None:
    pipe = BlockBuffer()
    with pytest.raises(PipeTimeout):
        pipe.read(1, timeout=0.01)
    with pytest.raises(PipeTimeout):
        pipe.read(1, timeout=0.0)
    pipe.close()
    assert pipe.read(1, timeout=0.01) == b""


def test_event_is_set_while_a_read_would_not_block() -> None:
    pipe, event = BlockBuffer(), threading.Event()
    pipe.set_event(event)
    assert not event.is_set()
    pipe.feed(b"xy")
    assert event.is_set()
    assert pipe.read_ready()
    pipe.read(1, timeout=0)
    assert event.is_set()
    pipe.empty()
    assert not event.is_set()
    pipe.close()
    assert event.is_set()
