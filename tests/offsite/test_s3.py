"""A real S3 server, one that lies by nature, and one behind a proxy that lies on request."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.support import servers
from tests.support.incoming import NOW, Given, encrypted, name_of
from tests.support.proxy import Proxy, proxied
from tscm_migrate.errors import CopyDamaged, OffsiteError, PruneRefused, StoreDenied, StoreError
from tscm_migrate.offsite import catalog, prune, retention
from tscm_migrate.offsite.stores.factory import open_store
from tscm_migrate.offsite.upload import CopyPolicy, make_copy
from tscm_migrate.offsite.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tscm_migrate.offsite.stores.base import Store

pytestmark = pytest.mark.slow
KEEP_TWO = retention.RetentionPolicy(last=2, daily=0, weekly=0, monthly=0, yearly=0, within=timedelta(0))

UPLOAD = """
import sys, time
from datetime import UTC, datetime
from tests.support.incoming import Given, encrypted
from tests.support.servers import ENV
from tscm_migrate.offsite.upload import CopyPolicy, make_copy
from tscm_migrate.offsite.stores.factory import open_store
store = open_store(sys.argv[1], env=ENV)
given = Given(encrypted(40_000_000), chunk=1 << 19)
print("ready", flush=True)
make_copy(given, store, CopyPolicy(), now=datetime.now(UTC))
print("done", flush=True)
"""


@pytest.fixture
def prefix() -> str:
    return uuid.uuid4().hex[:10]


@pytest.fixture
def store(seaweed: servers.Server, prefix: str) -> Iterator[Store]:
    with closing(open_store(seaweed.url("offsite", prefix), env=servers.ENV)) as made:
        yield made


@pytest.fixture
def proxy(seaweed: servers.Server) -> Iterator[Proxy]:
    with proxied(seaweed.port) as made:
        yield made


@pytest.fixture
def lying(proxy: Proxy, prefix: str, seaweed: servers.Server) -> Iterator[Store]:
    """The same place as `store`, by way of the proxy."""
    url = f"s3://offsite/{prefix}?endpoint=http://127.0.0.1:{proxy.port}"
    with closing(open_store(url, env=servers.ENV)) as made:
        yield made


@pytest.mark.timeout(600)
def test_killed_in_the_middle_twenty_times(seaweed: servers.Server, store: Store, prefix: str) -> None:
    url, chance = seaweed.url("offsite", prefix), random.Random(5)
    argv = [sys.executable, "-c", UPLOAD, url]
    finished = left = 0
    for _ in range(20):
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0.0, 0.9))
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        process.stdout.close()
        found = catalog.load(store)
        assert found.unreadable == ()
        assert all(not looked.why for looked in verify(store, found.copies, datetime.now(UTC)))
        finished = max(finished, len(found.copies))
        left = max(left, len(store.unfinished()))
    assert left > 0, "some were cut in the middle of an upload"
    subprocess.run(argv, check=True, timeout=120, stdout=subprocess.DEVNULL)
    (copy,) = catalog.load(store).copies
    assert copy.verified_at
    prune.clean(store, prune.leftovers(store, catalog.load(store), older=timedelta(seconds=-60)))
    assert store.unfinished() == []
    after = catalog.load(store)
    assert after.orphans == ()
    assert [c.id for c in after.copies] == [copy.id]
    assert [looked.why for looked in verify(store, after.copies, datetime.now(UTC))] == [""]


def test_clean_leaves_uploads_that_are_under_way(store: Store) -> None:
    going, finish = threading.Event(), threading.Event()

    class Waiting(Given):
        def __iter__(self) -> Iterator[bytes]:
            yield from super().__iter__()
            going.set()
            assert finish.wait(60)

    upload = threading.Thread(
        target=make_copy, args=(Waiting(encrypted(30_000_000)), store, CopyPolicy()), kwargs={"now": NOW}
    )
    upload.start()
    assert going.wait(60)
    found = prune.leftovers(store, catalog.load(store))
    assert found.unfinished == ()
    assert len(store.unfinished()) == 1
    finish.set()
    upload.join(60)
    assert len(catalog.load(store).copies) == 1


def fill(store: Store, days: int) -> None:
    for day in range(days):
        when = NOW - timedelta(days=day + 1)
        make_copy(Given(encrypted(2000, seed=day), archive=name_of(when)), store, CopyPolicy(), now=when)


def data_get(method: str, path: str) -> bool:
    return method == "GET" and ".tsbak" in path and ".json" not in path


@pytest.mark.parametrize("lie", ["truncate", "flip", "cut", "403"])
def test_a_copy_that_cannot_be_read_back_right_is_none(proxy: Proxy, lying: Store, store: Store, lie: str) -> None:
    proxy.lie = lambda method, path: lie if data_get(method, path) else ""
    with pytest.raises((CopyDamaged, StoreError)):
        make_copy(Given(encrypted(100_000)), lying, CopyPolicy(), now=NOW)
    assert proxy.told
    assert catalog.load(store).copies == ()


@pytest.mark.parametrize("lie", ["truncate", "flip"])
def test_prune_deletes_nothing_on_a_liar_s_word(proxy: Proxy, lying: Store, store: Store, lie: str) -> None:
    fill(store, 5)
    proxy.lie = lambda method, path: lie if data_get(method, path) else ""
    now = datetime.now(UTC)
    results = list(prune.prune(lying, prune.plan(catalog.load(lying), KEEP_TWO, now), now))
    assert len(results) == 3
    assert all(why for _, why in results)
    assert len(catalog.load(store).copies) == 5


def test_prune_deletes_nothing_when_permission_is_lost(proxy: Proxy, lying: Store, store: Store) -> None:
    fill(store, 4)
    now = datetime.now(UTC)
    plan = prune.plan(catalog.load(lying), KEEP_TWO, now)
    proxy.lie = lambda method, _path: "403"
    with pytest.raises(StoreDenied):
        list(prune.prune(lying, plan, now))
    proxy.lie = lambda method, path: "403" if method in {"DELETE", "POST"} else ""
    with pytest.raises(StoreDenied):
        list(prune.prune(lying, plan, now))
    assert len(catalog.load(store).copies) == 4


def test_a_listing_that_lags_costs_nothing_but_time(proxy: Proxy, lying: Store, store: Store, tmp_path: Path) -> None:
    fill(store, 4)
    proxy.lie = lambda method, path: "stale" if method == "GET" and "list-type" in path else ""
    stale = catalog.load(lying)
    newest = Given(encrypted(5000, seed=77), archive=name_of(NOW))
    assert make_copy(newest, lying, CopyPolicy(), now=NOW).outcome == "stored"
    assert make_copy(newest, lying, CopyPolicy(), now=NOW).outcome == "already"
    assert catalog.load(lying).copies == stale.copies, "the listing still lags"
    now = datetime.now(UTC)
    gone = stale.copies[0]
    store.delete(gone.manifest.data)
    results = list(prune.prune(lying, prune.plan(catalog.load(lying), KEEP_TWO, now), now))
    assert results
    assert all("could not be read right" in why for _, why in results), "what the list shows is gone"
    proxy.lie = lambda _method, _path: ""
    assert len(catalog.load(store).copies) == 5


def test_a_store_that_is_busy_is_asked_again(proxy: Proxy, lying: Store) -> None:
    chance = random.Random(3)
    proxy.lie = lambda _method, _path: "503" if chance.random() < 0.2 else ""
    body = encrypted(20_000_000)
    assert make_copy(Given(body), lying, CopyPolicy(), now=NOW).outcome == "stored"
    assert any(told.startswith("503") for told in proxy.told)
    (copy,) = catalog.load(lying).copies
    assert b"".join(lying.read(copy.manifest.data)) == body


@pytest.mark.parametrize("what", [".json", ".tsbak"])
def test_a_write_that_was_never_done_is_noticed(proxy: Proxy, lying: Store, store: Store, what: str) -> None:
    proxy.lie = lambda method, path: "drop-write" if method in {"PUT", "POST"} and what in path else ""
    with pytest.raises(OffsiteError):
        make_copy(Given(encrypted(1000)), lying, CopyPolicy(), now=NOW)
    assert catalog.load(store).copies == ()


def test_wrong_credentials_say_so(seaweed: servers.Server) -> None:
    env = {**servers.ENV, "AWS_SECRET_ACCESS_KEY": "wrong wrong wrong"}
    store = open_store(seaweed.url("offsite"), env=env)
    with pytest.raises(StoreDenied) as caught:
        make_copy(Given(encrypted(10)), store, CopyPolicy(), now=NOW)
    assert "wrong wrong" not in str(caught.value)
    with pytest.raises(StoreDenied):
        store.unfinished()


@pytest.mark.parametrize("prefix", ["mit Blank/Überall 50%", "x+y/~z"])
def test_a_prefix_may_have_blanks_and_umlauts(seaweed: servers.Server, prefix: str) -> None:
    with closing(open_store(seaweed.url("prefixes", prefix), env=servers.ENV)) as store:
        copied = make_copy(Given(encrypted(9_000_000)), store, CopyPolicy(), now=NOW)
        (copy,) = catalog.load(store).copies
        assert copy.manifest == copied.manifest
        prune.delete(store, copy)
        assert list(store.entries()) == []
        assert store.unfinished() == []


def test_keys_of_somebody_else_are_named_and_passed_over(store: Store, seaweed: servers.Server, prefix: str) -> None:
    make_copy(Given(encrypted(1000)), store, CopyPolicy(), now=NOW)
    keys = ["line\nbreak.json", "bell\x07.json", "a//b.json", "ü.json", "per%cent.json", "plus+.json", "a b.json"]
    multiparts = store._multiparts  # type: ignore[attr-defined] # signs what the store would not write
    for key in keys:
        path = f"/offsite/{quote(f'{prefix}/hosts/tscm-a/archives/{key}', safe='/~-._')}"
        assert multiparts._once("PUT", path, {})[0] == 200
    found = catalog.load(store)
    assert len(found.copies) == 1
    assert len(found.unreadable) >= len(keys) - 1, "seaweed makes one slash of two"
    assert all(str(thing).isprintable() for thing in found.unreadable)
    now = datetime.now(UTC)
    assert [looked.why for looked in verify(store, found.copies, now)] == [""]
    with pytest.raises(PruneRefused, match="cannot be read"):
        prune.leftovers(store, found)


def test_on_a_server_that_ignores_conditions_nothing_is_lost(lying_s3: servers.Server, prefix: str) -> None:
    store = open_store(lying_s3.url("bucket", prefix), env=servers.ENV)
    body = encrypted(3_000_000)
    start = threading.Barrier(4)
    outcomes: list[Any] = []

    def run() -> None:
        start.wait(30)
        outcomes.append(make_copy(Given(body, archive=name_of(NOW)), store, CopyPolicy(), now=NOW))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(outcomes) == 4
    (copy,) = catalog.load(store).copies
    assert b"".join(store.read(copy.manifest.data)) == body
    fill(store, 3)
    now = datetime.now(UTC)
    assert [why for _, why in prune.prune(store, prune.plan(catalog.load(store), KEEP_TWO, now), now)] == ["", ""]
    with pytest.raises(PruneRefused):
        prune.plan(catalog.load(store), KEEP_TWO, NOW - timedelta(days=30))
