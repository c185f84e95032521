"""Contract of all kinds of stores; each runs on its real server."""

from __future__ import annotations

import hashlib
import os
import random
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tscm_migrate.errors import CopyDamaged, ObjectExists, ObjectMissing, StoreError, UsageError
from tscm_migrate.offsite.stores.base import CHUNK, read_small

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tscm_migrate.offsite.stores.base import Store

pytestmark = pytest.mark.slow


def random_bytes(size: int, seed: int = 7) -> bytes:
    return random.Random(seed).randbytes(size)


def chunks(body: bytes, size: int = CHUNK) -> Iterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


class SourceFailed(Exception):
    pass


def failing_source(after: int) -> Iterator[bytes]:
    yield from chunks(random_bytes(after))
    raise SourceFailed


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, 8 * CHUNK, 8 * CHUNK + 1, 33 * CHUNK + 5])
def test_an_upload_is_read_back_unchanged(store: Store, size: int) -> None:
    body = random_bytes(size)
    assert store.upload("hosts/a/archives/one", chunks(body)) == size
    got = hashlib.sha256()
    for chunk in store.read("hosts/a/archives/one"):
        got.update(chunk)
    assert got.hexdigest() == hashlib.sha256(body).hexdigest()
    assert store.stat("hosts/a/archives/one").size == size


@pytest.mark.parametrize("connect", ["local", "sftp"], indirect=True)
def test_an_upload_larger_than_the_free_space_is_refused_before_writing(store: Store) -> None:
    def never() -> Iterator[bytes]:
        pytest.fail("it was read")
        yield b""

    with pytest.raises(StoreError, match="MB are free there") as refused:
        store.upload("hosts/a/archives/one", never(), size_hint=1 << 60)
    assert "tscm-migrate offsite clean" in refused.value.remedy()
    assert (list(store.entries()), store.unfinished()) == ([], [])


def test_a_failing_source_leaves_no_object(store: Store) -> None:
    with pytest.raises(SourceFailed):
        store.upload("hosts/a/archives/one", failing_source(20 * CHUNK))
    with pytest.raises(ObjectMissing):
        store.stat("hosts/a/archives/one")
    assert list(store.entries()) == []
    assert store.unfinished() == []


def test_an_object_is_not_listed_before_it_is_complete(store: Store, another: Store) -> None:
    listed: list[str] = []

    def watched() -> Iterator[bytes]:
        yield from chunks(random_bytes(18 * CHUNK))
        sent.set()
        assert looked.wait(30)

    sent, looked = threading.Event(), threading.Event()
    upload = threading.Thread(target=store.upload, args=("hosts/a/archives/one", watched()))
    upload.start()
    assert sent.wait(30)
    listed.extend(entry.key for entry in another.entries())
    looked.set()
    upload.join(60)
    assert listed == []
    assert [entry.key for entry in store.entries()] == ["hosts/a/archives/one"]


def test_an_upload_never_overwrites(store: Store) -> None:
    store.upload("hosts/a/archives/one", [b"first"])
    with pytest.raises(ObjectExists):
        store.upload("hosts/a/archives/one", [b"second"])
    assert read_small(store, "hosts/a/archives/one") == b"first"


def test_create_never_overwrites(store: Store) -> None:
    store.create("hosts/a/one.json", b"first")
    with pytest.raises(ObjectExists):
        store.create("hosts/a/one.json", b"second")
    assert read_small(store, "hosts/a/one.json") == b"first"


def test_one_of_several_concurrent_creates_succeeds(store: Store, request: pytest.FixtureRequest) -> None:
    if "careless" in request.node.callspec.id:
        pytest.skip("this server ignores the condition; the layout of the keys tolerates that")
    winners: list[int] = []
    start = threading.Barrier(6)

    def run(number: int) -> None:
        start.wait(60)
        try:
            store.create("hosts/a/raced.json", str(number).encode())
        except ObjectExists:
            return
        winners.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(winners) == 1
    assert read_small(store, "hosts/a/raced.json") == str(winners[0]).encode()


def test_a_missing_object_raises_object_missing(store: Store) -> None:
    with pytest.raises(ObjectMissing):
        next(store.read("hosts/a/nothing"))
    with pytest.raises(ObjectMissing):
        store.stat("hosts/a/nothing")


def test_a_listing_is_limited_to_a_folder(store: Store) -> None:
    for key in ("hosts/a/x", "hosts/a/deep/y", "hosts/ab/z"):
        store.create(key, key.encode())
    assert sorted(entry.key for entry in store.entries("hosts/a")) == ["hosts/a/deep/y", "hosts/a/x"]
    assert sorted(entry.key for entry in store.entries()) == ["hosts/a/deep/y", "hosts/a/x", "hosts/ab/z"]
    assert list(store.entries("hosts/none")) == []
    (entry,) = store.entries("hosts/ab")
    assert entry.size == len("hosts/ab/z")
    assert abs(entry.modified - datetime.now(UTC)) < timedelta(minutes=5)


def test_deleting_an_object_twice_succeeds(store: Store) -> None:
    store.create("hosts/a/x", b"x")
    store.delete("hosts/a/x")
    store.delete("hosts/a/x")
    assert list(store.entries()) == []


def test_other_files_in_the_folder_are_reported_and_skipped(store: Store, request: pytest.FixtureRequest) -> None:
    """A folder may contain other files; tests/offsite/test_s3.py has the same test for S3."""
    kind = request.node.callspec.params["connect"]
    if kind not in {"local", "sftp"}:
        pytest.skip("not a folder")
    root = request.getfixturevalue("tmp_path") / "store"
    store.create("hosts/a/archives/good.json", b"{}")
    folder = root / "hosts/a/archives"
    os.mkfifo(folder / "fifo.json")
    (folder / "dangling.json").symlink_to("nowhere")
    (folder / "loop.json").symlink_to("loop.json")
    (folder / "elsewhere").symlink_to("/etc")
    for name in (b"bad\xff.json", b"line\nbreak.json", b"a b.json"):
        (folder / os.fsdecode(name)).touch()
    unreadable: list[str] = []
    entries = list(store.entries("hosts", odd=lambda key, _why: unreadable.append(key)))
    assert [entry.key for entry in entries] == ["hosts/a/archives/good.json"]
    assert len(unreadable) == 7
    assert all(key.isprintable() for key in unreadable)
    with pytest.raises(StoreError):
        next(store.read("hosts/a/archives/fifo.json"))


@pytest.mark.parametrize("key", ["", "/abs", "../up", "a/../b", "a//b", "a/.", "back\\slash", "new\nline", "a" * 800])
def test_invalid_keys_are_refused(store: Store, key: str) -> None:
    with pytest.raises(UsageError):
        store.stat(key)
    with pytest.raises(UsageError):
        store.create(key, b"x")


def test_read_small_refuses_a_large_object(store: Store) -> None:
    store.upload("hosts/a/big.json", chunks(random_bytes(3 * CHUNK)))
    with pytest.raises(CopyDamaged):
        read_small(store, "hosts/a/big.json", limit=1000)


def test_errors_name_the_url_without_debug_output(store: Store) -> None:
    with pytest.raises(StoreError) as caught:
        store.stat("hosts/a/nothing")
    assert caught.value.message().startswith(store.url)
    assert "Debug" not in caught.value.message()
