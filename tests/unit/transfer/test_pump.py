"""Pumping bytes from a source to a sink: counted, hashed, throttled, with a minimum rate and lines in a log."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tscm_migrate.errors import TransferError
from tscm_migrate.events import Progress, silent
from tscm_migrate.transfer.pump import Digest, ProgressReporter, Throttle, TransferPace, pump
from tscm_migrate.ui.view_model import Meter


class Sink:
    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self.data += data

    def finish(self) -> None:
        """Nothing."""


@given(st.lists(st.binary(max_size=9000), max_size=12))
def test_pumped_bytes_are_counted_hashed_and_unchanged(chunks: list[bytes]) -> None:
    sink, data = Sink(), b"".join(chunks)
    with Digest() as digest:
        seen = pump(chunks, sink, ProgressReporter(silent, "x", len(data)), Throttle(0), digest)
    assert (seen, digest.hex(), bytes(sink.data)) == (len(data), hashlib.sha256(data).hexdigest(), data)


def test_digest_leaves_no_thread_after_an_exception() -> None:
    digest = Digest()
    try:
        with digest:
            digest.add(b"x")
            raise KeyError
    except KeyError:
        pass
    assert not digest._thread.is_alive()


def test_transfer_below_the_minimum_rate_is_ended_and_a_slow_one_is_not() -> None:
    now = [0.0]
    slow, drip = TransferPace("x", lambda: now[0]), TransferPace("x", lambda: now[0])
    for at in range(0, 300, 30):
        now[0] = at
        slow.add(30 * 1024)
        drip.add(1)
    now[0] = 300
    slow.add(1024)
    with pytest.raises(TransferError, match="only 11 bytes moved in 300 s") as ended:
        drip.add(1)
    assert "resumes" in ended.value.remedy()


def test_throttle_splits_large_chunks() -> None:
    pieces = list(Throttle(4000).pieces(bytes(5000)))
    assert max(map(len, pieces)) <= 1024
    assert b"".join(pieces) == bytes(5000)


def test_log_has_a_line_every_ten_seconds_with_rate_and_time_left() -> None:
    meter, total = Meter(), 1_000_000_000
    due = [now for now in range(61) if meter.due(Progress("a", now * 10_000_000, total), float(now))]
    assert due == [10, 20, 30, 40, 50, 60]
    text = meter.text(Progress("a", 600_000_000, total))
    assert text == "a: 600.0 of 1000.0 MB (60%), 10.0 MB/s, 40 s left"


def test_short_transfer_has_no_log_line_and_a_long_one_has_a_last_line() -> None:
    meter = Meter()
    assert not any(meter.due(Progress("a", done, 100), done / 100) for done in range(101))
    assert not meter.due(Progress("b", 1, 100), 100.0)
    assert meter.due(Progress("b", 100, 100), 111.0)
